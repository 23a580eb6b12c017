"""The command line without a process of its own, which would import torch each time."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from unittest.mock import patch

from prunekit.cli import main


def prunekit(*arguments: str | Path, cwd: Path | None = None, **variables: str) -> CompletedProcess[str]:
    """Do what ``prunekit ARGUMENTS`` does, and return its exit code and what it printed."""
    said = [str(argument) for argument in arguments]
    out, errors, code = (*(io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)), 0)
    terminated = signal.getsignal(signal.SIGTERM)
    with (
        chdir(cwd or Path.cwd()),
        patch.dict(os.environ, variables),
        patch.object(sys, "argv", ["prunekit", *said]),
        redirect_stdout(out),
        redirect_stderr(errors),
    ):
        try:
            main._main()
        except SystemExit as exit:
            code = int(exit.code or 0)
        finally:
            signal.signal(signal.SIGTERM, terminated)
    texts = []
    for stream in (out, errors):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return CompletedProcess(said, code, *texts)
