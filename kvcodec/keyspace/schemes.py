"""The scheme that ``keys=`` gives: looked at when it is declared; a user's own at each name too."""

from __future__ import annotations

from typing import Any, Generic

from typing_extensions import TypeVar

from kvcodec.errors import ConfigError, KeyNameError
from kvcodec.keys.paths import PathKeys, Scheme
from kvcodec.protocols import BindableKeys, KeyScheme, StoredNames, offers

__all__ = ["OwnKeys", "scheme_of"]

K = TypeVar("K", default=str)


class OwnKeys(Generic[K]):
    """A user's own scheme, held to what every scheme promises: else a name is nobody's."""

    __slots__ = ("_given", "prefix")

    def __init__(self, given: KeyScheme[K]) -> None:
        self._given = given
        self.prefix: str = given.prefix

    def join(self, key: K, /) -> str:
        """Return the raw key of ``key``. Raises KeyNameError for one that no listing meets."""
        raw_key: object = self._given.join(key)
        if isinstance(raw_key, str) and raw_key.startswith(self.prefix):
            return raw_key
        raise KeyNameError(
            f"{type(self._given).__name__}.join returns no text that begins with its prefix, "
            f"{self.prefix!r}",
            stage="name",
        )

    def split(self, raw_key: str, /) -> K:
        """Return the key whose raw key this is. Raises KeyNameError if ``join`` makes another."""
        scheme = type(self._given).__name__
        try:
            key = self._given.split(raw_key)
            if self._given.join(key) == raw_key:
                return key
            why = f"{scheme}.join makes another name of what {scheme}.split makes of it"
        except (ValueError, LookupError, KeyNameError) as error:  # of what just begins alike
            why = f"{scheme} does not take it ({type(error).__name__})"
        raise KeyNameError(f"not a raw key of this scheme: {why}", raw_key=raw_key, stage="name")


def scheme_of(name: Any, key_type: Any, given: Any) -> tuple[Any, KeyScheme[Any]]:
    """The scheme of a keyspace as it was given, bound, and as names are asked for.

    Raises ConfigError for what is no scheme, and where name and scheme do not go together.
    """
    if not isinstance(name, str) or name == "":
        raise ConfigError("a keyspace needs a name: a str that is not empty")
    scheme: Any = PathKeys() if given is None else given
    _check(scheme)
    try:
        bound: Any = scheme.bind(name, key_type) if offers(scheme, BindableKeys) else scheme
    except KeyNameError as error:
        problem = str(error)
    else:
        _check(bound)
        return bound, bound if _checks_itself(bound) else OwnKeys(bound)
    raise ConfigError(f"the name cannot begin a raw key: {problem}")


def _checks_itself(scheme: object) -> bool:
    return isinstance(scheme, Scheme) or offers(scheme, StoredNames)


def _check(given: Any) -> None:
    if isinstance(given, str | bytes):
        text = given if isinstance(given, str) else given.decode(errors="replace")
        raise ConfigError(f'keys= takes a key scheme, not text: keys=TemplateKeys("{text}")')
    scheme: Any = KeyScheme  # of whatever keys
    if isinstance(given, type) or not offers(given, scheme):
        raise ConfigError(
            "keys= takes a key scheme: HashedKeys(), TemplateKeys(...), or an object of your own "
            "with prefix, join and split"
        )
    if not (isinstance(given.prefix, str) and callable(given.join) and callable(given.split)):
        raise ConfigError(
            f"keys= takes a key scheme: prefix of {type(given).__name__} has to be text, join and "
            "split methods"
        )
