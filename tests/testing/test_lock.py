"""SchemaLock: whatever it calls compatible reads back; whatever does not read back, it catches."""

# Stores stand behind one face here, so that what their callbacks take is Any.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import dataclasses
import enum
import json
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import kvcodec
from kvcodec import (
    HashedKeys,
    HiddenKeys,
    KeyRing,
    Keyspace,
    KVCodecError,
    MemoryKV,
    Previous,
    Secret,
    Store,
    TemplateKeys,
)
from kvcodec.testing import LockBroken, SchemaLock, values
from tests.leaks import CANARY
from tests.testing.runs import pytest_in

RING = KeyRing("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Base(msgspec.Struct):
    name: str
    size: int | None = None
    color: Color = Color.RED


def lock_of(path: Path, *keyspaces: Keyspace[Any, Any]) -> SchemaLock:
    """A lock on which these are recorded."""
    lock = SchemaLock(path / "kvcodec.lock.json")
    lock.check(*keyspaces, update=True)
    return lock


def defined(fields: dict[str, Any], name: str = "Thing", **options: Any) -> type[Any]:
    """A Struct with these fields: a type, or a pair of type and default."""
    rows = [
        (field, *kind) if isinstance(kind, tuple) else (field, kind)
        for field, kind in fields.items()
    ]
    return msgspec.defstruct(name, rows, kw_only=True, **options)


# ------------------------------------------------------------------------- each kind of change

Change = Callable[[dict[str, Any]], dict[str, Any]]


def _with(**fields: Any) -> Change:
    return lambda before: {**before, **fields}


def _without(name: str) -> Change:
    return lambda before: {field: kind for field, kind in before.items() if field != name}


def _renamed(*, wire: bool) -> Change:
    def change(before: dict[str, Any]) -> dict[str, Any]:
        after = _without("name")(before)
        return (
            {**after, "title": (str, msgspec.field(name="name"))}
            if wire
            else {
                **after,
                "title": (str, ""),
            }
        )

    return change


FIELDS: dict[str, Any] = {
    "name": str,
    "size": (int | None, None),
    "color": (Color, Color.RED),
    "mode": (Literal["a", "b", "c"], "a"),
    "tags": (list[str], msgspec.field(default_factory=list)),
    "rate": (Annotated[int, msgspec.Meta(ge=-5, le=5)], 0),
    "union": (int | str | None, None),
}


class Fewer(enum.Enum):
    RED = "red"


class More(enum.Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


COMPATIBLE: dict[str, Change] = {
    "nothing": lambda before: before,
    "a field with a default": _with(new=(int, 0)),
    "a field with a factory": _with(new=(list[int], msgspec.field(default_factory=list))),
    "renamed, the stored name kept": _renamed(wire=True),
    "in another order": lambda before: dict(reversed(before.items())),
    "a wider type": _with(size=(int | str | None, None)),
    "a wider bound": _with(rate=(Annotated[int, msgspec.Meta(ge=-50, le=50)], 0)),
    "a union grown": _with(union=(int | str | bool | None, None)),
    "another member of an Enum": _with(color=(More, More.RED)),
    "another literal": _with(mode=(Literal["a", "b", "c", "d"], "a")),
    "anything": _with(size=(Any, None)),
    "another default": _with(mode=(Literal["a", "b", "c"], "b")),
}

BREAKING: dict[str, Change] = {
    "a field without a default": _with(new=int),
    "a field removed": _without("size"),
    "renamed": _renamed(wire=False),
    "a narrower type": _with(size=(int, 0)),
    "a narrower bound": _with(rate=(Annotated[int, msgspec.Meta(ge=0, le=5)], 0)),
    "another type": _with(size=(str | None, None)),
    "a union shrunk": _with(union=(int | None, None)),
    "a member of an Enum removed": _with(color=(Fewer, Fewer.RED)),
    "a literal removed": _with(mode=(Literal["a", "b"], "a")),
    "items of another type": _with(tags=(list[int], msgspec.field(default_factory=list))),
    "a set for a list": _with(tags=(set[str], msgspec.field(default_factory=set))),
    "shorter text": _with(name=Annotated[str, msgspec.Meta(max_length=3)]),
    "text that is not empty": _with(name=Annotated[str, msgspec.Meta(min_length=1)]),
}


@pytest.fixture(scope="module", params=["json", "msgpack"])
def encoding(request: pytest.FixtureRequest) -> str:
    """Both encodings."""
    return str(request.param)


@pytest.fixture(scope="module")
def recorded(encoding: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The lock file of FIELDS, made once."""
    folder = tmp_path_factory.mktemp("recorded")
    lock_of(folder, Keyspace("things", defined(FIELDS), encoding=encoding))
    return (folder / "kvcodec.lock.json").read_text()


@pytest.mark.parametrize("change", COMPATIBLE.values(), ids=COMPATIBLE)
def test_compatible_changes_pass(
    tmp_path: Path, change: Change, recorded: str, encoding: str
) -> None:
    """They are accepted as they are, and recorded on request, beside what was there."""
    path = tmp_path / "kvcodec.lock.json"
    path.write_text(recorded)
    lock = SchemaLock(path)
    today = Keyspace("things", defined(change(FIELDS)), encoding=encoding)
    lock.check(today)
    assert path.read_text() == recorded
    lock.check(today, update=True)
    lock.check(today)


@pytest.mark.parametrize("change", BREAKING.values(), ids=BREAKING)
def test_breaking_changes_are_caught(
    tmp_path: Path, change: Change, recorded: str, encoding: str
) -> None:
    """Each fails with a diff and the way out; update=True does not record it."""
    path = tmp_path / "kvcodec.lock.json"
    path.write_text(recorded)
    lock = SchemaLock(path)
    today = Keyspace("things", defined(change(FIELDS)), encoding=encoding)
    for update in (False, True):
        with pytest.raises(LockBroken, match="raise version= with an upgrade") as caught:
            lock.check(today, update=update)
        text = str(caught.value)
        assert "keyspace 'things': version 1" in text
        assert "\n    - " in text or "\n    + " in text
    assert path.read_text() == recorded


# ------------------------------------------------------- changes that no error tells of


class Exchanged(enum.Enum):
    RED = "blue"
    BLUE = "red"


class Crimson(enum.Enum):
    CRIMSON = "red"
    BLUE = "blue"


class Names(NamedTuple):
    first: str
    last: str


class NamesExchanged(NamedTuple):
    last: str
    first: str


class NamesRenamed(NamedTuple):
    given: str
    family: str


def renamed(**names: str) -> type[Any]:
    """A Struct with these fields, each stored under another name."""
    return defined({name: (str, msgspec.field(name=stored)) for name, stored in names.items()})


def pair_of(*names: str, **options: Any) -> type[Any]:
    """A Struct that is stored as an array, with these fields of text."""
    return defined(dict.fromkeys(names, str), array_like=True, **options)


def omitting(default: Any) -> type[Any]:
    """A Struct that does not store its defaults."""
    return defined({"name": str, "mode": (str, default)}, omit_defaults=True)


def wide(kind: Any) -> Any:
    """Unions in a union: few of the values that are drawn come to this type at all."""
    for level in "xyz":
        others = {f"{level}{at}": int for at in range(8)}
        rows = {level: kind, **others}
        kind = Union[tuple(defined({"value": rows[tag]}, tag, tag=tag) for tag in rows)]  # noqa: UP007 - of a list made at run time
    return kind


def tagged(one: str, other: str) -> Any:
    """Two Structs alike, told apart by their tags."""
    return defined({"at": int}, "Created", tag=one) | defined({"at": int}, "Deleted", tag=other)


@dataclasses.dataclass
class Plain:
    """Its factory makes another one each time."""

    name: str
    at: float = dataclasses.field(default_factory=time.perf_counter)


SILENT: dict[str, tuple[Any, Any]] = {
    "fields of an array exchanged": (pair_of("first", "last"), pair_of("last", "first")),
    "a field of an array in front": (pair_of("a", "b"), pair_of("new", "a", "b")),
    "tagged, exchanged": (pair_of("a", "b", tag="x"), pair_of("b", "a", tag="x")),
    "parts of a NamedTuple exchanged": (list[Names], list[NamesExchanged]),
    "another default that is not stored": (omitting("a"), omitting("b")),
    "a default that is of another type": (
        defined({"a": (list[int], msgspec.field(default_factory=list))}, omit_defaults=True),
        defined({"a": (list[int] | None, None)}, omit_defaults=True),
    ),
    "values of an Enum exchanged": (defined({"c": Color}), defined({"c": Exchanged})),
    "in a set": (set[Color], set[Exchanged]),
    "as a key": (dict[Color, int], dict[Exchanged, int]),
    "renamed fields exchanged": (renamed(first="a", last="b"), renamed(first="b", last="a")),
    "a name given to another field": (renamed(name="name"), renamed(title="name", name="full")),
    "None no longer": (wide(int | None), wide(int)),
    "tags exchanged": (tagged("a", "b"), tagged("b", "a")),
    "dates as text": (defined({"d": date}), defined({"d": str})),
}

SILENTLY_COMPATIBLE: dict[str, tuple[Any, Any]] = {
    "fields of an array renamed": (pair_of("first", "last"), pair_of("given", "family")),
    "parts of a NamedTuple renamed": (list[Names], list[NamesRenamed]),
    "a member of an Enum renamed": (defined({"c": Color}), defined({"c": Crimson})),
    "in a set": (set[Color], set[Crimson]),
    "as a key": (dict[Color, int], dict[Crimson, int]),
    "renamed in Python": (renamed(first="a", last="b"), renamed(given="a", last="b")),
    "None as well": (wide(int), wide(int | None)),
    "a default that is stored": (defined({"m": (str, "a")}), defined({"m": (str, "b")})),
    "a factory of the user's": (defined({"name": str}), Plain),
    "and then no change": (Plain, Plain),
}


@pytest.mark.parametrize(("before", "after"), SILENT.values(), ids=SILENT)
def test_silent_changes_are_caught(tmp_path: Path, before: Any, after: Any, encoding: str) -> None:
    """What reads, writes back the same bytes, and is another value: refused, and not recorded."""
    lock = lock_of(tmp_path, Keyspace("things", before, encoding=encoding))
    recorded = (tmp_path / "kvcodec.lock.json").read_text()
    lock.check(Keyspace("things", before, encoding=encoding))
    for update in (False, True):
        with pytest.raises(LockBroken, match="raise version= with an upgrade"):
            lock.check(Keyspace("things", after, encoding=encoding), update=update)
    assert (tmp_path / "kvcodec.lock.json").read_text() == recorded


@pytest.mark.parametrize(("before", "after"), SILENTLY_COMPATIBLE.values(), ids=SILENTLY_COMPATIBLE)
def test_what_only_has_another_name_passes(
    tmp_path: Path, before: Any, after: Any, encoding: str
) -> None:
    """Python's names may change, as long as none of them gets another's values."""
    lock = lock_of(tmp_path, Keyspace("things", before, encoding=encoding))
    today = Keyspace("things", after, encoding=encoding)
    lock.check(today)
    lock.check(today, update=True)
    lock.check(today)


@pytest.mark.parametrize("limits", [{"max_bytes": 20}, {"max_depth": 2}])
def test_a_limit_below_what_is_stored_is_caught(tmp_path: Path, limits: dict[str, Any]) -> None:
    """Lowered so far that recorded values are over it; a bit lower, or higher, it passes."""
    kind = dict[str, list[list[int]]]
    lock = lock_of(tmp_path, Keyspace("things", kind))
    lock.check(Keyspace("things", kind, max_bytes=1000, max_depth=10), update=True)
    for update in (False, True):
        with pytest.raises(LockBroken, match=f"cannot be read any more .*{next(iter(limits))}"):
            lock.check(Keyspace("things", kind, **limits), update=update)
    lock_of(tmp_path, Keyspace("things", kind, max_bytes=10**8, max_depth=200))


def test_what_is_too_large_from_the_start_was_never_stored(tmp_path: Path) -> None:
    """Golden values are within the limits that they are recorded under."""
    small = Keyspace("things", list[int], max_bytes=20)
    lock_of(tmp_path, small).check(small)


def test_a_file_without_views_is_accepted_and_gets_them(tmp_path: Path) -> None:
    """Made by an earlier kvcodec: held to what it has, and to all from the next update on."""
    path = tmp_path / "kvcodec.lock.json"
    before, after = (Keyspace("things", defined({"c": kind})) for kind in (Color, Exchanged))
    lock = lock_of(tmp_path, before)
    whole = json.loads(path.read_text())
    version = whole["keyspaces"]["things"]["forms"][0]["versions"]["1"]
    golden = version["golden"]
    del version["views"], version["limits"]
    path.write_text(json.dumps(whole))
    lock.check(before)
    lock.check(after)
    lock.check(before, update=True)
    now = json.loads(path.read_text())["keyspaces"]["things"]["forms"][0]["versions"]["1"]
    assert now["golden"][: len(golden)] == golden
    assert len(now["views"]) == len(now["golden"])
    with pytest.raises(LockBroken, match="read as another member of its Enum"):
        lock.check(after)


def test_views_that_were_lost_in_a_merge_are_missed(tmp_path: Path) -> None:
    """Each golden value has its own."""
    path = tmp_path / "kvcodec.lock.json"
    lock = lock_of(tmp_path, Keyspace("things", Base))
    whole = json.loads(path.read_text())
    whole["keyspaces"]["things"]["forms"][0]["versions"]["1"]["views"].pop()
    path.write_text(json.dumps(whole))
    with pytest.raises(LockBroken, match="restore the file"):
        lock.check(Keyspace("things", Base), update=True)


def test_a_default_that_old_values_read_as_stays(tmp_path: Path) -> None:
    """Of a field that was added later: values without it would read as another."""
    lock = lock_of(tmp_path, Keyspace("things", defined({"a": int})))
    lock.check(Keyspace("things", defined({"a": int, "b": (int, 0)})), update=True)
    with pytest.raises(LockBroken, match=r"\$\.b is read as another value"):
        lock.check(Keyspace("things", defined({"a": int, "b": (int, 1)})), update=True)


def test_secrets_are_no_text_in_views_and_compared_all_the_same(tmp_path: Path) -> None:
    """Their digests are there: an Enum whose values were exchanged is seen inside a Secret."""

    def of(kind: Any) -> Keyspace[Any]:
        return Keyspace("things", defined({"s": Secret[kind]}), cipher=RING)

    lock = lock_of(tmp_path, of(Color))
    whole = json.loads((tmp_path / "kvcodec.lock.json").read_text())
    views = whole["keyspaces"]["things"]["forms"][0]["versions"]["1"]["views"]
    assert "sha256:" in str(views)
    assert "RED" not in str(views)
    with pytest.raises(LockBroken, match="another member of its Enum"):
        lock.check(of(Exchanged))


@pytest.mark.parametrize(
    ("kind", "recorded"),
    [
        (set[int], "[2,10]"),
        (Base, '{"color":"red","size":null,"name":"x"}'),
        (dict[str, Any], '{"a":{"x":1,"y":2},"b":2}'),
        (dict[str, frozenset[frozenset[int]]], '{"a":[[1],[2,10]],"b":[[10,2]]}'),
        (list[tuple[str, set[Color]]], '[["x",["red","blue"]]]'),
        (Secret[set[int]], '"kvo1.00000000000000000000000000000000.[2,10]"'),
    ],
)
def test_what_was_recorded_in_another_order_is_the_same_form(
    tmp_path: Path, kind: Any, recorded: str
) -> None:
    """Older code sorted dicts by their keys, and sets by "<" or not at all."""
    options: dict[str, Any] = {"cipher": RING} if kind == Secret[set[int]] else {}
    keyspace: Keyspace[Any] = Keyspace("things", kind, **options)
    lock = lock_of(tmp_path, keyspace)
    record(tmp_path, recorded)
    lock.check(keyspace)


@pytest.mark.parametrize(
    ("kind", "recorded"), [(set[int], "[2,10,2]"), (list[set[int]], "[[1],[2,2]]")]
)
def test_an_item_of_a_set_that_is_gone_is_seen(tmp_path: Path, kind: Any, recorded: str) -> None:
    """In any order, but all of them."""
    lock = lock_of(tmp_path, Keyspace("things", kind))
    record(tmp_path, recorded)
    with pytest.raises(LockBroken, match="is another value"):
        lock.check(Keyspace("things", kind))


def record(folder: Path, encoding: str) -> None:
    """Put an encoding in place of all golden values in a lock's file."""
    path = folder / "kvcodec.lock.json"
    whole = json.loads(path.read_text())
    version = whole["keyspaces"]["things"]["forms"][0]["versions"]["1"]
    version["golden"] = [encoding]
    del version["views"]
    path.write_text(json.dumps(whole))


# --------------------------------------------------------------------- pairs of types, generated

LEAVES: dict[str, Any] = {
    "int": int,
    "text": str,
    "maybe": int | None,
    "either": int | str,
    "any of three": int | str | None,
    "flag": bool,
    "list": list[int],
    "wide list": list[int | str],
    "map": dict[str, int],
    "literal": Literal["a", "b"],
    "wide literal": Literal["a", "b", "c"],
    "number": float,
    "bounded": Annotated[int, msgspec.Meta(ge=0)],
    "color": Color,
    "more colors": More,
}

NAMES = ["a", "b", "c"]


@st.composite
def field_of(draw: st.DrawFn, name: str) -> tuple[str, Any, Any]:
    """A field: its name, its kind, and whether it has a default (of what it may hold)."""
    kind = draw(st.sampled_from(sorted(LEAVES)))
    return name, kind, draw(st.booleans())


def struct_of(fields: list[tuple[str, str, bool]], names: dict[str, str]) -> type[Any]:
    """The Struct of drawn fields; ``names`` are those in the stored bytes where others."""
    defaults: dict[str, Any] = {
        "int": 0, "text": "", "maybe": None, "either": 0, "any of three": None, "flag": False,
        "literal": "a", "wide literal": "a", "number": 0.0, "bounded": 0,
        "color": Color.RED, "more colors": More.RED,
    }  # fmt: skip
    rows: list[Any] = []
    for name, kind, has_default in fields:
        options: dict[str, Any] = {"name": names[name]} if name in names else {}
        if has_default and kind in defaults:
            options["default"] = defaults[kind]
        elif has_default:
            options["default_factory"] = dict if kind == "map" else list
        rows.append((name, LEAVES[kind], msgspec.field(**options)))
    return msgspec.defstruct("Thing", rows, kw_only=True)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[type[Any], type[Any]]:
    """A type and what it became: fields added, removed, renamed, of another type."""
    before = [draw(field_of(name)) for name in draw(st.sets(st.sampled_from(NAMES), min_size=1))]
    after: list[Any] = []
    names: dict[str, str] = {}
    for name, kind, has_default in before:
        what = draw(st.sampled_from(["same", "same", "kind", "gone", "renamed", "wire", "default"]))
        if what == "kind":
            after.append((name, draw(st.sampled_from(sorted(LEAVES))), has_default))
        elif what == "default":
            after.append((name, kind, not has_default))
        elif what in ("renamed", "wire"):
            after.append((f"{name}_new", kind, has_default))
            names |= {f"{name}_new": name} if what == "wire" else {}
        elif what == "same":
            after.append((name, kind, has_default))
    if draw(st.booleans()):
        after.append(draw(field_of("added")))
    return struct_of(before, {}), struct_of(after, names)


def broken_by(before: Any, after: Any, value: Any, encoding: str) -> str | None:
    """What happens to a value of before in today's code: nothing, or what a user would report."""
    old, new = (Keyspace("things", kind, encoding=encoding) for kind in (before, after))
    kv = MemoryKV()
    Store(old, kv).set("a", value)
    whole: Keyspace[Any] = Keyspace("things", dict[str, Any], encoding=encoding)
    plain = Store(whole, kv).require("a")
    try:
        Store(new, kv).update("a", lambda it: it)
    except KVCodecError as error:
        return f"unreadable: {error}"
    rewritten = Store(whole, kv).require("a")
    lost = [name for name in plain if name not in rewritten or rewritten[name] != plain[name]]
    return f"lost: {lost}" if lost else None


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.nested_given],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(pairs(), st.sampled_from(["json", "msgpack"]), st.data())
def test_the_lock_and_the_store_agree(
    tmp_path_factory: pytest.TempPathFactory,
    pair: tuple[type[Any], type[Any]],
    encoding: str,
    data: st.DataObject,
) -> None:
    """Over generated pairs of types, in both directions: the lock says what the store does.

    What it calls compatible reads back and is written back whole, for values that it never saw;
    what a drawn value shows to be broken, it caught.
    """
    before, after = pair
    lock = lock_of(tmp_path_factory.mktemp("lock"), Keyspace("things", before, encoding=encoding))
    try:
        lock.check(Keyspace("things", after, encoding=encoding))
        caught = None
    except LockBroken as error:
        caught = str(error)
    seen = [
        broken_by(before, after, data.draw(values(before, encoding=encoding)), encoding)
        for _ in range(12)
    ]
    if caught is None:
        assert seen == [None] * 12
    if any(seen):
        assert caught is not None


# ---------------------------------------------------------------------------------- promises


def test_what_is_not_recorded_fails_with_the_way_to_record_it(tmp_path: Path) -> None:
    """A new keyspace, a new version and a new form each wait for --kvcodec-lock-update."""
    lock = lock_of(tmp_path, Keyspace("things", Base))
    for today in (
        Keyspace("things", Base, version=2, upgrades={1: lambda plain: plain}),
        Keyspace("things", Base, cipher=RING, previous=[Keyspace("things", Base)]),
    ):
        with pytest.raises(LockBroken, match="not recorded: record it with: pytest --kvcodec-lock"):
            lock.check(today)
    with pytest.raises(LockBroken, match="'more' is not in the lock file: record it with: pytest"):
        lock.check(Keyspace("things", Base), Keyspace("more", Base))


def test_every_recorded_version_stays_readable(tmp_path: Path) -> None:
    """An upgrade that stops working is caught two versions later."""
    first = Keyspace("things", Base)
    lock = lock_of(tmp_path, first)

    class Two(msgspec.Struct):
        title: str

    def good(plain: Any) -> Any:
        return {"title": plain["name"]}

    second = Keyspace("things", Two, version=2, upgrades={1: good})
    lock.check(second, update=True)
    third = Keyspace("things", Two, version=3, upgrades={1: good, 2: lambda plain: plain})
    lock.check(third, update=True)
    lock.check(third)
    broken = {1: lambda plain: {"title": plain["title"]}, 2: lambda plain: plain}
    with pytest.raises(LockBroken, match="version 1: cannot be read any more"):
        lock.check(Keyspace("things", Two, version=3, upgrades=broken))
    with pytest.raises(LockBroken, match="versions only go up"):
        lock.check(second)


def test_golden_values_are_never_forgotten(tmp_path: Path) -> None:
    """A field that once had a default cannot lose it: what was stored without it is still there."""
    lock = lock_of(tmp_path, Keyspace("things", defined({"a": int})))
    lock.check(Keyspace("things", defined({"a": int, "b": (int, 0)})), update=True)
    with pytest.raises(LockBroken, match="missing required field `b`"):
        lock.check(Keyspace("things", defined({"a": int, "b": int})), update=True)


def test_recording_again_changes_nothing(tmp_path: Path) -> None:
    """The file is the same on every machine and in every run."""
    spaces = (Keyspace("things", Base), Keyspace("sealed", Base, cipher=RING, ttl=60))
    lock_of(tmp_path, *spaces)
    before = (tmp_path / "kvcodec.lock.json").read_text()
    lock_of(tmp_path, *spaces)
    assert (tmp_path / "kvcodec.lock.json").read_text() == before
    (tmp_path / "kvcodec.lock.json").unlink()
    lock_of(tmp_path, *spaces)
    assert (tmp_path / "kvcodec.lock.json").read_text() == before


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({"encoding": "msgpack"}, "codec: json -> msgpack"),
        ({"cipher": RING}, "cipher: 0 -> 1"),
        ({"ttl": 60}, "expires: False -> True"),
        ({"checksum": True}, "checksum: False -> True"),
    ],
)
def test_another_form_needs_the_old_one(
    tmp_path: Path, options: dict[str, Any], changed: str
) -> None:
    """What changed is named; with previous= it passes."""
    old = Keyspace("things", Base)
    lock = lock_of(tmp_path, old)
    with pytest.raises(LockBroken, match=f"its form changed .*{changed}.* previous="):
        lock.check(Keyspace("things", Base, **options), update=True)
    today = Keyspace("things", Base, previous=[old], **options)
    lock.check(today, update=True)
    lock.check(today)


