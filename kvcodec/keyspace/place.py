"""Where one key's value is stored, and where older declarations kept it: ``Place``."""

from __future__ import annotations

from typing import Any, Generic

from typing_extensions import TypeVar

from kvcodec.errors import DecodeError, KeyNameError
from kvcodec.format.envelope import Kind
from kvcodec.keyspace.declaration import NO_PLAIN, Declaration, Older
from kvcodec.keyspace.explanation import Explanation, explain, explain_older
from kvcodec.keyspace.wrapping import as_bytes

__all__ = ["Place", "place_of"]

V = TypeVar("V")
K = TypeVar("K")


class Place(Generic[V]):
    """Where one key's value is stored, and where older declarations kept it."""

    __slots__ = ("declaration", "name", "older", "raw_key")

    def __init__(
        self,
        declaration: Declaration[V, Any],
        raw_key: str,
        older: tuple[tuple[Older, str], ...] = (),
        name: str = "",
    ) -> None:
        self.declaration: Declaration[V, Any] = declaration
        self.raw_key: str = raw_key
        self.older: tuple[tuple[Older, str], ...] = older
        self.name: str = name  # the whole one, where the raw key does not tell it

    def seal(self, value: V, now: float, ttl: float | None = None) -> bytes:
        """The bytes to store."""
        return self.declaration.pipeline.seal(self.raw_key, value, now, ttl, name=self.name)

    def lifetime(self, ttl: float | None) -> float | None:
        """For how many seconds a value lives: ``ttl`` in place of the declared lifetime."""
        return self.declaration.ttl if ttl is None else ttl

    def seal_over(
        self, value: V, held: bytes | None, now: float, ttl: float | None = None
    ) -> bytes:
        """The bytes to store in place of ``held``, with what this code does not know of those.

        ``held``: in today's form, or None where nothing of it is kept. Raises what reading it
        raises: what cannot be read is not written over.
        """
        if held is None:
            return self.seal(value, now, ttl)
        return self.declaration.pipeline.seal_over(self.raw_key, value, held, now, ttl)

    def in_todays_form(self, held: bytes, older: int | None, now: float) -> bytes | None:
        """What is held as bytes of today's form, for ``seal_over``: with its unknown fields.

        None where that cannot be, or is not asked for: then there is nothing to keep.
        """
        if not self.declaration.keep_unknown:
            return None
        if older is not None:
            there, raw_key = self.older[older]
            return self._with_unknown(there, raw_key, held, now)
        here = self.declaration.older_form(self.raw_key, held, now)
        if here is None:
            return held
        return self._with_unknown(here, self.raw_key, held, now)

    def _with_unknown(self, older: Older, raw_key: str, held: bytes, now: float) -> bytes | None:
        """What an older declaration stored as bytes of today's form, or None."""
        declaration = self.declaration
        if not declaration.keep_unknown or older.convert is not None:
            return None
        if declaration.pipeline.fields is not None:
            old, sign = older.declaration.pipeline, declaration.pipeline.signed_anew
            return sign(self.raw_key, old, raw_key, held, now, name=self.name)
        plain = older.declaration.plain(raw_key, held, now)
        if plain is NO_PLAIN:
            return None
        encoded = declaration.pipeline.codec.from_plain(plain)
        return declaration.pipeline.wrap(self.raw_key, encoded, now, name=self.name)

    def migrated(self, older: Older, raw_key: str, data: bytes, now: float) -> bytes:
        """The bytes to store for what an older declaration wrote: its times stay.

        A lifetime that the older form did not have begins now.
        """
        declaration = self.declaration
        value = declaration.open_older(older, raw_key, data, now)
        header = older.declaration.header(raw_key, data, now)
        moment, ttl = declaration.pipeline.wrapping.times(header, now)
        return self.seal_over(value, self._with_unknown(older, raw_key, data, now), moment, ttl)

    def todays(self, held: bytes, older: int | None, now: float) -> bytes:
        """What is held as bytes of today's form and version, to be stored in its place.

        Raises what ``open`` and ``seal`` raise.
        """
        if older is not None:
            previous, raw_key = self.older[older]
            return self.migrated(previous, raw_key, held, now)
        found = self.declaration.older_form(self.raw_key, held, now)
        if found is not None:
            return self.migrated(found, self.raw_key, held, now)
        return self.declaration.pipeline.renewed(self.raw_key, held, now)

    def touched(self, held: bytes, older: int | None, now: float, ttl: float) -> bytes:
        """The bytes to store for what is held with a lifetime that begins now."""
        data = self.todays(held, older, now)
        return self.declaration.pipeline.renewed(self.raw_key, data, now, ttl)

    def ends_at(self, data: bytes, older: int | None, now: float) -> float | None:
        """When what is held is over, in seconds since the epoch; None: never."""
        if older is None:
            return self.declaration.ends_at(self.raw_key, data, now)
        self.open_older(older, data, now)
        previous, raw_key = self.older[older]
        return previous.declaration.ends_at(raw_key, data, now)

    def open(self, data: bytes, now: float) -> V:
        """The value of bytes stored under today's name."""
        return self.declaration.open(self.raw_key, data, now)

    def open_older(self, at: int, data: bytes, now: float) -> V:
        """The value of bytes stored under an older declaration's name."""
        older, raw_key = self.older[at]
        if not older.is_open(now):
            raise DecodeError(
                "stored by an older declaration, whose until= is over: migrate() under a later one",
                stage="envelope",
            )
        return self.declaration.open_older(older, raw_key, data, now)

    def explain(
        self, data: bytes, older: int | None, *, show: bool, kind: Kind = "value"
    ) -> Explanation:
        """The steps of what is stored under today's name, or under an older one."""
        if older is None:
            return explain(self.declaration, self.raw_key, data, show=show, kind=kind)
        there, raw_key = self.older[older]
        return explain_older(self.declaration, there, raw_key, data, show=show)

    def is_expired(self, data: bytes, now: float) -> bool:
        """Whether the lifetime of a value under today's name is over."""
        return self.declaration.is_expired(self.raw_key, data, now)

    def is_ahead(self, data: bytes, now: float) -> bool:
        """Whether a value under today's name is refused for being from the future."""
        return self.declaration.pipeline.wrapping.is_ahead(as_bytes(data), now)


def place_of(declaration: Declaration[V, K], key: K) -> Place[V]:
    """The place of a key's value. Raises KeyNameError."""
    names = declaration.names
    raw_key = names.raw_key(key)
    older: tuple[tuple[Older, str], ...] = ()
    if declaration.older:
        there = ((each, _older_name(each, key)) for each in declaration.older)
        older = tuple((each, name) for each, name in there if name not in ("", raw_key))
    return Place(declaration, raw_key, older, names.whole(key))


def _older_name(older: Older, key: Any) -> str:
    """The name of a key in an older scheme; "" where that has none: it kept nothing there."""
    try:
        return older.declaration.names.raw[key]
    except KeyNameError:
        return ""
