"""Files that are fetched once: downloaded where absent, their checksum verified, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from prunekit import InputError, PrunekitError, __version__, tell_progress

CHUNK = 1 << 18
"""Bytes read at a time."""
TIMEOUT = 30.0
"""Seconds without a byte after which a host counts as unreachable."""


@dataclass(frozen=True)
class RemoteFile:
    """A published file whose contents are known."""

    name: str
    md5: str
    """As its publisher gives it: guards against accidents, not against malice."""
    urls: tuple[str, ...]
    """Where it can be had: the first that delivers is taken."""
    note: str = ""
    """What somebody who has to fetch it by hand should know."""


class _NotReceivedError(Exception):
    """A download that failed: the message says from where and why."""


def data_folder() -> Path:
    """Return ``$PRUNEKIT_DATA``, or ``prunekit/data`` in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("PRUNEKIT_DATA") or f"{cache}/prunekit/data").expanduser()


def fetch(file: RemoteFile, folder: Path) -> Path:
    """Return ``file`` in ``folder``, its checksum verified; downloaded where it is absent.

    Raises InputError where the file there is another one or the disk is too small; PrunekitError where no host
    delivers, saying which file to put where. Nothing half-written stays.
    """
    path = folder / file.name
    if not make_once(path, lambda out: _download(file, path, out)):
        _verify(path, file.md5)
    return path


def make_once(path: Path, write: Callable[[BinaryIO], None]) -> bool:
    """Let ``write`` fill ``path`` where it is absent: by one process alone, whole or not at all.

    Returns whether this call made it. Raises InputError where the folder cannot be written.
    """
    if path.exists():
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _make_alone(path, write)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _make_alone(path: Path, write: Callable[[BinaryIO], None]) -> bool:
    part = path.with_name(f"{path.name}.part")
    with _held(path):
        if path.exists():  # another process has made it while this one waited
            return False
        try:
            with part.open("wb") as out:
                write(out)
                out.flush()
                os.fsync(out.fileno())  # else a power failure could leave a whole name on half the contents
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return True


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Keep other processes from making ``path``; say so where one of them has to be waited for."""
    from filelock import FileLock, Timeout  # these take 40 ms

    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tell_progress(f"waiting for another process to make {path.name}", 0)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def check_room(folder: Path, needed: int) -> None:
    """Raise InputError where fewer than ``needed`` bytes are free on the disk of ``folder`` (or of its parents)."""
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise InputError(f"{folder}: {needed / 1e6:,.1f} MB are needed and {free / 1e6:,.1f} MB are free on its disk")


def _verify(path: Path, md5: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, _md5).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if found != md5:
        raise InputError(f"{path}: its md5 is {found}, expected {md5}: remove the file, and it is downloaded again")


def _download(file: RemoteFile, path: Path, out: BinaryIO) -> None:
    """Write what the first of the URLs that delivers ``file`` sends to ``out``."""
    failures = []
    for url in file.urls:
        try:
            return _write_verified(file, _receive(url, file.name, path.parent), out)
        except _NotReceivedError as error:
            failures.append(f"{url}: {error}")
            out.seek(0)
            out.truncate()
    raise PrunekitError(
        f"{file.name} cannot be downloaded ({'; '.join(failures)}) and nothing was kept:"
        f" try again, or put the file there by hand, as {path} (md5 {file.md5}){file.note and f'; {file.note}'}"
    )


def _write_verified(file: RemoteFile, chunks: Iterator[bytes], out: BinaryIO) -> None:
    digest = _md5()
    for chunk in chunks:
        digest.update(chunk)
        out.write(chunk)
    if digest.hexdigest() != file.md5:
        raise _NotReceivedError(f"its md5 is {digest.hexdigest()}, expected {file.md5}")


def _receive(url: str, name: str, folder: Path) -> Iterator[bytes]:
    """Yield the contents of ``url``. Raises InputError where ``folder`` has no room for them."""
    from http.client import HTTPException  # these take 40 ms, too
    from urllib.request import Request, urlopen

    done = 0
    try:
        with urlopen(Request(url, headers={"User-Agent": f"prunekit/{__version__}"}), timeout=TIMEOUT) as response:
            total = response.length
            check_room(folder, total or 0)
            tell_progress(f"downloading {name}", 0, total)
            while chunk := response.read(CHUNK):
                yield chunk
                done += len(chunk)
                tell_progress(f"downloading {name}", done, total)
    except (OSError, HTTPException) as error:
        raise _NotReceivedError(_reason(error)) from error
    if total is not None and done < total:
        raise _NotReceivedError(f"cut off after {done:,} of {total:,} bytes")


def _reason(error: Exception) -> str:
    """Return what went wrong on the way, without the wrapping that urllib gives it."""
    cause = getattr(error, "reason", error)
    text = getattr(cause, "strerror", None) or str(cause) or type(error).__name__
    return f"HTTP {error.code} {text}" if hasattr(error, "code") else text


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)
