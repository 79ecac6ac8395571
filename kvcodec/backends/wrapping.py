"""The base of wrappers: a KV around another one, with exactly what that one can do.

A wrapper names the methods that it has beyond ``get``, ``set`` and ``delete`` in a table. One is
there if the KV inside has the whole group that the method belongs to, and is an AttributeError
otherwise, as it is there. What is asked of a handle before each opening, a wrapper of an exact
type says for the KV inside, without a look at methods that only pass on.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from types import MethodType
from typing import Any, ClassVar, Final

from msgspec.structs import replace

from kvcodec.backends.capabilities import (
    Capabilities,
    capabilities_of,
    forwards,
    has_method,
    only,
    place_behind,
)
from kvcodec.protocols import Limits

__all__ = ["Wrapping"]


_SAID: Final = ("limits", "ordered", "version_of")
"""What a KV says of itself."""


class Wrapping:
    """What every wrapper and its async twin have: the KV inside, and what that can do."""

    __slots__ = ("_found", "_kv")

    _offers: ClassVar[Mapping[str, Callable[..., Any]]] = {}
    """By name, the methods beyond the three that the wrapper passes on."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__.startswith("kvcodec."):
            forwards(cls, cls._own)

    def __init__(self, kv: Any) -> None:
        self._kv = kv
        self._found: Capabilities | None = None

    def __getattr__(self, name: str) -> Any:
        # Only for names that are not set.
        if name in _SAID:
            said = getattr(self._kv, name)
            return self._limited(said) if isinstance(said, Limits) else said
        offer = self._offers.get(name)
        if offer is None or not has_method(self._inside(), name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return MethodType(offer, self)

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return what identifies the wrapped KV's store, and the key's name in it."""
        return place_behind(self._kv, key)

    def _limited(self, limits: Limits) -> Limits:
        """Return what is left of the limits of the KV inside."""
        return limits

    def _inside(self) -> Capabilities:
        if self._found is None:
            self._found = capabilities_of(self._kv)
        return self._found

    def _own(self) -> Capabilities:
        found = only(self._inside(), self._offers.keys())
        return replace(found, limits=self._limited(found.limits))
