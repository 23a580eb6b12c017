"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from prunekit.errors import PrunekitError


def write_whole(path: Path, content: bytes) -> None:
    """Write a draft beside ``path`` and rename it. Raises PrunekitError where that cannot be done."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise PrunekitError(f"{path}: cannot be written: {error.strerror}") from error
