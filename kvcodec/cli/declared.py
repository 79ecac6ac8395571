"""Which declarations an argument names, and as which shape each is opened.

A Keyspace does not say whether a program opens it as a Store, a Log or Files. What is stored does:
a log and a file derive names from a key's, and begin with what is no value of anybody's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, Literal, TypeAlias, TypeGuard

from kvcodec.backends.capabilities import capabilities_of
from kvcodec.cli.names import part_of
from kvcodec.cli.places import imported, named, theirs
from kvcodec.cli.stored import scanned
from kvcodec.errors import ConfigError, KeyNameError
from kvcodec.format.derived import is_derived
from kvcodec.format.envelope import Kind
from kvcodec.format.plain import is_mapping
from kvcodec.keyspace.explanation import Step, explain
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.protocols import KV
from kvcodec.secrets.keyring import KeyRing
from kvcodec.stores.files import Files
from kvcodec.stores.log import Log
from kvcodec.stores.store import Store

__all__ = [
    "AnyKeyspace",
    "AnyShape",
    "Shape",
    "declared",
    "explained",
    "key_of",
    "one_of",
    "opened_as",
]

AnyKeyspace: TypeAlias = Keyspace[Any, Any]
AnyShape: TypeAlias = Store[Any, Any] | Log[Any, Any] | Files[Any]
Shape: TypeAlias = Literal["store", "log", "files"]


def declared(place: str, ring_env: str | None) -> list[AnyKeyspace]:
    """Return the Keyspaces that an argument names.

    ``module:NAME`` is one, several in a list or dict, or a function that returns either of a ring;
    ``module`` alone all that are its attributes, by their names. Of several, one that another has
    in its ``previous=`` is left out. With the name of an environment
    variable, its ring takes the place of the one that a declaration has. Raises ConfigError where
    there is none, where a function wants a ring and none is named, and what the declarations raise.
    """
    ring = None if ring_env is None else KeyRing.from_env(ring_env)
    found: Any = named(place) if ":" in place else imported(place).__dict__
    if callable(found):
        if ring is None:
            raise ConfigError(f"{place} is a function, which is given a ring: --ring-env NAME")
        with theirs(place):
            found, ring = found(ring), None  # its own affair, what it seals by this one
    some = _todays([*_keyspaces([found] if isinstance(found, Keyspace) else found)])
    if not some:
        raise ConfigError(f"{place} is no Keyspace, and has none")
    return some if ring is None else [_under(each, ring) for each in some]


def _keyspaces(found: Any) -> Iterator[AnyKeyspace]:
    several: Any = found.values() if is_mapping(found) else found
    listed: list[Any] = [*several] if isinstance(several, Iterable) else []
    seen = set[int]()
    for each in listed:
        if _is_keyspace(each) and id(each) not in seen:
            seen.add(id(each))
            yield each


def _todays(keyspaces: list[AnyKeyspace]) -> list[AnyKeyspace]:
    """Those that no other one has in its ``previous=``: what an older one stored is that one's."""
    older = {id(each.keyspace) for keyspace in keyspaces for each in keyspace.previous}
    return [each for each in keyspaces if id(each) not in older]


def _is_keyspace(found: object) -> TypeGuard[AnyKeyspace]:
    return isinstance(found, Keyspace)


def _under(keyspace: AnyKeyspace, ring: KeyRing) -> AnyKeyspace:
    sealed = keyspace.declaration.pipeline.form.cipher is not None
    return keyspace.with_ring(ring) if sealed else keyspace


def one_of(keyspaces: list[AnyKeyspace], name: str) -> AnyKeyspace:
    """Return the Keyspace that a name belongs to. Raises ConfigError where that is not told."""
    if len(keyspaces) == 1:
        return keyspaces[0]
    owners = [each for each in keyspaces if name.startswith(each.prefix)]
    if not owners:
        known = ", ".join(sorted(each.prefix for each in keyspaces))
        raise ConfigError(f"{name} is a name of none of these keyspaces: theirs begin with {known}")
    return max(owners, key=lambda each: len(each.prefix))


def key_of(keyspace: AnyKeyspace, name: str) -> Any:
    """Return the key of a name as ``ls`` shows it, or of what comes behind the keyspace's prefix.

    Raises KeyNameError if it is no name of the keyspace.
    """
    if keyspace.key_type is None:
        return None
    for raw_key in (name, keyspace.prefix + name):
        if raw_key.startswith(keyspace.prefix):
            try:
                return keyspace.key(raw_key)
            except KeyNameError:
                if keyspace.prefix + name == raw_key and keyspace.key_type is not str:
                    raise
    # A scheme that does not tell the key of a name: the key itself was given.
    return name.removeprefix(keyspace.prefix)


# --------------------------------------------------------------------------------- which shape

_SAMPLE: Final = 64
"""Names that are looked at to know the shape of a keyspace."""

_AS: Final[dict[Shape, Kind]] = {"store": "value", "log": "head", "files": "manifest"}
"""What each shape keeps under a key's own name."""

_BESIDE: Final[dict[Kind | None, Kind]] = {
    **dict.fromkeys(("row", "head", "lane"), "head"),
    **dict.fromkeys(("chunk", "trace"), "manifest"),
}
"""What is under a key's own name where something of a kind is under a derived one."""


def opened_as(keyspace: AnyKeyspace, kv: KV, shape: Shape | None) -> AnyShape:
    """Open a keyspace as the shape that is given, or else as the one that is stored."""
    kind = _stored_kind(keyspace, kv) if shape is None else _AS[shape]
    if kind == "head":
        return Log(keyspace, kv)
    if kind == "manifest":
        return Files(keyspace, kv)
    # Subjects keeps its records in the place of values.
    return Store(keyspace.as_part("subject") if kind == "subject" else keyspace, kv)


def _stored_kind(keyspace: AnyKeyspace, kv: KV) -> Kind | None:
    if not capabilities_of(kv).scan:
        return None
    names = [*islice(scanned(kv, keyspace.prefix), _SAMPLE)]
    for part in filter(None, map(part_of, names)):
        if part.kind in _BESIDE:
            return _BESIDE[part.kind]
    for name in names:
        data = None if is_derived(name) else kv.get(name)
        kind = None if data is None else explained(keyspace, name, data, show=False)[0]
        if kind is not None:
            return kind
    return None


_OWN: Final[tuple[Kind, ...]] = ("head", "manifest", "subject", "value")
"""What may stand under a key's own name; a value as the last, whose error is then shown."""


def explained(
    keyspace: AnyKeyspace,
    raw_key: str,
    data: bytes,
    kinds: tuple[Kind, ...] = _OWN,
    *,
    show: bool,
) -> tuple[Kind | None, tuple[Step, ...]]:
    """Take bytes apart as the first of some kinds that they are of; None and an error if of none.

    By default those that may stand under a key's own name.
    """
    steps: tuple[Step, ...] = ()
    for kind in kinds:
        steps = explain(keyspace.declaration, raw_key, data, show=show, kind=kind).steps
        if all(step.name != "error" for step in steps):
            return kind, steps
    return None, steps
