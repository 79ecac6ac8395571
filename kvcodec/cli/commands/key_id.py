"""``kvcodec key-id``: the ids of keys, which stand in every header that they seal."""

from __future__ import annotations

import sys
from getpass import getpass
from typing import Annotated, Literal

from cyclopts import Parameter
from msgspec import Struct

from kvcodec.cli.output import FINE, Common, Output
from kvcodec.errors import ConfigError, forgetful
from kvcodec.secrets.keyring import KeyRing
from kvcodec.secrets.ring_keys import split_keys

__all__ = ["key_id"]


class KeyId(Struct):
    """One key of a ring, in ``--json``."""

    key_id: str
    role: Literal["primary", "retired"]


def key_id(
    *refused: Annotated[str, Parameter(show=False)],
    env: Annotated[
        str | None,
        Parameter(
            metavar="NAME", help="The environment variable that has the keys, primary first."
        ),
    ] = None,
    file: Annotated[str | None, Parameter(metavar="FILE", help="The file that has them.")] = None,
    common: Common | None = None,
) -> int:
    """Print the id of a key, or of each key of a ring, the primary one first.

    The keys come from an environment variable, a file, standard input, or from the terminal, where
    they are not shown; never from an argument. An id is no secret: it stands in what is sealed.

    For example: `kvcodec key-id --env APP_KEYS`
    """
    if refused:
        raise ConfigError(
            "a key is no argument: everybody on this machine can read those, and the shell keeps "
            "them. Use --env, --file or standard input, and take a key that was given here for "
            "known to others"
        )
    out = Output(common)
    ring = _ring(env, file)
    out.record(KeyId(ring.primary, "primary"))
    for each in ring.retired:
        out.record(KeyId(each, "retired"))
    if not out.json:
        lines = [ring.primary, *(f"{each}  retired" for each in ring.retired)]
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    return FINE


def _ring(env: str | None, file: str | None) -> KeyRing:
    if env is not None and file is not None:
        raise ConfigError("the keys are in one place: give --env or --file")
    if env is not None:
        return KeyRing.from_env(env)
    return _typed() if file is None else KeyRing.from_file(file)


@forgetful
def _typed() -> KeyRing:
    text = getpass("Key (not shown): ") if sys.stdin.isatty() else sys.stdin.read()
    keys = split_keys(text)
    if not keys:
        raise ConfigError("no key: give it on standard input, or name its place by --env or --file")
    return KeyRing(keys[0], retired=keys[1:])
