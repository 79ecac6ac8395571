"""What a walk over a keyspace finds: ``Report``, and a ``Finding`` for each name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct, field, structs

from kvcodec.errors import ConfigError, forgetful
from kvcodec.keyspace.declaration import Declaration
from kvcodec.protocols import offers
from kvcodec.secrets.abilities import RingCipher

__all__ = [
    "Finding",
    "Report",
    "Scope",
    "State",
    "ciphers",
    "count",
    "new_report",
    "rewrap_report",
]

State: TypeAlias = Literal[
    "fine",
    "missing",
    "older key",
    "older version",
    "older form",
    "newer",
    "expired",
    "unreadable",
    "skipped",
    "removed",
]
"""What is stored under a name, seen from today's declaration. Skipped: the name begins as the
keyspace's do and is no key of its type, nor of one in its ``previous=``; nobody looked at it.
Removed: what ``clear`` says of each."""


Scope: TypeAlias = Literal["keys", "listed", "indexed", "given"]
"""What a walk goes over: ``"keys"``, as ``migrate`` and ``verify`` do, without the parts that logs
and files keep beside them; or, with their parts, every name that the backend lists, every key
that an index has, or the keys that were given."""


class Finding(Struct, frozen=True):
    """One name: its state, and what was done or what is wrong."""

    raw_key: str
    state: State
    key_ids: tuple[str, ...] = ()
    """Of the keys under which it is sealed now, as its header has them."""
    changed: bool = False
    conflict: bool = False
    """Another writer was faster: it is as that one left it."""
    error: str | None = None
    """Of an unreadable value: the stage and the kind of the error."""


class Report(Struct):
    """What a walk found and did. Numbers are of names: a key, or a part of its log or file."""

    checked: int = 0
    changed: int = 0
    states: Counter[str] = field(default_factory=Counter[str])
    """How many names were in each state when they were met."""
    key_ids: Counter[str] = field(default_factory=Counter[str])
    """How many values are sealed under each key of the ring, after the walk."""
    unreadable: dict[str, str] = field(default_factory=dict[str, str])
    """Raw key and error of what cannot be read. It was left as it is."""
    names: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Raw keys by state, of all that is not fine."""
    conflicts: list[str] = field(default_factory=list[str])
    """Raw keys that another writer changed at the same time: walk them again."""
    cursor: str = ""
    """The last raw key of the walk."""
    complete: bool = False
    """Whether the walk came to its end, and not to ``limit=``."""
    from_start: bool = True
    """Whether the walk began at the first name: not at a cursor, nor with another scope or keys."""
    scope: Scope = "keys"
    """What was walked: see ``Scope``."""
    given: str = ""
    """A digest of the raw keys of the keys that were given: other ones do not go on from it."""
    keyspace: str = ""
    """The name of the keyspace that was walked."""
    ring: frozenset[str] | None = frozenset()
    """The ids of all keys that its ciphers hold; None if one of them does not tell."""
    in_use: frozenset[str] = frozenset()
    """The ids of keys that are needed whatever is stored: the primary one, and those that hidden
    names are made with, by this declaration or one in its ``previous=``."""

    @property
    def saw_everything(self) -> bool:
        """Whether no name of the keyspace can have been left out.

        True after a ``rewrap``, in one call or in several, from the start to the end of what the
        backend lists, if no name was skipped (``names["skipped"]``). Not of given keys, of which
        only their giver knows whether they are all; nor of an index, which lacks what was stored
        before it was declared.
        """
        return self.scope == "listed" and self._came_through and not self.states["skipped"]

    @property
    def _came_through(self) -> bool:
        return self.complete and self.from_start and self.scope != "keys"

    @forgetful  # perhaps the text of a key stands in the place of its id
    def is_free_of(self, key_id: str) -> bool:
        """Say whether nothing that was walked needs this key any more.

        For a ``rewrap`` of given keys, or through an index, with the parts of their logs and
        files: if those are all that there is, the key may be dropped. True only if the walk came
        from its start to its end, and met no unreadable value and no conflict. Never of the primary
        key and that of ``HiddenKeys``; nor after ``migrate`` and ``verify``, which do not look at
        parts.

        Raises ConfigError for what is no id of the keyspace's rings, or if nothing is sealed.
        """
        if not self._knows(key_id):
            raise ConfigError(_NO_SUCH_ID)
        clean = not (self.unreadable or self.conflicts or self.key_ids[key_id])
        return self._came_through and clean and key_id not in self.in_use

    @forgetful
    def may_drop(self, key_id: str) -> bool:
        """Say whether no value of the keyspace needs this key any more.

        What ``is_free_of`` says, of a walk that ``saw_everything``: hence always False where the
        backend cannot list.

        Raises ConfigError as ``is_free_of`` does.
        """
        return self.is_free_of(key_id) and self.saw_everything

    def _knows(self, key_id: str) -> bool:
        return self.ring is None or key_id in self.ring or key_id in self.key_ids

    def __str__(self) -> str:
        counts = [f"{self.checked} names", f"{self.changed} changed"]
        counts += [f"{state} {count}" for state, count in sorted(self.states.items())]
        keys = [f"key {key_id} {count}" for key_id, count in sorted(self.key_ids.items())]
        keys += [f"key {key_id} of the ring seals nothing" for key_id in self._idle()]
        wrong = [f"{len(self.conflicts)} conflicts"] if self.conflicts else []
        end = "complete" if self.complete else f"up to {self.cursor!r}"
        return f"{self.keyspace} ({self.scope}): {', '.join((*counts, *keys, *wrong, end))}"

    def _idle(self) -> list[str]:
        """The keys of the ring that a whole walk has not met: a retired one, or a mistaken order.

        ``KeyRing("old,new")`` seals under the old key: then it is the new one.
        """
        if not self._came_through or self.ring is None or not self.key_ids:
            return []
        return sorted(self.ring - self.key_ids.keys())


