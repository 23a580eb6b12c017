"""``prunekit``: the group of commands, and how every error leaves it."""

from __future__ import annotations

import atexit
import io
import os
import sys
import traceback
from contextlib import suppress
from typing import Any, NoReturn

import click

from prunekit import __version__
from prunekit.errors import PrunekitError

from .plugins import plugins
from .recipes import recipes
from .report import report
from .run import run
from .store import store

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="prunekit")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def cli() -> None:
    """What does pruning make a model forget?

    Train populations of networks, prune them, and see which examples, classes and representations paid for it.

    \b
    Example:
      prunekit run recipes/scl_onshot_90.yaml
      prunekit report --compare dense,sparse
    """


for command in (run, report, store, plugins, recipes):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line: an error is one line on stderr and exit code 2 (bad input), 1, 3 (--fail-if) or 130."""
    ended: list[Any] = []
    atexit.register(_leave, ended)  # the first that is registered is the last that is called
    try:
        _main()
    except SystemExit as exit:
        ended.append(exit.code)
        raise


def _leave(ended: list[Any]) -> None:
    """End the process at once: taking torch apart takes seconds on a busy machine, and all is written by now."""
    if ended and "torch" in sys.modules:
        with suppress(BrokenPipeError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(ended[0])


def _main() -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our arrows still gets the numbers
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        cli.main(arguments, prog_name="prunekit", standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code, debug)
    except PrunekitError as error:
        _fail(str(error), error.exit_code, debug)
    except (KeyboardInterrupt, click.Abort):
        going_on = "; the same command goes on from here" if arguments[:1] == ["run"] else ""
        _fail(f"stopped{going_on}", INTERRUPTED, debug)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read our output has had enough
        sys.exit(0)
    except OSError as error:
        _fail(f"{error.filename or 'the system'}: {error.strerror or error}", 1, debug)
    except Exception as error:  # noqa: BLE001  (nothing leaves as a traceback unless it is asked for)
        _fail(f"internal error: {type(error).__name__}: {error} (--debug shows where)", 1, debug)
    sys.exit(0)


def _fail(message: str, code: int, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    print(f"prunekit: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
