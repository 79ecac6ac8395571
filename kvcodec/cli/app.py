"""The commands of ``kvcodec``, and what becomes of an error: a message and an exit code."""

from __future__ import annotations

import logging
import os
import select
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import metadata
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, TextIO

from cyclopts import App, CycloptsError, CycloptsPanel, Parameter
from rich.console import Console

from kvcodec.cli.output import FINE, FOUND, INTERRUPTED, UNAVAILABLE, WRONG, Output, printable
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
    "ls": "kvcodec.cli.commands.ls:ls",
    "get": "kvcodec.cli.commands.get:get",
    "explain": "kvcodec.cli.commands.explain:explain",
    "log": "kvcodec.cli.commands.log:app",
    "file": "kvcodec.cli.commands.file:app",
    "verify": "kvcodec.cli.commands.verify:verify",
    "migrate": "kvcodec.cli.commands.migrate:migrate",
    "rewrap": "kvcodec.cli.commands.rewrap:rewrap",
    "copy": "kvcodec.cli.commands.copy:copy",
    "lock": "kvcodec.cli.commands.lock:lock",
    "keygen": "kvcodec.cli.commands.keygen:keygen",
    "key-id": "kvcodec.cli.commands.key_id:key_id",
    "bench": "kvcodec.cli.commands.bench:bench",
}
"""Each with its function, whose docstring is its help, or an App of several; imported when it is
called. Help lists them in this order."""

_USAGE: Final = {"ls": "Usage: kvcodec ls [OPTIONS] URL [PREFIX]"}
"""Where cyclopts has no name for what may be left out."""


_HELP: Final = """Look into a KV (SQLite, Redis, PostgreSQL, NATS, S3 ...), verify, migrate,
rotate and copy what kvcodec keeps in it.

Begin with `kvcodec ls sqlite:///app.db`, which needs no declaration. `kvcodec COMMAND --help` has
each command's options, and an example. `--debug`, with any command, adds tracebacks to errors.
"""


def _app() -> App:
    app = App(
        name="kvcodec",
        help=_HELP,
        version=lambda: metadata.version("kvcodec"),
        result_action="return_value",
        help_format="markdown",
        default_parameter=Parameter(show_default=_default_said),
        suppress_keyboard_interrupt=False,  # cyclopts would exit: with more than a code
    )
    for at, (name, place) in enumerate(_COMMANDS.items()):
        if name in _USAGE:
            app.command(place, name=name, sort_key=at, usage=_USAGE[name])
        else:
            app.command(place, name=name, sort_key=at)
    completing: Any = app  # what this method takes is told in part only
    completing.register_install_completion_command(name="--install-completion")
    return app


def _default_said(default: object) -> str | None:
    """What help says of a default; nothing where an option that is left out does nothing."""
    return str(default) if default not in (None, False, "") else None


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
    _take_streams()
    if not debug:
        logging.lastResort = logging.NullHandler()  # a client logs what it raises, too
    try:
        with warnings.catch_warnings():
            told: Any = warnings
            told.showwarning = _warned
            code: Any = _app_for(tokens)(tokens, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        return _say_usage(error, tokens)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a traceback is for --debug
        _let_go()
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return INTERRUPTED if tokens[0] in _GOES_ON else FINE
        if debug:
            traceback.print_exc()
        return _say(error)
    return code if isinstance(code, int) else FINE


def _warned(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Say what a KV warns of, without the line of the source that it comes from."""
    Output(None).warn(f"kvcodec: {category.__name__}: {message}")


_GOES_ON: Final = frozenset(("copy", "verify", "migrate", "rewrap"))
"""Of these the rest is not done, or what is wrong not said, once nobody reads any more."""


def _take_streams() -> None:
    """Have somewhere to write: to nowhere where it is closed, and with any character."""
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _nowhere())
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _let_go() -> None:
    """Forget what cannot be written: Python would try it once more, at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = _nowhere()


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _nobody_reads() -> bool:
    """Whether standard output is a pipe that nobody reads, as behind `head` that has had enough."""
    poll = select.poll()
    poll.register(1, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _say_usage(error: CycloptsError, tokens: list[str]) -> int:
    from kvcodec.cli.places import holds_secret
    from kvcodec.secrets.ring_keys import holds_key

    if any(holds_key(each) or holds_secret(each) for each in tokens):
        said = (
            "not said: an argument here is a key, or has a password, which is known to others now"
        )
        print(f"kvcodec: wrong usage, {said}", file=sys.stderr)  # noqa: T201
    else:
        Console(stderr=True).print(CycloptsPanel(error))
    asked = " ".join(("kvcodec", *(error.command_chain or ()), "--help"))
    print(f"kvcodec: {asked} has the arguments and options", file=sys.stderr)  # noqa: T201
    return WRONG


def _say(error: BaseException) -> int:
    known = isinstance(error, KVCodecError | OSError)
    # What a client says may repeat a URL, with its password: its kind alone is told.
    said = str(error) if known else "see more with --debug"
    print(f"kvcodec: {type(error).__name__}: {printable(said)}", file=sys.stderr)  # noqa: T201
    if isinstance(error, ConfigError | KeyNameError | Unsupported | LimitExceeded):
        return WRONG
    if isinstance(error, BackendError) or not isinstance(error, KVCodecError):
        return UNAVAILABLE
    return FOUND
