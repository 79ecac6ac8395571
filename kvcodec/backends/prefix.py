"""A part of a KV, seen as a KV of its own."""

from __future__ import annotations

import re
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Hashable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from typing import Any, ClassVar, Final

from msgspec.structs import replace

from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.backends.capabilities import (
    all_stored,
    limits_of,
    place_behind,
    replaced,
    values_of,
)
from kvcodec.backends.listings import alet_go, let_go
from kvcodec.backends.wrapping import Wrapping
from kvcodec.errors import ConfigError, forgetful
from kvcodec.protocols import KV, AsyncKV, Limits, Token

__all__ = ["AsyncPrefixKV", "PrefixKV"]

_SEPARATORS: Final = ("/", ":")
"""What a prefix may end in. Not ``!``: it introduces the names that kvcodec derives, and whoever
lists the whole KV would take a tenant's values for parts of another value."""


# ------------------------------------------------------------------------------- capabilities
#
# Methods of the twins that are there only if the wrapped KV has them. Those that only pass a
# result on serve both: an awaitable is a result.


def _exists(self: _Prefixed, key: str, /) -> Any:
    return self._kv.exists(self._prefix + key)


@forgetful
def _set_with_ttl(self: _Prefixed, key: str, value: bytes, ttl: float, /) -> Any:
    return self._kv.set_with_ttl(self._prefix + key, value, ttl)


@forgetful
def _set_many_with_ttl(self: _Prefixed, items: Mapping[str, bytes], ttl: float, /) -> Any:
    whole = _whole(self, items)
    answer = self._kv.set_many_with_ttl(whole, ttl)
    all_stored(answer, whole, "set_many_with_ttl")
    return answer


@forgetful
async def _async_set_many_with_ttl(
    self: _Prefixed, items: Mapping[str, bytes], ttl: float, /
) -> None:
    whole = _whole(self, items)
    all_stored(await self._kv.set_many_with_ttl(whole, ttl), whole, "set_many_with_ttl")


@forgetful
def _set_if_absent(self: _Prefixed, key: str, value: bytes, ttl: float | None, /) -> Any:
    return self._kv.set_if_absent(self._prefix + key, value, ttl)


def _get_versioned(self: _Prefixed, key: str, /) -> Any:
    return self._kv.get_versioned(self._prefix + key)


@forgetful
def _set_if_version(
    self: _Prefixed, key: str, value: bytes, token: Token, ttl: float | None, /
) -> Any:
    return self._kv.set_if_version(self._prefix + key, value, token, ttl)


@forgetful
def _get_many_versioned(self: _Prefixed, keys: Sequence[str], /) -> dict[str, Any]:
    prefix = self._prefix
    return _stripped(self._kv.get_many_versioned([prefix + key for key in keys]), prefix)


@forgetful
async def _async_get_many_versioned(self: _Prefixed, keys: Sequence[str], /) -> dict[str, Any]:
    prefix = self._prefix
    return _stripped(await self._kv.get_many_versioned([prefix + key for key in keys]), prefix)


@forgetful
def _set_many_if_version(self: _Prefixed, changes: Mapping[str, Any], /) -> list[str]:
    whole = _whole(self, changes)
    done = replaced(self._kv.set_many_if_version(whole), whole)
    return [key[len(self._prefix) :] for key in done]


@forgetful
async def _async_set_many_if_version(self: _Prefixed, changes: Mapping[str, Any], /) -> list[str]:
    whole = _whole(self, changes)
    done = replaced(await self._kv.set_many_if_version(whole), whole)
    return [key[len(self._prefix) :] for key in done]


def _delete_if_version(self: _Prefixed, key: str, token: Token, /) -> Any:
    return self._kv.delete_if_version(self._prefix + key, token)


def _delete_many(self: _Prefixed, keys: Sequence[str], /) -> Any:
    return self._kv.delete_many([self._prefix + key for key in keys])


def _whole(self: _Prefixed, items: Mapping[str, Any]) -> dict[str, Any]:
    return {self._prefix + key: value for key, value in items.items()}


@forgetful
def _set_many(self: _Prefixed, items: Mapping[str, bytes], /) -> Any:
    whole = _whole(self, items)
    answer = self._kv.set_many(whole)
    all_stored(answer, whole)  # here, as the answer is in the names of the whole
    return answer


@forgetful
async def _async_set_many(self: _Prefixed, items: Mapping[str, bytes], /) -> None:
    whole = _whole(self, items)
    all_stored(await self._kv.set_many(whole), whole)


