"""A near KV in front of a far one: memory or a file here, a server there.

What keeps them one store, as far as this handle goes: a write first removes the near value, then
writes the far one, and only then, if nobody else was at the same key meanwhile, the near one. Who
reads a far value keeps it near under the same condition. "Nobody else" is a mark by key, which
whoever begins puts there and whoever ends takes away: one that finds another mark than its own,
or none, removes the near value once more in place of keeping it.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.backends.capabilities import Capabilities, capabilities_of, limits_of, values_of
from kvcodec.backends.wrapping import AsyncThrough, Steps, Through, Wrapping, adrive, drive
from kvcodec.errors import ConfigError, forgetful
from kvcodec.protocols import KV, AsyncKV, Limits

__all__ = ["AsyncTieredKV", "TieredKV"]

N = TypeVar("N", int, float)


class _Tiered(Wrapping):
    """What the twins share: the steps of each operation. The far KV is the one that is wrapped."""

    __slots__ = ("_marks", "_near", "_near_can", "_ttl")

    def __init__(self, near: Any, far: Any, ttl: float | None) -> None:
        super().__init__(far)
        self._near = near
        self._near_can: Capabilities = capabilities_of(near)
        self._ttl = ttl
        self._marks: dict[str, object] = {}
        if ttl is not None and not 0 < ttl < math.inf:
            raise ConfigError("ttl= is a number of seconds above 0, or None")
        if ttl is not None and not self._near_can.ttl:
            raise ConfigError(
                f"{type(near).__name__} keeps no value for a time, so nothing bounds how old a "
                "read is: ttl=None says that this is wanted, where no other process writes"
            )

    @property
    def limits(self) -> Limits:
        """What both take."""
        return self._limited(limits_of(self._kv))

    def _limited(self, limits: Limits) -> Limits:
        near = self._near_can.limits
        return replace(
            limits,
            key_bytes=_least(limits.key_bytes, near.key_bytes),
            part_bytes=_least(limits.part_bytes, near.part_bytes),
            value_bytes=_least(limits.value_bytes, near.value_bytes),
            alphabet=_common(limits.alphabet, near.alphabet),
        )

    def _steps(self, method: str, arguments: tuple[Any, ...]) -> Steps[Any]:
        steps = _STEPS.get(method)
        if steps is not None:
            return steps(self, *arguments)  # type: ignore[no-any-return]
        return self._change(arguments[0], None, None, method, *arguments)

    # ---------------------------------------------------------------------------------- reads

    def _exists(self, key: str) -> Steps[bool]:
        there: bool = yield self._kv.exists, key
        return there

    def _get_versioned(self, key: str) -> Steps[Any]:
        return (yield self._kv.get_versioned, key)

    def _get_many_versioned(self, keys: Sequence[str]) -> Steps[Any]:
        return (yield self._kv.get_many_versioned, keys)

    def _set_many_if_version(self, changes: Mapping[str, Any]) -> Steps[Any]:
        return self._change_many([*changes], "set_many_if_version", changes)

    def _get(self, key: str) -> Steps[bytes | None]:
        value = yield from _read(self._near, key)
        if value is not None:
            return value
        mark = self._begin(key)
        try:
            value = yield from _read(self._kv, key)
            if value is not None:
                yield from self._keep(key, value, None, mark)
        finally:
            self._marks.pop(key, None)
        return value

    def _get_many(self, keys: Sequence[str]) -> Steps[dict[str, bytes]]:
        found = yield from self._near_ones(keys)
        marks = {key: self._begin(key) for key in keys if key not in found}
        if not marks:
            return found
        try:
            far = values_of((yield self._kv.get_many, [*marks]))
            for key, value in far.items():
                yield from self._keep(key, value, None, marks[key])
        finally:
            for key in marks:
                self._marks.pop(key, None)
        found.update(far)
        return {key: found[key] for key in keys if key in found}

    def _near_ones(self, keys: Sequence[str]) -> Steps[dict[str, bytes]]:
        if self._near_can.many:
            return {**values_of((yield self._near.get_many, keys))}
        found: dict[str, bytes] = {}
        for key in keys:
            value = yield from _read(self._near, key)
            if value is not None:
                found[key] = value
        return found

    # --------------------------------------------------------------------------------- writes

    def _set(self, key: str, value: bytes) -> Steps[object]:
        return self._change(key, value, None, "set", key, value)

    def _set_with_ttl(self, key: str, value: bytes, ttl: float) -> Steps[object]:
        return self._change(key, value, ttl, "set_with_ttl", key, value, ttl)

    def _set_many(self, items: Mapping[str, bytes]) -> Steps[object]:
        return self._change_many([*items], "set_many", items)

    def _set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float) -> Steps[object]:
        return self._change_many([*items], "set_many_with_ttl", items, ttl)

    def _delete_many(self, keys: Sequence[str]) -> Steps[object]:
        return self._change_many(keys, "delete_many", keys)

    def _purge(self) -> Steps[int]:
        if self._near_can.purge:
            yield (self._near.purge,)
        count: int = yield (self._kv.purge,)
        return count

    def _change(
        self, key: str, value: bytes | None, ttl: float | None, method: str, *arguments: Any
    ) -> Steps[Any]:
        """Do what changes one key. ``value``: what is sure to be stored then, to be kept near."""
        mark = self._begin(key)
        try:
            yield from _remove(self._near, key)
            answer = yield getattr(self._kv, method), *arguments
            if value is not None:
                yield from self._keep(key, value, ttl, mark)
        except Exception:
            yield from self._end({key: mark})
            raise
        else:
            yield from self._end({key: mark})
        finally:
            self._forget({key: mark})
        return answer

    def _change_many(self, keys: Sequence[str], method: str, *arguments: Any) -> Steps[Any]:
        marks = {key: self._begin(key) for key in keys}
        try:
            yield from self._remove_near([*marks])
            answer = yield getattr(self._kv, method), *arguments
        except Exception:
            yield from self._end(marks)
            raise
        else:
            yield from self._end(marks)
        finally:
            self._forget(marks)
        return answer

    # ------------------------------------------------------------------------------- the near

    def _begin(self, key: str) -> object:
        mark = self._marks[key] = object()
        return mark

    def _end(self, marks: Mapping[str, object]) -> Steps[None]:
        """Take marks away; of keys that somebody else was at, remove the near value."""
        met = [key for key, mark in marks.items() if self._marks.pop(key, None) is not mark]
        yield from self._remove_near(met)

    def _forget(self, marks: Mapping[str, object]) -> None:
        """Take away what marks are left: of an operation that was cancelled."""
        for key, mark in marks.items():
            if self._marks.get(key) is mark:
                self._marks.pop(key, None)

    def _keep(self, key: str, value: bytes, ttl: float | None, mark: object) -> Steps[None]:
        """Keep a far value near, unless somebody else is at it."""
        if self._marks.get(key) is not mark:
            return
        seconds = _least(ttl, self._ttl)
        if seconds is None:
            yield self._near.set, key, value
        elif self._near_can.ttl:
            yield self._near.set_with_ttl, key, value, seconds
        if self._marks.get(key) is not mark:
            yield from _remove(self._near, key)

    def _remove_near(self, keys: Sequence[str]) -> Steps[None]:
        if self._near_can.many and len(keys) > 1:
            yield self._near.delete_many, keys
            return
        for key in keys:
            yield from _remove(self._near, key)


_STEPS: Mapping[str, Any] = {
    "get": _Tiered._get,
    "exists": _Tiered._exists,
    "get_many": _Tiered._get_many,
    "get_versioned": _Tiered._get_versioned,
    "get_many_versioned": _Tiered._get_many_versioned,
    "set_many_if_version": _Tiered._set_many_if_version,
    "set": _Tiered._set,
    "set_many": _Tiered._set_many,
    "set_with_ttl": _Tiered._set_with_ttl,
    "set_many_with_ttl": _Tiered._set_many_with_ttl,
    "delete_many": _Tiered._delete_many,
    "purge": _Tiered._purge,
}
"""What each method does; all others change one key, and what is there then the far KV knows."""


def _read(kv: Any, key: str) -> Steps[bytes | None]:
    try:
        value: bytes | None = yield kv.get, key
    except KeyError as error:  # of a handle that raises for what is missing
        if error.args != (key,):
            raise
        return None
    return value


def _remove(kv: Any, key: str) -> Steps[None]:
    try:
        yield kv.delete, key
    except KeyError as error:
        if error.args != (key,):
            raise


def _least(one: N | None, other: N | None) -> N | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _common(one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return other if one is None else one
    return "".join(character for character in one if character in other)


class TieredKV(_Tiered, Through):
    """``near`` in front of ``far``: reads ask the near KV first, writes go through to the far one.

        kv = TieredKV(MemoryKV(), SQLiteKV("app.db"))

    ``far`` is the store: what it has is what there is, and what it can do is what this can. Exists,
    listings, ``get_versioned`` and conditional writes ask it alone, so ``update``, ``add`` and
    ``pop`` are as exact as on it. ``near`` keeps what was read or set, for ``ttl`` seconds at most:
    a KV that can keep values for a time, or ``ttl=None`` for one that cannot.

    Promised: who has written through this handle reads what he wrote, or what was written later,
    from any thread or task. A write that fails leaves nothing near.

    Not promised: a value that another process, or another handle on ``far``, has written or removed
    may be read as it was for up to ``ttl`` seconds; so may one whose own ttl in ``far`` is over. A
    write that was cancelled likewise. Nothing bounds it with ``ttl=None``. Nor is ``near`` bounded
    in space. An error of ``near`` is an error of the operation.

    Raises ConfigError for a ttl that is not above 0, or that ``near`` cannot keep to.
    """

    __slots__ = ()

    def __init__(
        self,
        near: KV | MutableMapping[str, bytes],
        far: KV | MutableMapping[str, bytes],
        *,
        ttl: float | None = 60.0,
    ) -> None:
        super().__init__(as_kv(near), as_kv(far), ttl)

    @forgetful
    def _call(self, method: str, /, *arguments: Any) -> Any:
        return drive(self._steps(method, arguments))

    def _list(self, prefix: str, start_after: str) -> Iterator[str]:
        names: Iterator[str] = self._kv.scan_keys(prefix, start_after)
        return names


class AsyncTieredKV(_Tiered, AsyncThrough):
    """``near`` in front of ``far``: reads ask the near KV first, writes go through to the far one.

        kv = AsyncTieredKV(AsyncMemoryKV(), AsyncSQLiteKV("app.db"))

    ``far`` is the store: what it has is what there is, and what it can do is what this can. Exists,
    listings, ``get_versioned`` and conditional writes ask it alone, so ``update``, ``add`` and
    ``pop`` are as exact as on it. ``near`` keeps what was read or set, for ``ttl`` seconds at most:
    a KV that can keep values for a time, or ``ttl=None`` for one that cannot.

    Promised: who has written through this handle reads what he wrote, or what was written later,
    from any thread or task. A write that fails leaves nothing near.

    Not promised: a value that another process, or another handle on ``far``, has written or removed
    may be read as it was for up to ``ttl`` seconds; so may one whose own ttl in ``far`` is over. A
    write that was cancelled likewise. Nothing bounds it with ``ttl=None``. Nor is ``near`` bounded
    in space. An error of ``near`` is an error of the operation.

    Raises ConfigError for a ttl that is not above 0, or that ``near`` cannot keep to.
    """

    __slots__ = ()

    def __init__(
        self,
        near: AsyncKV | MutableMapping[str, bytes],
        far: AsyncKV | MutableMapping[str, bytes],
        *,
        ttl: float | None = 60.0,
    ) -> None:
        super().__init__(as_async_kv(near), as_async_kv(far), ttl)

    @forgetful
    async def _call(self, method: str, /, *arguments: Any) -> Any:
        return await adrive(self._steps(method, arguments))

    def _list(self, prefix: str, start_after: str) -> AsyncIterator[str]:
        names: AsyncIterator[str] = self._kv.scan_keys(prefix, start_after)
        return names
