"""What a handle can do beyond get, set and delete, and what its answers to that mean.

A handle is somebody else's object: it may be a proxy, have a method of a capability's name that
means something else, or answer with what no method of that capability answers with. So it is
looked at here and nowhere else, once per handle, and what is not sure to be a capability is left
aside: three methods are enough for everything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import suppress
from types import BuiltinFunctionType, MethodType, MethodWrapperType
from typing import Any, Final, NamedTuple, cast
from weakref import ref

from msgspec import Struct

from kvcodec.errors import ConfigError, OutcomeUnknown
from kvcodec.format.plain import is_tuple
from kvcodec.protocols import Backing, Limits, Token

__all__ = [
    "Capabilities",
    "all_stored",
    "capabilities_of",
    "forwards",
    "has_method",
    "lacking",
    "limits_of",
    "place_behind",
    "replaced",
    "values_of",
    "versioned",
    "versioned_ones",
    "yes_or_no",
]


class Capabilities(Struct, frozen=True):
    """What a handle can do beyond get, set and delete: whole groups of methods only."""

    exists: bool = False
    """``exists``"""
    many: bool = False
    """``get_many``, ``set_many`` and ``delete_many``"""
    scan: bool = False
    """``scan_keys``"""
    ordered: bool = False
    """``scan_keys`` lists in the order of the keys' UTF-8 bytes"""
    ttl: bool = False
    """``set_with_ttl``"""
    many_ttl: bool = False
    """``set_many_with_ttl``"""
    purge: bool = False
    """``purge``"""
    claims: bool = False
    """``set_if_absent``"""
    versions: bool = False
    """``get_versioned`` and ``set_if_version``"""
    many_versions: bool = False
    """``get_many_versioned`` and ``set_many_if_version``"""
    deletes: bool = False
    """``delete_if_version``"""
    version_of: str = "write"
    """What a token stands for: ``"write"``, or ``"bytes"``"""
    limits: Limits = Limits()


def capabilities_of(kv: object) -> Capabilities:
    """Look at a handle, without any I/O.

    A group is there if each of its methods is, can be called as the protocol calls it, and takes
    several keys as one argument. A method that is None is not there, and a callable whose
    signature cannot be read is taken at its word.
    """
    ask = _FORWARDING.get(type(kv))
    if ask is not None:
        return ask(kv)
    scan = _offers(kv, _GROUPS["scan"])
    versions = _offers(kv, _GROUPS["versions"])
    ordered: object = getattr(kv, "ordered", None)
    return Capabilities(
        exists=_offers(kv, _GROUPS["exists"]),
        many=_offers(kv, _GROUPS["many"]),
        scan=scan,
        ordered=scan and ordered is True,
        ttl=_offers(kv, _GROUPS["ttl"]),
        many_ttl=_offers(kv, _GROUPS["many_ttl"]),
        purge=_offers(kv, _GROUPS["purge"]),
        claims=_offers(kv, _GROUPS["claims"]),
        versions=versions,
        many_versions=versions and _offers(kv, _GROUPS["many_versions"]),
        deletes=versions and _offers(kv, _GROUPS["deletes"]),
        version_of="bytes" if versions and getattr(kv, "version_of", None) == "bytes" else "write",
        limits=limits_of(kv),
    )


def limits_of(kv: object) -> Limits:
    """Return the limits that a handle states. What a client has under this name is none."""
    limits = getattr(kv, "limits", None)
    return limits if isinstance(limits, Limits) else _NO_LIMITS


def place_behind(kv: object, key: str) -> tuple[Hashable, str]:
    """Return the store behind a handle, and the full name of ``key`` there: for locks.

    As the handle's own ``backing`` says (see ``protocols.Backing``); else the handle itself is the
    store, as an object: its ``==`` and ``hash`` are its own affair. Raises ConfigError for a
    ``backing`` that returns anything else.
    """
    if not _offers(kv, _BACKING):
        return ("handle", id(kv)), key
    place: object = cast("Backing", kv).backing(key)
    if is_tuple(place) and len(place) == 2 and isinstance(place[1], str):
        return place[0], place[1]
    if hasattr(place, "__await__"):
        _close(place)  # of a proxy that makes a coroutine of every method
        return ("handle", id(kv)), key
    raise ConfigError(
        f"backing() of {type(kv).__name__} returned no pair of the store's identity and the "
        "key's full name",
        stage="store",
    )


