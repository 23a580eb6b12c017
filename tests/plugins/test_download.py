"""Files fetched from elsewhere: verified, whole or not at all, and what is said where that fails."""

from __future__ import annotations

import hashlib
import shutil
import socket
import threading
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers_host import Host

from prunekit import InputError, PrunekitError
from prunekit.plugins.datasets import _download
from prunekit.plugins.datasets._download import RemoteFile, data_folder, fetch
from prunekit.progress import listening

BODY = bytes(range(256)) * 3000  # three chunks
MD5 = hashlib.md5(BODY).hexdigest()


def at(*urls: str, md5: str = MD5, note: str = "") -> RemoteFile:
    return RemoteFile("set.gz", md5, urls, note)


def visible(folder: Path) -> list[str]:
    """Return what lies in ``folder``, but for the (empty, hidden) locks."""
    return sorted(path.name for path in folder.rglob("*") if path.suffix != ".lock")


def refusal(file: RemoteFile, folder: Path) -> str:
    """Return the line with which a failed download is reported, having checked that nothing is left of it."""
    with pytest.raises(PrunekitError) as caught:
        fetch(file, folder)
    assert caught.value.exit_code == 1
    assert visible(folder) == []
    message = str(caught.value)
    assert "\n" not in message
    assert "nothing was kept" in message
    for part in (*file.urls, str(folder / "set.gz"), f"md5 {file.md5}"):
        assert part in message
    return message


def test_an_absent_file_is_downloaded_once_and_its_progress_told(host: Host, tmp_path: Path) -> None:
    host.contents["set.gz"] = BODY
    told: list[tuple[str, int, int | None]] = []
    with listening(lambda *what: told.append(what)):
        path = fetch(at(host.url("set.gz")), tmp_path / "new" / "folder")
        assert fetch(at(host.url("set.gz")), tmp_path / "new" / "folder") == path
    assert path.read_bytes() == BODY
    assert visible(path.parent) == ["set.gz"]
    assert host.asked == ["set.gz"]
    assert {(what, total) for what, _, total in told} == {("downloading set.gz", len(BODY))}
    done = [each for _, each, _ in told]
    assert done == sorted(done)
    assert (done[0], done[-1], len(done)) == (0, len(BODY), 4)


def test_a_download_that_is_cut_off_leaves_nothing(host: Host, tmp_path: Path) -> None:
    host.contents["set.gz"], host.withheld["set.gz"] = BODY, 1000
    assert "cut off after 767,000 of 768,000 bytes" in refusal(at(host.url("set.gz")), tmp_path)


def test_a_download_with_another_checksum_leaves_nothing(host: Host, tmp_path: Path) -> None:
    host.contents["set.gz"] = BODY[:-1] + b"x"
    found = hashlib.md5(host.contents["set.gz"]).hexdigest()
    assert f"its md5 is {found}, expected {MD5}" in refusal(at(host.url("set.gz")), tmp_path)


def test_an_unreachable_host_is_named_with_what_to_put_where(tmp_path: Path) -> None:
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/set.gz"
        message = refusal(at(url, note="the plain version"), tmp_path)
    assert "Connection refused" in message
    assert message.endswith("the plain version")


def test_a_file_that_the_host_lacks_is_reported_with_its_code(host: Host, tmp_path: Path) -> None:
    assert "HTTP 404" in refusal(at(host.url("set.gz")), tmp_path)


def test_a_host_that_says_nothing_is_given_up(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_download, "TIMEOUT", 0.1)
    host.stalling.set()
    assert "timed out" in refusal(at(host.url("set.gz")), tmp_path)


def test_a_host_that_speaks_another_protocol_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def mumble() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1000)
                client.sendall(b"what?\r\n\r\n")

        thread = threading.Thread(target=mumble)
        thread.start()
        assert "what?" in refusal(at(f"http://127.0.0.1:{server.getsockname()[1]}/set.gz"), tmp_path)
        thread.join()


def test_the_next_host_is_asked_where_one_fails_half_way(host: Host, tmp_path: Path) -> None:
    host.contents |= {"short/set.gz": BODY, "wrong/set.gz": BODY + BODY, "right/set.gz": BODY}
    host.withheld["short/set.gz"] = 1
    urls = [host.url(f"{each}/set.gz") for each in ("absent", "short", "wrong", "right", "never")]
    assert fetch(at(*urls), tmp_path).read_bytes() == BODY
    assert host.asked == ["absent/set.gz", "short/set.gz", "wrong/set.gz", "right/set.gz"]


