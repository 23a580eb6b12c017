"""A web server on this machine, for tests of downloads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Host(ThreadingHTTPServer):
    """Serves ``contents`` by name; everything else is 404."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.contents: dict[str, bytes] = {}
        self.withheld: dict[str, int] = {}
        """Bytes by which a body is shorter than its announced length."""
        self.stalling = threading.Event()
        """While set, nothing is answered."""
        self.asked: list[str] = []
        """What was requested, in order."""

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        name = self.path.removeprefix("/")
        self.server.asked.append(name)
        while self.server.stalling.is_set():
            threading.Event().wait(0.01)
        if name not in self.server.contents:
            self.send_error(404)
            return
        body = self.server.contents[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) - self.server.withheld.get(name, 0)])

    def log_message(self, *arguments: object) -> None:
        """Nothing is printed."""


@contextmanager
def serving() -> Iterator[Host]:
    """Serve until the block ends."""
    with Host() as host:
        thread = threading.Thread(target=host.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield host
        finally:
            host.stalling.clear()
            host.shutdown()
            thread.join()