def _close(unawaited: Any) -> None:
    if hasattr(unawaited, "close"):
        unawaited.close()  # or Python warns that it was never awaited


# ------------------------------------------------------------------------------------- answers
#
# A wrong answer is an error and never "missing", "stored" or "no": each of these returns what the
# plans may rely on. No message holds an answer, of which only the type is told.


def values_of(answer: object, method: str = "get_many") -> Mapping[str, Any]:
    """Return what ``get_many`` answered. Raises ConfigError for all but a mapping of names."""
    if not isinstance(answer, Mapping):
        raise _wrong(method, answer, "a mapping of those keys that are there to their values")
    found = cast("Mapping[str, Any]", answer)
    name: object = next(iter(found), "")
    if not isinstance(name, str):
        raise _wrong(method, answer, f"a mapping whose keys are str, not {_kind(name)}")
    return found


def all_stored(answer: object, names: Collection[str], method: str = "set_many") -> None:
    """Look at what ``set_many`` answered. Raises OutcomeUnknown if it named any of ``names``.

    Django's caches and pymemcache answer with the keys that were not stored.
    """
    if not _is_several(answer):
        return
    known = frozenset(names)
    failed = sum(isinstance(name, str) and name in known for name in cast("Any", answer))
    if failed:
        raise OutcomeUnknown(
            f"{method} of this handle named {failed} of {len(names)} keys in its answer, which "
            "are taken as not stored: set them again; if it names those that it stored, let it "
            "return None",
            stage="store",
        )


def yes_or_no(answer: object, method: str) -> bool:
    """Return what a method answered that says whether something is so, or was done.

    Raises for all but a bool and an int: ConfigError for ``exists``, OutcomeUnknown for the
    methods that write.
    """
    if isinstance(answer, int):
        return bool(answer)
    wrong = _wrong(method, answer, "True or False")
    if method == "exists":
        raise wrong
    raise OutcomeUnknown(str(wrong.args[0]), stage="store")


def versioned_ones(answer: object) -> dict[str, tuple[bytes, Token]]:
    """Return what ``get_many_versioned`` answered. Raises ConfigError as the others do."""
    method, found = "get_many_versioned", dict[str, tuple[bytes, Token]]()
    for name, pair in values_of(answer, method).items():
        held = versioned(pair, method)
        if held is not None:
            found[name] = held
    return found


def replaced(answer: object, names: Collection[str]) -> Collection[str]:
    """Return what ``set_many_if_version`` answered. Raises OutcomeUnknown for no such names."""
    done: Collection[str] = cast("Any", answer)
    if _is_several(answer) and all(name in names for name in done):
        return done
    wanted = "a collection of those keys whose values it replaced"
    wrong = _wrong("set_many_if_version", answer, wanted)
    raise OutcomeUnknown(str(wrong.args[0]), stage="store")


def versioned(answer: object, method: str = "get_versioned") -> tuple[bytes, Token] | None:
    """Return what ``get_versioned`` answered. Raises ConfigError for all but None and a pair."""
    if answer is None:
        return None
    pair: Any = answer
    if isinstance(answer, tuple | list) and len(pair) == 2 and pair[0] is not None:
        return pair[0], pair[1]
    raise _wrong(method, pair, "a pair of the value and its token, or None")


def _is_several(answer: object) -> bool:
    return isinstance(answer, Collection) and not isinstance(answer, str | bytes)


def _wrong(method: str, answer: object, wanted: str) -> ConfigError:
    return ConfigError(
        f"{method} of this handle returned {_kind(answer)}, where {wanted} is wanted: wrap the "
        f"handle in a class whose {method} returns that, or leave the method out",
        stage="store",
    )


def _kind(answer: object) -> str:
    return "None" if answer is None else type(answer).__name__


# --------------------------------------------------------------------------- shapes of methods


