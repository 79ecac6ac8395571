"""What arguments name: a KV by its URL, by ``env:NAME``, or by the function that returns it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from difflib import get_close_matches
from hashlib import sha256
from importlib import import_module
from inspect import isawaitable, iscoroutinefunction
from pathlib import Path
from re import compile as pattern
from typing import Any, Final
from urllib.parse import unquote

from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.backends.url import open_async_kv, open_kv
from kvcodec.cli.bridge import BridgedKV, running
from kvcodec.errors import ConfigError, KVCodecError, forgetful
from kvcodec.protocols import KV, AsyncKV

__all__ = ["holds_secret", "identity", "imported", "named", "opened", "theirs"]

_URL: Final = pattern(r"[A-Za-z][A-Za-z0-9+.-]*://|memory:")
_SECRET: Final = pattern(r"(?i)pass|secret|token|sas|credential|(?<!ssl)key(?!_?id|_enabled|file)")
"""In names of a URL's options: what has a value that must not stand in a list of arguments."""
_OF_PATHS: Final = frozenset(("sqlite", "file"))
_VARIABLE: Final = pattern(r"[A-Za-z_][A-Za-z0-9_]*")


@contextmanager
def opened(place: str, *, create: bool = False) -> Generator[KV]:
    """Open the KV that an argument names, and close it at the end of the ``with`` statement.

    A URL, as ``open_kv`` takes it; ``env:NAME``, the URL in an environment variable; or
    ``module:function``, whose result is a handle, sync or async. With ``create`` a SQLite file or a
    folder that is not there is made. Raises ConfigError for what is none of these, for a URL that
    has a password in it, and for a file that is not there.
    """
    with ExitStack() as stack:
        if place.startswith("env:"):
            yield stack.enter_context(_by_url(_in_environment(place), create=create))
        elif _URL.match(place):
            _refuse_secrets(place)
            yield stack.enter_context(_by_url(place, create=create))
        else:
            yield stack.enter_context(_by_function(place))


@forgetful
def identity(place: str) -> str:
    """Return what tells a place from others: of ``env:NAME``, the store that it is now, too.

    Nothing of a password is in it, and nothing that one could be tried against.
    """
    if not place.startswith("env:"):
        return place
    where, _, query = _in_environment(place).partition("?")
    scheme, _, rest = where.partition("://")
    options = [each for each in query.split("&") if not _SECRET.search(unquote(each))]
    told = "\n".join([scheme, rest.rpartition("@")[2], *options])
    return f"{place} ({sha256(told.encode()).hexdigest()[:8]})"


def named(place: str) -> Any:
    """Return what ``module:NAME`` names. Raises ConfigError if there is no such thing.

    Modules are looked for in the working directory too, as ``python -m`` does.
    """
    module, _, name = place.partition(":")
    if not all(map(str.isidentifier, name.split("."))):
        raise ConfigError(_wanted(place))
    found: Any = imported(module)
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"the module {module} has no {name}{_alike(part, dir(found))}")
        found = getattr(found, part)
    return found


def _wanted(place: str) -> str:
    # What is no path is not repeated: it may be a URL with a slip in it, and a password.
    wanted = "a URL (of a file: sqlite:///app.db), env:NAME, or module:NAME is wanted"
    if not os.path.exists(place):  # noqa: PTH110 - False of what can be no path, too
        return wanted
    folder = Path(place).is_dir()
    url = Path(place).resolve().as_uri() if folder else f"sqlite:///{place}"
    return f"{wanted}: the URL of this path is {url}"


def _alike(name: str, names: list[str]) -> str:
    found = get_close_matches(name, names, 1)
    return f": is it {found[0]}?" if found else ""


def imported(module: str) -> Any:
    """Import a module of the user's.

    Raises ConfigError if there is none of this name, or none that can be imported.
    """
    if not all(map(str.isidentifier, module.split("."))):
        raise ConfigError(_wanted(module))
    if "" not in sys.path:
        sys.path.insert(0, "")
    with theirs(f"the module {module}"):
        return import_module(module)