_NO_SUCH_ID = (
    "no key of the keyspace's ring has this id: KeyRing(key).primary is the id of a key, and the "
    "ring of a rewrap holds the key to be dropped as a retired one"
)


def count(report: Report, finding: Finding) -> None:
    """Take one name into a report."""
    report.checked += 1
    report.changed += finding.changed
    report.states[finding.state] += 1
    report.key_ids.update(finding.key_ids)
    if finding.error is not None:
        report.unreadable[finding.raw_key] = finding.error
    if finding.state != "fine":
        report.names.setdefault(finding.state, []).append(finding.raw_key)
    if finding.conflict:
        report.conflicts.append(finding.raw_key)


def new_report(
    declared: Declaration[Any, Any],
    after: str | Report,
    limit: object,
    scope: Scope = "keys",
    given: str = "",
) -> Report:
    """The report of a walk that begins, or goes on from an earlier report, which stays as it is.

    Raises ConfigError for a limit that is no limit, and for a report of another keyspace.
    """
    whole = isinstance(limit, int) and not isinstance(limit, bool) and limit > 0
    if limit is not None and not whole:
        raise ConfigError("limit= is a number of names: an integer of at least 1")
    if isinstance(after, Report):
        return _resumed(after, declared, scope, given)
    return Report(
        cursor=after,
        from_start=after == "",
        scope=scope,
        given=given,
        keyspace=declared.name,
        ring=_ring(declared),
        in_use=_in_use(declared),
    )


def _resumed(earlier: Report, declared: Declaration[Any, Any], scope: Scope, given: str) -> Report:
    if earlier.keyspace != declared.name:
        raise ConfigError("after= is a report of another keyspace")
    return structs.replace(
        earlier,
        states=Counter(earlier.states),
        key_ids=Counter(earlier.key_ids),
        unreadable=dict(earlier.unreadable),
        names={state: list(names) for state, names in earlier.names.items()},
        conflicts=list(earlier.conflicts),
        complete=False,
        from_start=earlier.from_start and (earlier.scope, earlier.given) == (scope, given),
        scope=scope,
        given=given,
        ring=_ring(declared),
        in_use=_in_use(declared),
    )


def rewrap_report(
    declared: Declaration[Any, Any],
    after: str | Report,
    keys: Iterable[Any] | None,
    limit: object,
    *,
    lists: bool,
) -> Report:
    """As ``new_report``, of a walk over every name. Raises ConfigError where nothing is sealed."""
    if not ciphers(declared):
        raise ConfigError("nothing is sealed here: neither the keyspace nor an older one")
    if keys is None:
        return new_report(declared, after, limit, "listed" if lists else "indexed")
    from hashlib import sha256  # takes longer to import than most of kvcodec

    names = sorted({declared.names.raw_key(key) for key in keys})
    digest = sha256(msgspec.msgpack.encode(names)).hexdigest()
    return new_report(declared, after, limit, "given", digest)


def ciphers(declared: Declaration[Any, Any]) -> list[Any]:
    """The ciphers of a declaration and its older ones: of whole values, or of their fields."""
    own = declared.pipeline.cipher
    older = [cipher for each in declared.older for cipher in ciphers(each.declaration)]
    return older if own is None else [own, *older]


def _ring(declared: Declaration[Any, Any]) -> frozenset[str] | None:
    """The ids of all keys that these ciphers hold. None if one does not tell: Cipher need not."""
    ids = set(_naming(declared))
    for cipher in ciphers(declared):
        if not offers(cipher, RingCipher):
            return None
        ids |= cipher.key_ids
    return frozenset(ids)


def _in_use(declared: Declaration[Any, Any]) -> frozenset[str]:
    return frozenset(filter(None, (declared.pipeline.primary, *_naming(declared))))


def _naming(declared: Declaration[Any, Any]) -> list[str]:
    """The ids of the keys that names are made with, those of older declarations among them.

    As long as such a declaration is named in ``previous=``, it cannot be made without its key.
    """
    own = declared.names.naming
    older = [key_id for each in declared.older for key_id in _naming(each.declaration)]
    return [own, *older] if own else older