def test_compression_reads_what_was_not_worth_it(tmp_path: Path) -> None:
    """compress= added to an envelope needs no previous=; taken away, it does."""
    without, with_it = (Keyspace("things", Base, ttl=60, compress=how) for how in (None, "zlib"))
    lock_of(tmp_path, without).check(with_it, update=True)
    with pytest.raises(LockBroken, match="compression: 1 -> 0"):
        lock_of(tmp_path / "..", with_it).check(without)
    (tmp_path / ".." / "kvcodec.lock.json").unlink()


def test_older_forms_are_read_to_the_end(tmp_path: Path) -> None:
    """previous= with a type that does not become today's is caught; convert= makes it pass."""
    old = Keyspace("things", Base)
    lock = lock_of(tmp_path, old)

    class Other(msgspec.Struct):
        label: str

    with pytest.raises(LockBroken, match="cannot be read any more"):
        lock.check(Keyspace("things", Other, cipher=RING, previous=[old]), update=True)
    previous = Previous(old, convert=lambda it: Other(it.name))
    lock.check(Keyspace("things", Other, cipher=RING, previous=[previous]), update=True)


class Route(NamedTuple):
    user: str
    account: str


class Swapped(NamedTuple):
    account: str
    user: str


HASHED: HashedKeys[Any] = HashedKeys()


