"""Files that are fetched once: downloaded where absent, their checksum verified, whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from prunekit import InputError, PrunekitError, __version__, tell_progress

from ._cache import cache_root, locked
from ._limits import check_disk

VARIABLE = "PRUNEKIT_DATA"
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
    """Return ``$PRUNEKIT_DATA``, or the folder ``data`` of prunekit's cache."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen).expanduser() if chosen else cache_root() / "data"


def fetch(file: RemoteFile, folder: Path) -> Path:
    """Return ``file`` in ``folder``, its checksum verified; downloaded where it is absent.

    Raises InputError where the file there is another one, or the folder cannot take it; PrunekitError where no host
    delivers, saying which file to put where. Nothing half-written stays.
    """
    path = folder / file.name
    if path.exists() or not _made(file, path):
        _verify(path, file.md5)
    return path


def _made(file: RemoteFile, path: Path) -> bool:
    """Download ``file``, whole or not at all; return False where another run did so while this one waited for it."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f".{path.name}.lock"), "downloads the same file"):
            if path.exists():
                return False
            try:
                with part.open("wb") as out:
                    _download(file, path, out)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return True


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
    """Yield the contents of ``url``, a chunk at a time. Raises InputError where ``folder`` has no room for them."""
    from http.client import HTTPException  # these take 40 ms
    from urllib.request import Request, urlopen

    done = 0
    try:
        with urlopen(Request(url, headers={"User-Agent": f"prunekit/{__version__}"}), timeout=TIMEOUT) as response:
            total = response.length
            check_disk(total or 0, folder, "`root`", f"{name} takes")
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
    """Return in one line what went wrong on the way, without the wrapping that urllib gives it."""
    cause = getattr(error, "reason", error)
    text = " ".join((getattr(cause, "strerror", None) or str(cause)).split()) or type(error).__name__
    return f"HTTP {error.code} {text}" if hasattr(error, "code") else text


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)
