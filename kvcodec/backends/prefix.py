"""A part of a KV, seen as a KV of its own."""

from __future__ import annotations

import re
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from typing import Any, ClassVar, Final, TypeAlias

from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.errors import ConfigError
from kvcodec.protocols import KV, AsyncKV, Limits

__all__ = ["AsyncPrefixKV", "PrefixKV"]

_SEPARATORS: Final = ("/", ":")
"""What a prefix may end in. Not ``!``: it introduces the names that kvcodec derives, and whoever
lists the whole KV would take a tenant's values for parts of another value."""

_Offer: TypeAlias = Callable[[Any, str], Any]


# ------------------------------------------------------------------------------- capabilities
#
# Each takes the wrapped KV's method and the prefix, and returns the method under the names that
# follow the prefix. Those that only pass a result on serve both twins: an awaitable is a result.


def _keyed(method: Callable[..., Any], prefix: str) -> Callable[..., Any]:
    def keyed(key: str, /, *rest: Any) -> Any:
        return method(prefix + key, *rest)

    return keyed


def _set_many(
    method: Callable[[Mapping[str, bytes]], object], prefix: str
) -> Callable[[Mapping[str, bytes]], object]:
    def set_many(items: Mapping[str, bytes], /) -> object:
        return method({prefix + key: value for key, value in items.items()})

    return set_many


def _delete_many(
    method: Callable[[Sequence[str]], object], prefix: str
) -> Callable[[Sequence[str]], object]:
    def delete_many(keys: Sequence[str], /) -> object:
        return method([prefix + key for key in keys])

    return delete_many


def _get_many(
    method: Callable[[Sequence[str]], Mapping[str, bytes]], prefix: str
) -> Callable[[Sequence[str]], dict[str, bytes]]:
    def get_many(keys: Sequence[str], /) -> dict[str, bytes]:
        return _stripped(method([prefix + key for key in keys]), prefix)

    return get_many


def _async_get_many(
    method: Callable[[Sequence[str]], Awaitable[Mapping[str, bytes]]], prefix: str
) -> Callable[[Sequence[str]], Awaitable[dict[str, bytes]]]:
    async def get_many(keys: Sequence[str], /) -> dict[str, bytes]:
        return _stripped(await method([prefix + key for key in keys]), prefix)

    return get_many


def _stripped(found: Mapping[str, bytes], prefix: str) -> dict[str, bytes]:
    return {key[len(prefix) :]: value for key, value in found.items()}


def _scan_keys(method: Any, prefix: str) -> Callable[..., Iterator[str]]:
    def scan_keys(inner: str, start_after: str = "", /) -> Iterator[str]:
        for key in method(prefix + inner, start_after and prefix + start_after):
            yield key[len(prefix) :]

    return scan_keys


def _async_scan_keys(method: Any, prefix: str) -> Callable[..., AsyncIterator[str]]:
    async def scan_keys(inner: str, start_after: str = "", /) -> AsyncIterator[str]:
        async for key in method(prefix + inner, start_after and prefix + start_after):
            yield key[len(prefix) :]

    return scan_keys


def _ordered(ordered: bool, _prefix: str) -> bool:  # noqa: FBT001 - the signature of every offer
    return ordered  # names that share a prefix sort as what follows it does


def _reduced(limits: Limits | None, prefix: str) -> Limits | None:
    if limits is None or limits.key_bytes is None:
        return limits
    left = limits.key_bytes - len(prefix.encode())
    if left <= 0:
        raise ConfigError(
            f"the prefix takes all of the {limits.key_bytes} bytes that a key may have"
        )
    return Limits(key_bytes=left, value_bytes=limits.value_bytes)


_OFFERS: Final[dict[str, _Offer]] = {
    "exists": _keyed,
    "set_with_ttl": _keyed,
    "set_if_absent": _keyed,
    "get_versioned": _keyed,
    "set_if_version": _keyed,
    "delete_if_version": _keyed,
    "set_many": _set_many,
    "delete_many": _delete_many,
    "ordered": _ordered,
    "limits": _reduced,
}


# -------------------------------------------------------------------------------- the twins


_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")
_NO_PATH: Final = re.compile(r"\.\.|(?:^|/)\.?/")


class _Prefixed:
    """What the twins share: the prefix, and what the wrapped KV can do beyond three methods."""

    __slots__ = ("_kv", "_prefix")

    _offers: ClassVar[Mapping[str, _Offer]]

    def __init__(self, kv: Any, prefix: str) -> None:
        self._kv = kv
        self._prefix = _checked(prefix)
        _reduced(getattr(kv, "limits", None), prefix)  # refused here, not at the first use

    def __getattr__(self, name: str) -> Any:
        # Only for names that are not set: a capability is asked for once, when a keyspace is
        # opened, and one that the wrapped KV lacks is an AttributeError here as it is there.
        offer = self._offers.get(name)
        if offer is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return offer(getattr(self._kv, name), self._prefix)


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

    _offers: ClassVar = {**_OFFERS, "get_many": _get_many, "scan_keys": _scan_keys}

    def __init__(self, kv: KV | MutableMapping[str, bytes], prefix: str) -> None:
        super().__init__(as_kv(kv), prefix)

    def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        value: bytes | None = self._kv.get(self._prefix + key)
        return value

    def set(self, key: str, value: bytes, /) -> object:
        """Store ``value`` under ``key``, replacing what was there."""
        return self._kv.set(self._prefix + key, value)

    def delete(self, key: str, /) -> object:
        """Remove ``key``; no error if it is absent."""
        return self._kv.delete(self._prefix + key)


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
        "scan_keys": _async_scan_keys,
    }

    def __init__(self, kv: AsyncKV | MutableMapping[str, bytes], prefix: str) -> None:
        super().__init__(as_async_kv(kv), prefix)

    def get(self, key: str, /) -> Awaitable[bytes | None]:
        """Return the value stored under ``key``, or None if there is none."""
        value: Awaitable[bytes | None] = self._kv.get(self._prefix + key)
        return value

    def set(self, key: str, value: bytes, /) -> Awaitable[object]:
        """Store ``value`` under ``key``, replacing what was there."""
        done: Awaitable[object] = self._kv.set(self._prefix + key, value)
        return done

    def delete(self, key: str, /) -> Awaitable[object]:
        """Remove ``key``; no error if it is absent."""
        done: Awaitable[object] = self._kv.delete(self._prefix + key)
        return done


def _checked(prefix: str) -> str:
    """Return ``prefix`` if every name behind it stays its own. Raises ConfigError otherwise."""
    if not prefix.endswith(_SEPARATORS):
        raise ConfigError("a prefix ends in '/' or ':', so that 'a' and 'ab' cannot meet")
    if _UNFIT.search(prefix) is not None:
        raise ConfigError("a prefix holds no control characters, lone surrogates or backslashes")
    if _NO_PATH.search(prefix) is not None:
        raise ConfigError("a prefix holds no '..', and no part of it is empty or '.'")
    return prefix
