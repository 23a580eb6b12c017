"""What tests of the published data sets share: a host, and a folder of their own for what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_host import Host, serving


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where prunekit keeps what it downloads (in ``data``) and decodes, in place of the user's cache."""
    monkeypatch.delenv("PRUNEKIT_DATA", raising=False)
    monkeypatch.setenv("PRUNEKIT_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A web server that nobody else can reach."""
    monkeypatch.setenv("no_proxy", "*")
    with serving() as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where prunekit keeps decoded images, in place of the user's cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PRUNEKIT_CACHE", str(folder))
    return folder