@contextmanager
def theirs(what: str) -> Generator[None]:
    """Run code of the user's in a ``with`` statement.

    What it prints goes to standard error: the output is the command's. Raises ConfigError for what
    it raises, SystemExit too, but for kvcodec's own errors.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except KVCodecError:
        raise
    except ModuleNotFoundError as error:
        why = f"there is no module {error.name} here or where Python looks"
        raise ConfigError(f"{what} cannot be had: {why}") from error
    except (Exception, SystemExit) as error:
        kind = type(error).__name__
        raise ConfigError(f"{what} raises {kind}: see more with --debug") from error


@forgetful
def _in_environment(place: str) -> str:
    name = place.removeprefix("env:")
    if not _VARIABLE.fullmatch(name):
        raise ConfigError("env:NAME has the name of an environment variable, and nothing else")
    url = os.environ.get(name)
    if not url:
        raise ConfigError(f"the environment variable {name} is not set: it is to hold a KV's URL")
    return url


def _refuse_secrets(url: str) -> None:
    if holds_secret(url):
        raise ConfigError(
            "this URL holds a secret, which everybody on this machine can read in the list of "
            "processes: put it into an environment variable, and give env:NAME in its place"
        )


def holds_secret(url: str) -> bool:
    """Whether a URL has a password in it, or what else must not stand in a list of arguments."""
    # Not by what a URL's parts are: one with a slip in it holds its password too.
    scheme, _, rest = url.lower().partition("://")
    options = [unquote(each.partition("=")[0]) for each in rest.partition("?")[2].split("&")]
    user, at, _ = ("", "", "") if scheme in _OF_PATHS else unquote(rest).rpartition("@")
    has_password = ":" in user.rstrip(":") or (at and scheme == "nats")  # a name is a token there
    return bool(has_password) or any(map(_SECRET.search, options))


@contextmanager
def _by_url(url: str, *, create: bool) -> Generator[KV]:
    if not create:
        _refuse_missing(url)
    if not url.lower().startswith("nats:"):
        with open_kv(url) as kv:
            yield kv
        return
    with _bridged(lambda: open_async_kv(url)) as bridged:
        yield bridged


def _refuse_missing(url: str) -> None:
    # SQLite and folders are made when they are opened: of a name with a slip in it too.
    scheme, _, rest = url.partition("://")
    if scheme.lower() in _OF_PATHS:
        path = unquote(rest.partition("?")[0])
        path = path.removeprefix("/") if scheme.lower() == "sqlite" else path
        if not os.path.exists(path):  # noqa: PTH110 - False of what can be no path, too
            raise ConfigError(f"there is nothing at {path}: a path begins in the working directory")


@contextmanager
def _by_function(place: str) -> Generator[KV]:
    make: Any = named(place)
    if not callable(make):
        raise ConfigError(f"{place} is no function: one that returns a handle is wanted")
    with ExitStack() as stack:
        if iscoroutinefunction(make):
            yield stack.enter_context(_bridged(make))
            return
        with redirect_stdout(sys.stderr):  # what is no use to a program that reads the output
            handle: Any = make()
        kv = _as_kv(handle)
        if kv is None:
            yield stack.enter_context(_bridged(lambda: handle))
            return
        if callable(getattr(handle, "close", None)):
            stack.callback(handle.close)
        yield kv


def _as_kv(handle: Any) -> KV | None:
    """The KV over a handle; None over one that is to be awaited."""
    try:
        return as_kv(handle)
    except ConfigError:
        with suppress(ConfigError):
            as_async_kv(handle)
            return None
        raise


@contextmanager
def _bridged(make: Callable[[], Any]) -> Generator[KV]:
    """What is made on a loop: an AsyncKV, or a handle that is one."""
    with running() as loop:

        async def made() -> tuple[Any, AsyncKV]:
            found: Any = make()
            handle: Any = await found if isawaitable(found) else found
            return handle, as_async_kv(handle)

        handle, kv = loop.wait(made)
        try:
            yield BridgedKV(kv, loop)
        finally:
            if callable(getattr(handle, "aclose", None)):
                loop.wait(handle.aclose)
