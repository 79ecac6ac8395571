"""The commands of ``kvcodec``, and what becomes of an error: a message and an exit code."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import metadata
from typing import Any, Final

from cyclopts import App, CycloptsError

from kvcodec.cli.output import FOUND, INTERRUPTED, UNAVAILABLE, WRONG, Output, printable
from kvcodec.errors import (
    BackendError,
    ConfigError,
    KeyNameError,
    KVCodecError,
    LimitExceeded,
    Unsupported,
)

__all__ = ["run"]

_COMMANDS: Final = {
    "ls": "kvcodec.cli.ls:ls",
    "get": "kvcodec.cli.get:get",
    "explain": "kvcodec.cli.explain:explain",
    "log": "kvcodec.cli.log:app",
    "file": "kvcodec.cli.file:app",
    "verify": "kvcodec.cli.verify:verify",
    "migrate": "kvcodec.cli.migrate:migrate",
    "rewrap": "kvcodec.cli.rewrap:rewrap",
    "copy": "kvcodec.cli.copy:copy",
    "lock": "kvcodec.cli.lock:lock",
    "keygen": "kvcodec.cli.keygen:keygen",
    "key-id": "kvcodec.cli.key_id:key_id",
    "bench": "kvcodec.cli.bench:bench",
}
"""As ``--help`` lists them: looking, writing, the rest. Each with its function, whose
docstring is its help, or an App of several; imported when it is called."""


def _app() -> App:
    app = App(
        name="kvcodec",
        help="Look into a KV, verify, migrate, rotate and copy what kvcodec keeps in it.",
        version=lambda: metadata.version("kvcodec"),
        result_action="return_value",
        help_format="markdown",
    )
    for number, (name, place) in enumerate(_COMMANDS.items()):
        app.command(place, name=name, sort_key=number)
    completing: Any = app  # what this method takes is told in part only
    completing.register_install_completion_command(name="--install-completion")
    return app


def _app_for(tokens: list[str]) -> App:
    """The program; where it is asked about its commands, with what they say of themselves."""
    app = _app()
    for name in () if tokens[:1] and tokens[0] in _COMMANDS else _COMMANDS:
        _ = app[name]
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command; return the exit code."""
    # Wherever it stands: it is about the program, and the command has no part in it.
    debug = "--debug" in arguments
    tokens = [each for each in arguments if each != "--debug"]
    if not debug:
        logging.lastResort = logging.NullHandler()  # a client logs what it raises, too
    try:
        with warnings.catch_warnings():
            told: Any = warnings
            told.showwarning = _warned
            code: Any = _app_for(tokens)(tokens, exit_on_error=False)
    except CycloptsError:
        return WRONG  # cyclopts has said what is wrong
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # whoever read has had enough, as `head` has
        return 0
    except Exception as error:  # noqa: BLE001 - a traceback is for --debug
        if debug:
            traceback.print_exc()
        return _say(error)
    return code if isinstance(code, int) else 0


def _warned(message: Warning | str, *_: object) -> None:
    """Say what a KV warns of, without the line of the source that it comes from."""
    Output(None).warn(f"kvcodec: {message}")


def _say(error: Exception) -> int:
    known = isinstance(error, KVCodecError | OSError)
    # What a client says may repeat a URL, with its password: its kind alone is told.
    said = str(error) if known else "see more with --debug"
    print(f"kvcodec: {type(error).__name__}: {printable(said)}", file=sys.stderr)  # noqa: T201
    if isinstance(error, ConfigError | KeyNameError | Unsupported | LimitExceeded):
        return WRONG
    if isinstance(error, BackendError) or not isinstance(error, KVCodecError):
        return UNAVAILABLE
    return FOUND
