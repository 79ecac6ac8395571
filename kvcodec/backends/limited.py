"""A handle of somebody else's that states limits: they are kept before it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeVar

from kvcodec.backends.capabilities import limits_of
from kvcodec.backends.limits import check_key, check_value
from kvcodec.backends.wrapping import Through
from kvcodec.errors import forgetful
from kvcodec.protocols import Limits

__all__ = ["within_limits"]

T = TypeVar("T")

_NONE: Final = Limits()

_OF_ONE: Final = frozenset({"set", "set_with_ttl", "set_if_absent", "set_if_version"})
_OF_MANY: Final = frozenset({"set_many", "set_many_with_ttl"})
"""Methods whose arguments hold values."""


def within_limits(handle: T) -> T:
    """Return a handle that takes no more than it says; itself if it says nothing."""
    limits = limits_of(handle)
    return handle if limits == _NONE else _LimitedKV(handle, limits)  # type: ignore[return-value]


class _LimitedKV(Through):
    """Both twins: what can be awaited is a result."""

    __slots__ = ("_limits",)

    def __init__(self, kv: Any, limits: Limits) -> None:
        super().__init__(kv)
        self._limits = limits

    @forgetful
    def _call(self, method: str, /, *arguments: Any) -> Any:
        _check(method, arguments, self._limits)
        return getattr(self._kv, method)(*arguments)

    def _list(self, prefix: str, start_after: str) -> Iterator[str]:
        names: Iterator[str] = self._kv.scan_keys(prefix, start_after)
        return names


def _check(method: str, arguments: tuple[Any, ...], limits: Limits) -> None:
    if not arguments:  # of purge
        return
    keys: Any = [arguments[0]] if isinstance(arguments[0], str) else arguments[0]
    for key in keys:
        check_key(key, limits)
    if method in _OF_ONE:
        check_value(arguments[0], len(arguments[1]), limits)
    elif method in _OF_MANY:
        for key, value in keys.items():
            check_value(key, len(value), limits)
    elif method == "set_many_if_version":
        for key, change in keys.items():
            check_value(key, len(change[0]), limits)