def test_where_all_hosts_fail_each_reason_is_given(host: Host, tmp_path: Path) -> None:
    host.contents["short"], host.withheld["short"] = BODY, 768_000
    message = refusal(at(host.url("absent"), host.url("short")), tmp_path)
    assert "HTTP 404" in message
    assert "cut off after 0 of 768,000 bytes" in message


def test_another_file_of_that_name_is_refused_and_left_alone(host: Host, tmp_path: Path) -> None:
    host.contents["set.gz"] = BODY
    (tmp_path / "set.gz").write_bytes(b"mine")
    with pytest.raises(InputError) as caught:
        fetch(at(host.url("set.gz")), tmp_path)
    found = hashlib.md5(b"mine").hexdigest()
    assert str(caught.value).startswith(f"{tmp_path / 'set.gz'}: its md5 is {found}, expected {MD5}: remove the file")
    assert (tmp_path / "set.gz").read_bytes() == b"mine"
    assert host.asked == []


def test_something_unreadable_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.gz").mkdir()
    with pytest.raises(InputError, match=r"set\.gz: cannot be read: Is a directory"):
        fetch(at("http://127.0.0.1:1/"), tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/in/set\.gz: cannot be written: Not a directory"):
        fetch(at("http://127.0.0.1:1/"), tmp_path / "file" / "in")


def test_a_disk_too_small_is_refused_before_anything_is_written(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.contents["set.gz"] = BODY
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 700_000 + (64 << 20)))
    with pytest.raises(InputError, match=r"set\.gz takes 0\.8 MB of disk and 0\.7 MB are free in .*: .* set `root`"):
        fetch(at(host.url("set.gz")), tmp_path)
    assert visible(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_leaves_nothing(host: Host, tmp_path: Path) -> None:
    host.contents["set.gz"] = BODY
    (tmp_path / "set.gz.part").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"set\.gz: cannot be written: No space left on device"):
        fetch(at(host.url("set.gz")), tmp_path)
    assert visible(tmp_path) == []


def test_a_user_who_stops_leaves_nothing(host: Host, tmp_path: Path) -> None:
    host.contents["set.gz"] = BODY

    def stop(what: str, done: int, total: int | None) -> None:
        if done:
            assert visible(tmp_path) == ["set.gz.part"]
            raise KeyboardInterrupt

    with listening(stop), pytest.raises(KeyboardInterrupt):
        fetch(at(host.url("set.gz")), tmp_path)
    assert visible(tmp_path) == []


def test_what_a_killed_process_left_is_written_over(host: Host, tmp_path: Path) -> None:
    host.contents["set.gz"] = BODY
    (tmp_path / "set.gz.part").write_bytes(BODY + BODY)
    assert fetch(at(host.url("set.gz")), tmp_path).read_bytes() == BODY
    assert visible(tmp_path) == ["set.gz"]


def test_of_two_at_once_one_downloads_and_the_other_says_that_it_waits(host: Host, tmp_path: Path) -> None:
    host.contents["set.gz"] = BODY
    host.stalling.set()
    told: list[str] = []

    def hear(what: str, done: int, total: int | None) -> None:
        told.append(what)
        host.stalling.clear()  # only once this one waits does the other get its file

    with ThreadPoolExecutor() as pool:
        other = pool.submit(fetch, at(host.url("set.gz")), tmp_path)
        while not host.asked:
            time.sleep(0.01)
        with listening(hear):
            path = fetch(at(host.url("set.gz")), tmp_path)
    assert other.result() == path
    assert path.read_bytes() == BODY
    assert told == ["waiting for another run that downloads the same file"]
    assert host.asked == ["set.gz"]


def test_the_data_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PRUNEKIT_DATA", "PRUNEKIT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    assert data_folder() == Path("/home/ada/.cache/prunekit/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "/scratch/cache")
    assert data_folder() == Path("/scratch/cache/prunekit/data")
    monkeypatch.setenv("PRUNEKIT_CACHE", "/fast")
    assert data_folder() == Path("/fast/data")
    monkeypatch.setenv("PRUNEKIT_DATA", "~/data")
    assert data_folder() == Path("/home/ada/data")
