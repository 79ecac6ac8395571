"""What everything opened is, values, logs and files alike: keyspace, KV, clock, and common plans.

The verbs that every shape has are driven in maintained.py; what a shape does in its own way it
says by the methods that are named here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, Literal, NoReturn, Self, TypeAlias, cast

from typing_extensions import TypeVar

from kvcodec.backends.capabilities import Capabilities, capabilities_of
from kvcodec.errors import ConfigError
from kvcodec.format.envelope import Kind
from kvcodec.keyspace.explanation import Explanation
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.place import Place, place_of
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans import values
from kvcodec.plans.driver import Plan
from kvcodec.plans.listing import Listing
from kvcodec.plans.many import several
from kvcodec.plans.report import Finding, Report, new_report, rewrap_report
from kvcodec.plans.swap import PLAINLY, exclusively

__all__ = ["OpenedShape", "StepName", "checked_keyspace", "shown"]

V = TypeVar("V")
K = TypeVar("K", default=str)

StepName: TypeAlias = Literal["rewrap", "foresee", "migrate", "verify"]
"""A step of maintenance. Its module, and the walk, are imported by the first one."""


def shown(kind: str, opened: Callable[[], Any]) -> str:
    """The repr of what is opened; of what was refused too, for who prints a traceback's locals."""
    try:
        here = opened()
        return f"<{kind} {here.keyspace.name!r} on {type(here._kv).__name__}>"
    except AttributeError:
        return f"<{kind}, refused>"


def checked_keyspace(keyspace: Any, kv: object, opened_as: str) -> Any:
    """What is to be opened. Raises ConfigError for all but a Keyspace."""
    if isinstance(keyspace, Keyspace):
        return cast("Any", keyspace)
    call = f"{opened_as}(keyspace, kv)"
    if isinstance(kv, Keyspace):
        raise ConfigError(f"the arguments are in the wrong order: {call}")
    kind = "a type alone" if isinstance(keyspace, type) else type(keyspace).__name__
    raise ConfigError(
        f'{call} takes a Keyspace first, not {kind}: declare one, Keyspace("name", type)'
    )


class OpenedShape(Generic[V, K]):
    """A keyspace, a KV and a clock; the shape is claimed by who has nothing left to refuse."""

    __slots__ = ("_can", "_clock", "_declared", "_keyspace", "_kv", "_listing_here")

    _kind: Kind = "value"
    """What stands under a key's own name."""

    _opened_as: str
    """The class that users open, for messages; of an async one, that of its twin."""

    def __init__(self, keyspace: Keyspace[V, K], kv: Any, clock: Callable[[], float]) -> None:
        self._keyspace: Keyspace[V, K] = checked_keyspace(keyspace, kv, self._opened_as)
        self._kv = self._as_kv(kv)
        self._clock = clock
        self._declared = keyspace.declaration
        self._can: Capabilities | None = None
        self._listing_here: Listing[V, K] | None = None

    @property
    def keyspace(self) -> Keyspace[V, K]:
        """The declaration that is opened here."""
        return self._keyspace

    def __repr__(self) -> str:
        return shown(type(self).__name__, lambda: self)

    def __copy__(self) -> Self:
        return self  # nothing of it changes

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "what is opened on a KV is neither pickled nor copied deeply: open the keyspace where "
            "it is used"
        )

    @property
    def _capabilities(self) -> Capabilities:
        if self._can is None:
            self._can = capabilities_of(self._kv)
        return self._can

    @property
    def _listing(self) -> Listing[V, K]:
        """The names of the keyspace on this KV."""
        if self._listing_here is None:
            self._listing_here = Listing(
                self._declared, self._capabilities, self._clock, self._kind
            )
        return self._listing_here

    def _as_kv(self, handle: Any) -> Any:
        """The KV over a handle. Raises ConfigError for what is none, or of the other kind."""
        raise NotImplementedError

    def _place(self, key: K) -> Place[V]:
        """Where what is stored for a key is. Raises KeyNameError."""
        return place_of(self._declared, key)

    # ------------------------------------------------------------------------ each in its own way

    def _existing(self, place: Place[V]) -> Plan[bool]:
        raise NotImplementedError

    def _deleting(self, place: Place[V]) -> Plan[object]:
        raise NotImplementedError

    def _clearing(self, on_progress: Callable[[Finding], object] | None) -> Plan[None]:
        raise NotImplementedError

    def _step(self, name: StepName) -> Any:
        """What a walk does with one name: a ``Step`` (plans/maintenance.py)."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------- maintenance

    def _walking(
        self,
        name: StepName,
        keys: Iterable[K] | None,
        after: str | Report,
        limit: int | None,
        on_progress: Callable[[Finding], object] | None,
        stop: Callable[[], bool] | None,
    ) -> Plan[Report]:
        from kvcodec.plans import walk

        declared, listing, step = self._declared, self._listing, self._step(name)
        keys = None if keys is None else list(several(keys))
        if step.every_name:
            report = rewrap_report(declared, after, keys, limit, lists=listing.lists)
        else:
            report = new_report(declared, after, limit)
        pages = walk.pages_of(listing, step, keys, report.cursor)
        ends = walk.Ends(report, limit, stop)
        return (yield from walk.walk(listing, step, pages, ends, on_progress))

    def _reading_raw(self, place: Place[V]) -> Plan[bytes | None]:
        held = yield from values.find(place, PLAINLY)
        return None if held is None else as_bytes(held.data)

    def _explaining(self, place: Place[V], *, show: bool) -> Plan[Explanation | None]:
        held = yield from values.find(place, PLAINLY)
        if held is None:
            return None
        return place.explain(as_bytes(held.data), held.older, show=show, kind=self._kind)

    def _quarantining(self, place: Place[V]) -> Plan[str | None]:
        from kvcodec.plans import maintenance

        can = self._capabilities
        return exclusively(maintenance.quarantine(place, can), place.raw_key, can)

    def _reindexing(self, keys: Iterable[K]) -> Plan[None]:
        yield from self._listing.reindex(map(self._keyspace.raw_key, several(keys)))