@pytest.mark.parametrize(
    "today",
    [
        Keyspace("chats", Base, key=Swapped),
        Keyspace("chats", Base, key=Route, keys=TemplateKeys("{account}:{user}", Route)),
        Keyspace("chats", Base, key=str),
        Keyspace("chats", Base, key=Route, keys=HASHED),
    ],
)
def test_names_are_locked_too(tmp_path: Path, today: Keyspace[Any, Any]) -> None:
    """Another scheme, or fields in another order, would look under other names."""
    old = Keyspace("chats", Base, key=Route)
    lock = lock_of(tmp_path, old)
    with pytest.raises(LockBroken, match="the stored name 'chats/"):
        lock.check(today, update=True)


def test_another_scheme_with_the_old_one_named_passes(tmp_path: Path) -> None:
    """And the new names are locked from then on."""
    old = Keyspace("chats", Base, key=Route)
    lock = lock_of(tmp_path, old)
    template = TemplateKeys("wa:{account}:{user}", Route)
    today = Keyspace("chats", Base, key=Route, keys=template, previous=[old])
    lock.check(today, update=True)
    lock.check(today)
    with pytest.raises(LockBroken, match="the stored name 'wa:"):
        lock.check(old)
    lock_of(tmp_path, Keyspace("hidden", Base, keys=HiddenKeys(RING), cipher=RING), today)


