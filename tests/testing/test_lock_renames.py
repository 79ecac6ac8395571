"""SchemaLock and new names of fields: what reads as its default, and no error tells of."""

# What upgrades take and give is plain data, which is Any.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest

from kvcodec import Keyspace, Previous
from kvcodec.testing import LockBroken, SchemaLock


def lock_of(path: Path, keyspace: Keyspace[Any]) -> SchemaLock:
    """A lock on which this is recorded."""
    lock = SchemaLock(path / "kvcodec.lock.json")
    lock.check(keyspace, update=True)
    return lock


def defined(fields: dict[str, Any]) -> type[Any]:
    """A Struct with these fields: a type, or a pair of type and default."""
    rows = [
        (name, *kind) if isinstance(kind, tuple) else (name, kind) for name, kind in fields.items()
    ]
    return msgspec.defstruct("Look", rows, kw_only=True)


class Theme(msgspec.Struct):
    theme: str = "light"


class Colors(msgspec.Struct):
    colors: str = "light"


class ColorsLeftOut(msgspec.Struct, omit_defaults=True):
    colors: str = "light"


class ThemeDict(TypedDict, total=False):
    theme: str


class ColorsDict(TypedDict, total=False):
    colors: str


@dataclasses.dataclass
class ColorsClass:
    colors: str = "light"


class ThemeModel(pydantic.BaseModel):
    theme: str = "light"


class ColorsModel(pydantic.BaseModel):
    colors: str = "light"


RENAMED: dict[str, tuple[Any, Any]] = {
    "Struct": (Theme, Colors),
    "defaults left out": (Theme, ColorsLeftOut),
    "dataclass": (Theme, ColorsClass),
    "TypedDict": (ThemeDict, ColorsDict),
    "pydantic": (ThemeModel, ColorsModel),
    "in a list": (list[Theme], list[Colors]),
    "in a dict": (dict[str, Theme], dict[str, Colors]),
    "in a field": (defined({"look": Theme}), defined({"look": Colors})),
    "in a union": (Theme | None, Colors | None),
}


def as_it_is(plain: Any) -> Any:
    """An upgrade that forgot the field."""
    return plain


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize(("before", "after"), RENAMED.values(), ids=RENAMED)
def test_a_new_name_that_reads_its_default_is_warned_of(
    tmp_path: Path, before: Any, after: Any, encoding: str
) -> None:
    """Under the same version, by an upgrade that forgets it, and through previous=."""
    old = Keyspace("looks", before, encoding=encoding)
    lock = lock_of(tmp_path, old)
    recorded = (tmp_path / "kvcodec.lock.json").read_text()
    new_ones: dict[str, Any] = {
        "same": {},
        "upgrade": {"version": 2, "upgrades": {1: as_it_is}},
        "previous": {"ttl": 60, "previous": [old]},
    }
    for options in new_ones.values():
        today = Keyspace("looks", after, encoding=encoding, **options)
        with pytest.raises(LockBroken) as caught:
            lock.check(today, update=True)
        assert "theme is not read any more, and $" in str(caught.value)
        assert "colors is read as its default" in str(caught.value)
        assert "the stored name kept, needs no new version" in str(caught.value)
    assert (tmp_path / "kvcodec.lock.json").read_text() == recorded


def test_the_warning_names_what_keeps_the_stored_name(tmp_path: Path) -> None:
    """It can be pasted; with it no version is needed, and older code reads on."""
    lock = lock_of(tmp_path, Keyspace("looks", Theme))
    with pytest.raises(LockBroken, match=r'msgspec\.field\(name="theme"\)'):
        lock.check(Keyspace("looks", Colors), update=True)
    kept = defined({"colors": (str, msgspec.field(name="theme", default="light"))})
    lock.check(Keyspace("looks", kept), update=True)
    lock.check(Keyspace("looks", Theme))


UPGRADES: dict[str, Callable[[Any], Any]] = {
    "moved": lambda plain: {"colors": plain.get("theme", "light")},
    "moved, the old one left": lambda plain: {**plain, "colors": plain.get("theme", "light")},
    "meant to go": lambda plain: {name: it for name, it in plain.items() if name != "theme"},
}


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
def test_an_upgrade_that_has_looked_at_it_is_believed(
    tmp_path: Path, upgrade: Callable[[Any], Any]
) -> None:
    """Whether it takes the value along or lets it go, with a new field beside it too."""
    lock = lock_of(tmp_path, Keyspace("looks", Theme))
    after = defined({"colors": (str, "light"), "new": (int, 0)})
    lock.check(Keyspace("looks", after, version=2, upgrades={1: upgrade}), update=True)


def test_a_field_that_only_goes_or_only_comes_is_no_new_name(tmp_path: Path) -> None:
    """Nothing that was stored reads as a default."""
    before: dict[str, Any] = {"theme": str, "size": (int, 0)}
    others: list[dict[str, Any]] = [{"theme": str}, {**before, "new": (int, 0)}]
    for at, after in enumerate(others):
        (tmp_path / str(at)).mkdir()
        lock = lock_of(tmp_path / str(at), Keyspace("looks", defined(before)))
        today = Keyspace("looks", defined(after), version=2, upgrades={1: as_it_is})
        lock.check(today, update=True)


def test_convert_is_believed_as_upgrades_are(tmp_path: Path) -> None:
    """It makes today's value of the older one's, whatever their fields are called."""
    old = Keyspace("looks", Theme)
    previous = Previous(old, convert=lambda it: Colors(it.theme))
    lock_of(tmp_path, old).check(
        Keyspace("looks", Colors, ttl=60, previous=[previous]), update=True
    )


def test_version_three_with_the_old_shape_passes(tmp_path: Path) -> None:
    """The way back from version 2 that values were written in: both older versions are read."""
    lock = lock_of(tmp_path, Keyspace("looks", Theme))
    forth: Any = {1: lambda plain: {"colors": plain["theme"]}}
    lock.check(Keyspace("looks", Colors, version=2, upgrades=forth), update=True)
    back: Any = {**forth, 2: lambda plain: {"theme": plain["colors"]}}
    lock.check(Keyspace("looks", Theme, version=3, upgrades=back), update=True)
    forgot: Any = {**forth, 2: as_it_is}
    with pytest.raises(LockBroken, match=r"\$\.colors is not read any more, and \$\.theme"):
        lock.check(Keyspace("looks", Theme, version=3, upgrades=forgot))
