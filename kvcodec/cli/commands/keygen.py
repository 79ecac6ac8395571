"""``kvcodec keygen``: a new key, for the environment or in a file."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter
from msgspec import Struct

from kvcodec.cli.output import FINE, Common, Output
from kvcodec.errors import ConfigError
from kvcodec.secrets.keyring import KeyRing
from kvcodec.secrets.ring_keys import holds_key

__all__ = ["keygen"]


class Made(Struct, omit_defaults=True):
    """A new key, in ``--json``: its text, or the file that it is in."""

    key_id: str
    key: str | None = None
    env: str | None = None
    file: str | None = None


def keygen(
    *,
    env: Annotated[
        str | None,
        Parameter(
            metavar="NAME", help="Print NAME=KEY, as files of environment variables have it."
        ),
    ] = None,
    file: Annotated[
        str | None,
        Parameter(
            metavar="FILE",
            help="Write the key to a new file that only its owner may read; print its id.",
        ),
    ] = None,
    common: Common | None = None,
) -> int:
    """Make a new random key, and print it: once, to be kept where secrets are kept.

    With `--file`, and with its output sent to a file, it is not on the terminal.

    For example: `kvcodec keygen --env APP_KEYS >> .env`
    """
    out = Output(common)
    if env is not None and file is not None:
        raise ConfigError("--env is for what is printed, and --file prints no key: give one")
    if file is not None:
        made = Made(KeyRing.create_file(file).primary, file=file)
        line = f"{made.key_id}  in {file}"
    else:
        key = KeyRing.generate_key()
        made = Made(KeyRing(key).primary, key, _checked(env))
        line = key if env is None else f"{env}={key}"
    out.record(made)
    if not out.json:
        sys.stdout.write(f"{line}\n")
    if file is None and sys.stdout.isatty():
        out.warn("This key is in the terminal's memory now: for one that matters, see --file.")
    return FINE


def _checked(name: str | None) -> str | None:
    if name is None or (name.isidentifier() and name.isascii() and not holds_key(name)):
        return name
    raise ConfigError("--env takes a variable's name: letters, digits and _")