def test_a_keyspace_that_is_gone_is_missed(tmp_path: Path) -> None:
    """Renamed or forgotten: its data is still there. previous= is the way to rename."""
    old = Keyspace("things", Base)
    lock = lock_of(tmp_path, old)
    for keyspaces in ((), (Keyspace("items", Base),)):
        with pytest.raises(LockBroken, match="'things' is recorded, and not checked any more"):
            lock.check(*keyspaces, update=True)
    lock.check(Keyspace("items", Base, previous=[old]), update=True)
    lock.check(Keyspace("items", Base, previous=[old]))


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    """A merge conflict or another program's file is no lock, and is left as it is."""
    path = tmp_path / "kvcodec.lock.json"
    for text in ("<<<<<<< HEAD\n{}", "[]", "{}", '{"format": 2, "keyspaces": {}}'):
        path.write_text(text)
        with pytest.raises(LockBroken, match=r"kvcodec\.lock\.json"):
            SchemaLock(path).check(Keyspace("things", Base), update=True)
        assert path.read_text() == text


KINDS: dict[str, Callable[[], Keyspace[Any, Any]]] = {
    "text": lambda: Keyspace("x", str),
    "bytes": lambda: Keyspace("x", bytes),
    "msgpack": lambda: Keyspace("x", dict[int, float], encoding="msgpack", key=tuple[str, int]),
    "gzip": lambda: Keyspace("x", list[int], encoding=kvcodec.GzipJSON(list[int])),
    "sealed": lambda: Keyspace("x", Base, cipher=KeyRing(KeyRing.generate_key())),
    "hashed": lambda: Keyspace("x", Base, keys=HashedKeys()),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_every_kind_of_keyspace_can_be_locked(
    tmp_path: Path, make: Callable[[], Keyspace[Any, Any]]
) -> None:
    """Recorded once, it passes with a declaration made anew: under another ring too."""
    lock_of(tmp_path, make()).check(make())


class Account(msgspec.Struct):
    name: str
    token: Secret[str]


class Accounts2(msgspec.Struct):
    name: str
    key: Secret[str]


def test_secret_fields_are_locked_across_processes(tmp_path: Path) -> None:
    """Their golden values read in another process, under another ring, through upgrades."""

    def accounts() -> Keyspace[Any]:
        return Keyspace("accounts", Account, cipher=KeyRing(KeyRing.generate_key()))

    lock = lock_of(tmp_path, accounts())
    lock.check(accounts())
    text = (tmp_path / "kvcodec.lock.json").read_text()
    assert f"kvo1.{'0' * 32}." in text

    def moved(plain: Any) -> Any:
        return {"name": plain["name"], "key": plain["token"]}

    second = Keyspace("accounts", Accounts2, version=2, upgrades={1: moved}, cipher=RING)
    lock.check(second, update=True)
    with pytest.raises(LockBroken):
        lock.check(Keyspace("accounts", Accounts2, cipher=RING))


def test_an_upgrade_that_raises_is_told_without_what_it_says(tmp_path: Path) -> None:
    """Its message may quote real values of a developer's own tests."""

    def broken(_: Any) -> Any:
        raise ValueError(CANARY)

    lock = lock_of(tmp_path, Keyspace("things", Base))
    today = Keyspace("things", Base, version=2, upgrades={1: broken})
    with pytest.raises(LockBroken) as caught:
        lock.check(today, update=True)
    assert CANARY not in str(caught.value)


# ------------------------------------------------------------------------------------ pytest

ONE_LINE = """
from kvcodec import Keyspace
from kvcodec.testing import SchemaLock

NOTES = Keyspace("notes", dict[str, {kind}])

def test_schema_lock():
    SchemaLock("kvcodec.lock.json").check(NOTES)
"""


def test_one_line_in_a_users_test(tmp_path: Path) -> None:
    """It fails until it is recorded with the option, passes then, and fails on a change."""
    ints, texts = (ONE_LINE.format(kind=kind) for kind in ("int", "str"))
    missing = pytest_in(tmp_path, ints)
    assert missing.returncode == 1
    assert "record it with: pytest --kvcodec-lock-update" in missing.stdout
    assert pytest_in(tmp_path, ints, "--kvcodec-lock-update").returncode == 0
    assert json.loads((tmp_path / "kvcodec.lock.json").read_text())["keyspaces"].keys() == {"notes"}
    assert pytest_in(tmp_path, ints).returncode == 0
    assert "cannot be read any more" in pytest_in(tmp_path, texts).stdout