@forgetful
def _get_many(self: _Prefixed, keys: Sequence[str], /) -> dict[str, bytes]:
    prefix = self._prefix
    return _stripped(self._kv.get_many([prefix + key for key in keys]), prefix)


@forgetful
async def _async_get_many(self: _Prefixed, keys: Sequence[str], /) -> dict[str, bytes]:
    prefix = self._prefix
    return _stripped(await self._kv.get_many([prefix + key for key in keys]), prefix)


def _stripped(answer: object, prefix: str) -> dict[str, Any]:
    return {key[len(prefix) :]: value for key, value in values_of(answer).items()}


def _scan_keys(self: _Prefixed, prefix: str, start_after: str = "", /) -> Iterator[str]:
    own = self._prefix
    names = self._kv.scan_keys(own + prefix, start_after and own + start_after)
    try:
        for key in names:
            yield key[len(own) :]
    finally:
        let_go(names)


async def _async_scan_keys(
    self: _Prefixed, prefix: str, start_after: str = "", /
) -> AsyncIterator[str]:
    own = self._prefix
    names = self._kv.scan_keys(own + prefix, start_after and own + start_after)
    try:
        async for key in names:
            yield key[len(own) :]
    finally:
        await alet_go(names)


def _reduced(limits: Limits, prefix: str) -> Limits:
    """Return what is left of the limits behind a prefix. Raises ConfigError if nothing is."""
    if limits.alphabet is not None and prefix.strip(limits.alphabet):
        raise ConfigError("the prefix has a character that the KV does not take in keys")
    room = replace(
        limits,
        key_bytes=_left(limits.key_bytes, prefix),
        # Of the first part, which the prefix may begin; the others are long enough.
        part_bytes=_left(limits.part_bytes, prefix.rpartition("/")[2]),
    )
    if limits.part_bytes is not None:
        for part in prefix.split("/"):
            _left(limits.part_bytes, part[:-1])
    return room


def _left(limit: int | None, taken: str) -> int | None:
    left = None if limit is None else limit - len(taken.encode())
    if left is not None and left <= 0:
        raise ConfigError(f"the prefix takes all of the {limit} bytes that a key may have")
    return left


_OFFERS: Final[dict[str, Callable[..., Any]]] = {
    "exists": _exists,
    "delete_many": _delete_many,
    "set_with_ttl": _set_with_ttl,
    "set_if_absent": _set_if_absent,
    "get_versioned": _get_versioned,
    "set_if_version": _set_if_version,
    "delete_if_version": _delete_if_version,
}


# -------------------------------------------------------------------------------- the twins


_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")
_NO_PATH: Final = re.compile(r"\.\.|(?:^|/)\.?/")