class _Method(NamedTuple):
    """A method of a protocol: what it is called with, and which functions take that."""

    name: str
    arguments: int
    several: bool
    """Whether its first argument is a collection of keys or items."""
    fitting: dict[int, ref[Any]]
    """Functions that take what it is called with as methods of a handle, by their ids, for as
    long as they live: reading a signature takes longer than all the rest. By function and not by
    class or handle, neither of which says what its methods are."""

    def fits(self, found: Any) -> bool:
        """Say whether what a handle has under this name can be called as the protocol calls it."""
        if found is None or not callable(found):
            return False
        if type(found) in _OF_C:
            return True
        if not self._takes(found):
            return False
        if isinstance(found, MethodType):
            self._remember(found.__func__)
        return True

    def _remember(self, function: object) -> None:
        at = id(function)
        with suppress(TypeError):  # no weak references to it: looked at each time
            self.fitting[at] = ref(function, lambda _: self.fitting.pop(at, None))

    def _takes(self, found: Callable[..., Any]) -> bool:
        import inspect  # not above: who opens a dict never comes here

        try:
            signature = inspect.signature(found)
        except Exception:  # noqa: BLE001 - of C, or annotations that cannot be evaluated
            return True
        try:
            signature.bind(*[None] * self.arguments)
        except TypeError:
            return False
        kinds = [parameter.kind for parameter in signature.parameters.values()]
        # `get_many(*keys)` takes each key as an argument of its own; `call(*args, **kwargs)`
        # passes on whatever it is given.
        apart = self.several and kinds[0] is inspect.Parameter.VAR_POSITIONAL
        return not apart or inspect.Parameter.VAR_KEYWORD in kinds


_OF_C: Final = (BuiltinFunctionType, MethodWrapperType)
"""Methods of types written in C: another object each time one is asked for, and few of them tell
their signature. Taken at their word."""


def _method(name: str, arguments: int, *, several: bool = False) -> _Method:
    return _Method(name, arguments, several, {})


_GROUPS: Final = {
    "exists": (_method("exists", 1),),
    "many": tuple(
        _method(name, 1, several=True) for name in ("get_many", "set_many", "delete_many")
    ),
    "scan": (_method("scan_keys", 2),),
    "ttl": (_method("set_with_ttl", 3),),
    "many_ttl": (_method("set_many_with_ttl", 2, several=True),),
    "purge": (_method("purge", 0),),
    "claims": (_method("set_if_absent", 3),),
    "versions": (_method("get_versioned", 1), _method("set_if_version", 4)),
    "many_versions": tuple(
        _method(name, 1, several=True) for name in ("get_many_versioned", "set_many_if_version")
    ),
    "deletes": (_method("delete_if_version", 2),),
}
"""The methods of each field of ``Capabilities``."""

_FIELD_OF: Final = {method.name: field for field, group in _GROUPS.items() for method in group}

_BACKING: Final = (_method("backing", 1),)

_NO_LIMITS: Final = Limits()

_FORWARDING: Final[dict[type, Callable[[Any], Capabilities]]] = {}
"""Wrappers of kvcodec's own, and how to ask them for what they wrap. Exact types only: a subclass
may have taken a method away."""


def has_method(capabilities: Capabilities, name: str) -> bool:
    """Say whether the group is there that a method of this name belongs to."""
    return bool(getattr(capabilities, _FIELD_OF[name]))


def lacking(names: Collection[str]) -> dict[str, bool]:
    """Return the fields of those groups whose methods are not all among these, as False."""
    return {
        field: False
        for field, group in _GROUPS.items()
        if any(method.name not in names for method in group)
    }


def forwards(kind: type, ask: Callable[[Any], Capabilities]) -> None:
    """Let a wrapper answer for itself, in place of a look at methods that only pass on."""
    _FORWARDING[kind] = ask


def _offers(kv: object, group: tuple[_Method, ...]) -> bool:
    for method in group:
        found = getattr(kv, method[0], None)
        if found is None:
            return False
        # Written out, and not in a function of its own: this is what a warm look costs.
        known = type(found) is MethodType and id(found.__func__) in method[3]
        if not known and not method.fits(found):
            return False
    return True
