"""The names of one keyspace: keys to raw keys and back, and which names are its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol

from typing_extensions import TypeVar

from kvcodec.errors import ConfigError, KeyNameError, KVCodecError, Unsupported, locate
from kvcodec.format.derived import is_aside
from kvcodec.format.plain import is_tuple
from kvcodec.keys.paths import Scheme
from kvcodec.keyspace.schemes import scheme_of
from kvcodec.protocols import (
    HiddenNames,
    KeyScheme,
    MemorableKeys,
    PartedKeys,
    SpelledKeys,
    StoredNames,
    TypedKeys,
    offers,
)

__all__ = ["Names", "shown_name"]

K = TypeVar("K", default=str)

_NAMES_KEPT = 16_384
"""Raw keys that a keyspace remembers: of the keys in use now, not of all that ever were. About
2 MB where so many are in use."""

_LONGEST_KEPT = 256
"""Characters of a raw key that is remembered: longer ones, of URLs say, would fill the memory."""


class Names(Generic[K]):
    """A key scheme under its keyspace's name. Raises ConfigError where these do not go together."""

    __slots__ = (
        "_given",
        "_keyspace",
        "_spelling",
        "key_type",
        "naming",
        "prefix",
        "raw",
        "scheme",
        "stored",
    )

    def __init__(self, keyspace: Any, key_type: Any, scheme: Any) -> None:
        self._keyspace = keyspace
        given, asked = scheme_of(keyspace, key_type, scheme)
        self._given = given
        self.scheme: KeyScheme[K] = asked
        self.key_type: Any = given.key_type if _has_own_type(given) else key_type
        """The type of the keys: the scheme's, where it has one of its own."""
        self.prefix: str = self.scheme.prefix
        """What every raw key starts with."""
        stored = self.scheme if offers(self.scheme, StoredNames) else None
        self.stored: StoredNames | None = stored
        """The scheme, where raw keys do not tell their keys: whole names stand with the values."""
        self.naming: str = stored.naming if stored and offers(stored, HiddenNames) else ""
        """The id of the ring's key that names are made with, or ""."""
        spelled = given.spelling if offers(given, SpelledKeys) else None
        self._spelling: tuple[Any, ...] = (type(given), self.prefix, spelled)
        # Remembering raw keys is sound only where equal keys are the same key: 1 == True.
        memorable = offers(given, MemorableKeys) and given.plain
        self.raw: Table = _Remembered(self._join) if memorable else _Built(self._join)
        """Raw keys by key, for what is measured in microseconds: TypeError for no key at all."""

    def raw_key(self, key: K) -> str:
        """Return the name under which the value of ``key`` is stored. Raises KeyNameError."""
        try:
            return self.raw[key]
        except TypeError:
            pass  # it cannot be hashed: the scheme says that it is no key
        return self._join(key)

    def key(self, raw_key: str) -> K:
        """Return the key whose raw key this is. Raises KeyNameError."""
        try:
            return self.scheme.split(raw_key)
        except KVCodecError as error:
            locate(error, self._keyspace, raw_key)
            raise

    def whole(self, key: K) -> str:
        """What is stored in front of the value of ``key``, where its raw key does not tell it."""
        return "" if self.stored is None else self.stored.name(key)

    def under(self, first: Sequence[Any]) -> tuple[str, Callable[[K], bool]]:
        """What names of keys with these first parts begin with, and which keys are such.

        Raises ConfigError, Unsupported where keys have no such parts, or names do not begin with
        them; KeyNameError for a part of another type.
        """
        scheme = self._given
        try:
            if not is_tuple(first):
                raise ConfigError("under= is a tuple of the first parts of a key: under=(part,)")
            if offers(scheme, PartedKeys):
                return scheme.under(first)
            raise Unsupported(
                f"names of {type(scheme).__name__} do not begin with the parts of their keys: "
                "leave out under=, and take those of keys() that begin so",
                stage="name",
            )
        except KVCodecError as error:
            locate(error, self._keyspace, None)
            raise

    def is_name(self, raw_key: str) -> bool:
        """Whether text is, or has the form of, the raw key of one of this keyspace's keys."""
        if self.stored is not None:
            return self.stored.is_raw_key(raw_key)
        try:
            self.scheme.split(raw_key)
        except KeyNameError:
            return False
        return True

    def owns(self, raw_key: str) -> bool:
        """Whether a name is of one of this keyspace's keys, or derived from one.

        What is in quarantine is not: it cannot be read under that name.
        """
        return not is_aside(raw_key) and self.is_name(raw_key.partition("!")[0])

    def resembles(self, raw_key: str) -> bool:
        """Whether a name that begins as this keyspace's do may have been one, of other keys.

        Templates may begin alike: then the end tells them apart.
        """
        scheme: object = self.scheme
        ending = scheme.ending if isinstance(scheme, Scheme) else ""
        ends = (raw_key.partition("!")[0].endswith(ending), raw_key.endswith(ending))
        return bool(self.prefix or ending) and any(ends) and not is_aside(raw_key)

    def are_spelt_as(self, other: Names[Any]) -> bool:
        """Whether two keyspaces' names are made alike: of one key type, they would be the same."""
        return self._spelling == other._spelling

    @property
    def alphabets(self) -> list[str]:
        """What the parts of raw keys are made of: digits, or digits with the sign that sorts."""
        scheme: object = self.scheme
        return scheme.alphabets if isinstance(scheme, Scheme) else []

    def _join(self, key: K) -> str:
        try:
            return self.scheme.join(key)
        except KVCodecError as error:
            # Of hidden names, no message tells a key.
            locate(error, self._keyspace, None if self.naming else _shown_key(key))
            raise


class Table(Protocol):
    """Raw keys by key."""

    def __getitem__(self, key: Any, /) -> str: ...


class _Remembered(dict[Any, str]):
    """Raw keys by key, built when first asked for: looking one up is faster than building it."""

    __slots__ = ("_join",)

    def __init__(self, join: Callable[[Any], str]) -> None:
        super().__init__()
        self._join = join

    def __missing__(self, key: Any) -> str:
        raw_key = self._join(key)
        if len(raw_key) > _LONGEST_KEPT:
            return raw_key
        if len(self) >= _NAMES_KEPT:
            self.clear()
        self[key] = raw_key
        return raw_key


class _Built:
    """Raw keys by key, built each time: for keys that cannot be remembered, or not be hashed."""

    __slots__ = ("_join",)

    def __init__(self, join: Callable[[Any], str]) -> None:
        self._join = join

    def __getitem__(self, key: Any) -> str:
        return self._join(key)


def _has_own_type(scheme: object) -> bool:
    return isinstance(scheme, Scheme) or offers(scheme, TypedKeys)


def _shown_key(key: object) -> str:
    """A key that has no raw key, for a message: of what may be a value in its place, the type."""
    if isinstance(key, str):
        return str.__str__(key)
    if is_tuple(key) and type(key) is tuple:
        return f"({', '.join(map(_shown_key, key))})"
    return f"<{type(key).__name__}>"


def shown_name(name: object) -> str:
    """The name of a keyspace that could not be declared, for a message."""
    return name if isinstance(name, str) else repr(name)