class _Prefixed(Wrapping):
    """What the twins share: the prefix, and what the wrapped KV can do beyond three methods."""

    __slots__ = ("_prefix",)

    def __init__(self, kv: Any, prefix: str) -> None:
        super().__init__(kv)
        self._prefix = _checked(prefix)
        _reduced(limits_of(kv), prefix)  # refused here, not at the first use

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return what identifies the wrapped KV's store, and the key's whole name in it."""
        return place_behind(self._kv, self._prefix + key)

    def _limited(self, limits: Limits) -> Limits:
        return _reduced(limits, self._prefix)


class PrefixKV(_Prefixed):
    r"""The keys of ``kv`` that start with ``prefix``, under the names that follow it.

    ``kv`` is any handle that a store takes: a mapping and a Dify storage are wrapped by themselves.

    ``PrefixKV(kv, "tenants/acme/")`` gives a tenant its own part: whoever holds it can neither
    read nor list the rest. It has the capabilities that ``kv`` has, no more and no fewer, and
    ``limits`` less the prefix. Nesting works: a part of a part is a part.

    The prefix ends in ``/`` or ``:``. Without a separator the parts ``a`` and ``ab`` would meet:
    the first one's ``bc`` is the second one's ``c``. With it they cannot; ``a/`` does contain
    ``a/b/``, so a tenant's name that users choose is to be encoded first, with
    ``urllib.parse.quote(name, safe="")``.

    Raises ConfigError for a prefix that is empty, ends otherwise, holds control characters, lone
    surrogates, ``\``, ``..`` or an empty part (a KV of files would leave its directory), or that
    leaves nothing of the limit on keys.
    """

    __slots__ = ()

    _offers: ClassVar = {
        **_OFFERS,
        "get_many": _get_many,
        "get_many_versioned": _get_many_versioned,
        "set_many_if_version": _set_many_if_version,
        "set_many": _set_many,
        "set_many_with_ttl": _set_many_with_ttl,
        "scan_keys": _scan_keys,
    }

    def __init__(self, kv: KV | MutableMapping[str, bytes], prefix: str) -> None:
        super().__init__(as_kv(kv, "PrefixKV"), prefix)

    def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        name = self._prefix + key
        try:
            value: bytes | None = self._kv.get(name)
        except KeyError as error:
            if not _is_missing(error, name):
                raise
            return None
        return value

    @forgetful
    def set(self, key: str, value: bytes, /) -> object:
        """Store ``value`` under ``key``, replacing what was there."""
        return self._kv.set(self._prefix + key, value)

    def delete(self, key: str, /) -> object:
        """Remove ``key``; no error if it is absent."""
        name = self._prefix + key
        try:
            return self._kv.delete(name)
        except KeyError as error:
            if not _is_missing(error, name):
                raise
            return None


class AsyncPrefixKV(_Prefixed):
    r"""``PrefixKV`` over a KV whose methods return awaitables.

    ``kv`` is any handle that an async store takes: a mapping is wrapped by itself.

    ``AsyncPrefixKV(kv, "tenants/acme/")`` gives a tenant its own part: whoever holds it can
    neither read nor list the rest. It has the capabilities that ``kv`` has, no more and no fewer,
    and ``limits`` less the prefix. Nesting works: a part of a part is a part.

    The prefix ends in ``/`` or ``:``. Without a separator the parts ``a`` and ``ab`` would meet:
    the first one's ``bc`` is the second one's ``c``. With it they cannot; ``a/`` does contain
    ``a/b/``, so a tenant's name that users choose is to be encoded first, with
    ``urllib.parse.quote(name, safe="")``.

    Raises ConfigError for a prefix that is empty, ends otherwise, holds control characters, lone
    surrogates, ``\``, ``..`` or an empty part (a KV of files would leave its directory), or that
    leaves nothing of the limit on keys.
    """

    __slots__ = ()

    _offers: ClassVar = {
        **_OFFERS,
        "get_many": _async_get_many,
        "get_many_versioned": _async_get_many_versioned,
        "set_many_if_version": _async_set_many_if_version,
        "set_many": _async_set_many,
        "set_many_with_ttl": _async_set_many_with_ttl,
        "scan_keys": _async_scan_keys,
    }

    def __init__(self, kv: AsyncKV | MutableMapping[str, bytes], prefix: str) -> None:
        super().__init__(as_async_kv(kv, "PrefixKV"), prefix)

    def get(self, key: str, /) -> Awaitable[bytes | None]:
        """Return the value stored under ``key``, or None if there is none."""
        value: Awaitable[bytes | None] = _or_missing(self._kv.get, self._prefix + key)
        return value

    @forgetful
    def set(self, key: str, value: bytes, /) -> Awaitable[object]:
        """Store ``value`` under ``key``, replacing what was there."""
        done: Awaitable[object] = self._kv.set(self._prefix + key, value)
        return done

    def delete(self, key: str, /) -> Awaitable[object]:
        """Remove ``key``; no error if it is absent."""
        done: Awaitable[object] = _or_missing(self._kv.delete, self._prefix + key)
        return done


def _is_missing(error: KeyError, name: str) -> bool:
    """Say whether an error names the very key asked for: any other may be the client's fault.

    Looked at here because whoever asks the part knows the key by its shorter name.
    """
    return error.args == (name,)


def _or_missing(method: Callable[[str], Any], name: str) -> Any:
    """Call a method of an async KV; where it raises that the key is missing, return None."""
    try:
        answer = method(name)
    except KeyError as error:
        if not _is_missing(error, name):
            raise
        return _awaited_or_missing(None, name)
    # What cannot be awaited is passed on as it is: whoever awaits it says what is wrong.
    return _awaited_or_missing(answer, name) if hasattr(answer, "__await__") else answer


async def _awaited_or_missing(answer: Awaitable[Any] | None, name: str) -> Any:
    try:
        return None if answer is None else await answer
    except KeyError as error:
        if not _is_missing(error, name):
            raise
        return None


def _checked(prefix: str) -> str:
    """Return ``prefix`` if every name behind it stays its own. Raises ConfigError otherwise."""
    if not prefix.endswith(_SEPARATORS):
        raise ConfigError("a prefix ends in '/' or ':', so that 'a' and 'ab' cannot meet")
    if _UNFIT.search(prefix) is not None:
        raise ConfigError("a prefix holds no control characters, lone surrogates or backslashes")
    if _NO_PATH.search(prefix) is not None:
        raise ConfigError("a prefix holds no '..', and no part of it is empty or '.'")
    return prefix
