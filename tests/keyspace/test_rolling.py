"""A rolling deploy: old and new code on one store at the same time, for 10,000 operations.

What holds. Code that meets a newer version raises NewerVersion and writes nothing: it is told
that it is old. Code of the same version that only knows fewer fields works on, and keep_unknown
carries the others through. A model of what every writer has last written says whether anything
was lost.
"""

# Stores stand behind one face here, so that what their callbacks take is Any.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import copy
import random
from collections import Counter
from typing import Any

import msgspec
import pytest

from kvcodec import KeyRing, Keyspace, NewerVersion
from tests.both import FACES, World, backends

RING = KeyRing("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
OPERATIONS = 10_000
KEYS = [f"k{at}" for at in range(12)]


class Part(msgspec.Struct):
    id: int
    n: int = 0


class PartNext(Part):
    size: int = 0


class Old(msgspec.Struct):
    """Code A: version 1."""

    title: str = ""
    a: int = 0
    parts: list[Part] = []
    named: dict[str, Part] = {}


class Next(msgspec.Struct):
    """Code B: the same version, with new fields."""

    title: str = ""
    a: int = 0
    parts: list[PartNext] = []
    named: dict[str, PartNext] = {}
    b: str = ""


class Last(msgspec.Struct):
    """Code C: version 2, in which ``title`` is called ``name``; it does not know ``b``."""

    name: str = ""
    a: int = 0
    parts: list[Part] = []
    named: dict[str, Part] = {}
    c: int = 0


class LastNext(msgspec.Struct):
    """Code D: version 2, and all fields."""

    name: str = ""
    a: int = 0
    parts: list[PartNext] = []
    named: dict[str, PartNext] = {}
    b: str = ""
    c: int = 0


def renamed(plain: Any) -> Any:
    """Version 1 to 2."""
    plain["name"] = plain.pop("title", "")
    return plain


def codes(form: dict[str, Any]) -> dict[str, Keyspace[Any]]:
    """The four programs that run at the same time."""
    second: dict[str, Any] = {"version": 2, "upgrades": {1: renamed}}
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "A": (Old, {}),
        "B": (Next, {}),
        "C": (Last, second),
        "D": (LastNext, second),
    }
    return {
        code: Keyspace("docs", kind, keep_unknown=True, **version, **form)
        for code, (kind, version) in kinds.items()
    }


class Deploy:
    """The programs on one store, and what must be there."""

    def __init__(self, world: World, form: dict[str, Any], draw: random.Random) -> None:
        self.world = world
        self.draw = draw
        self.sealed = "cipher" in form
        self.stores = {code: world.open(space) for code, space in codes(form).items()}
        self.model: dict[str, dict[str, Any]] = {}
        self.version: dict[str, int] = {}
        self.seen: Counter[str] = Counter()

    def step(self) -> None:
        """One operation of one program on one key."""
        code = self.draw.choice("ABCD")
        key = self.draw.choice(KEYS)
        version = 1 if code in "AB" else 2
        does = self.draw.choices(
            [self.change, self.put_back, self.put_many, self.read, self.move, self.drop],
            [40, 15, 10, 20, 10, 1],
        )[0]
        self.seen[does.__name__] += 1
        if self.version.get(key, 0) > version:
            self.seen["newer"] += 1
            self.stays(code, key)
            return
        does(code, key)

    def stays(self, code: str, key: str) -> None:
        """Older code: whatever it tries, the newer bytes stay."""
        store = self.stores[code]
        before = self.world.holds(f"docs/{key}")
        kind = Old if code == "A" else Next
        tries = [
            lambda: store.get(key),
            lambda: store.update(key, lambda value: value, default=kind()),
            lambda: store.set(key, kind("overwritten")),
            lambda: store.set_many({key: kind("overwritten")}),
        ]
        with pytest.raises(NewerVersion):
            self.draw.choice(tries)()
        store.migrate([key])
        if self.sealed:
            store.rewrap([key])
        assert store.add(key, kind()) is False
        assert self.world.holds(f"docs/{key}") == before

    def change(self, code: str, key: str) -> None:
        """update: some of the fields that this code knows."""
        blank = {"A": Old, "B": Next, "C": Last, "D": LastNext}[code]
        self.stores[code].update(key, lambda value: self.changed(code, key, value), default=blank())
        self.model.setdefault(key, {"parts": [], "named": {}})
        self.version[key] = 1 if code in "AB" else 2

    def changed(self, code: str, key: str, value: Any) -> Any:
        """The value with a field changed, and the model with it. Called once per update."""
        model = self.model.setdefault(key, {"parts": [], "named": {}})
        number = self.draw.randrange(1_000_000)
        field = self.draw.choice({"A": "ta", "B": "tab", "C": "tac", "D": "tabc"}[code] + "pinq")
        if field == "t":
            setattr(value, "title" if code in "AB" else "name", str(number))
            model["name"] = str(number)
        elif field in "abc":
            setattr(value, field, str(number) if field == "b" else number)
            model[field] = str(number) if field == "b" else number
        elif field == "p" and len(value.parts) < 6:
            kind = PartNext if code in "BD" else Part
            part = {"id": number, "n": 0} | ({"size": number} if code in "BD" else {})
            value.parts.append(kind(**part))
            model["parts"].append(part)
        elif field == "i" and value.parts:
            at = self.draw.randrange(len(value.parts))
            value.parts[at].n = model["parts"][at]["n"] = number
        elif field == "n":
            name = self.draw.choice("xyz")
            kind = PartNext if code in "BD" else Part
            part = value.named.setdefault(name, kind(1))
            part.n = number
            model["named"].setdefault(name, {"id": 1})["n"] = number
            if code in "BD":
                part.size = model["named"][name]["size"] = number
        elif field == "q" and len(value.parts) > 1:
            where = self.draw.randrange(len(value.parts))
            value.parts.append(value.parts.pop(where))  # moved, and as it was
            model["parts"].append(model["parts"].pop(where))
        return value

    def put_back(self, code: str, key: str) -> None:
        """Set through a read value."""
        value = self.stores[code].get(key)
        if value is not None:
            self.stores[code].set(key, self.changed(code, key, value))
            self.version[key] = 1 if code in "AB" else 2

    def put_many(self, code: str, key: str) -> None:
        """The same with set_many."""
        value = self.stores[code].get(key)
        if value is not None:
            self.stores[code].set_many({key: self.changed(code, key, value)})
            self.version[key] = 1 if code in "AB" else 2

    def read(self, code: str, key: str) -> None:
        """get: what this code knows is what was last written of it."""
        value = self.stores[code].get(key)
        if key not in self.model:
            assert value is None
            return
        self.agrees(value, self.model[key])

    def move(self, code: str, key: str) -> None:
        """migrate: today's version, and nothing lost."""
        report = self.stores[code].migrate([key])
        if report.changed:
            self.version[key] = 2
        self.read(code, key)

    def drop(self, code: str, key: str) -> None:
        """delete, or pop."""
        self.draw.choice([self.stores[code].delete, self.stores[code].pop])(key)
        self.model.pop(key, None)
        self.version.pop(key, None)

    @staticmethod
    def agrees(value: Any, model: dict[str, Any]) -> None:
        """Every field of the value is the one that the model has."""
        plain = msgspec.to_builtins(value)
        if "title" in plain:
            plain["name"] = plain.pop("title")
        for name, known in plain.items():
            if name == "parts":
                assert len(known) == len(model["parts"])
                for part, expected in zip(known, model["parts"], strict=True):
                    assert {"size": 0, **expected} | part == {"size": 0, **expected}
            elif name == "named":
                assert known.keys() == model["named"].keys()
                for key, part in known.items():
                    expected = {"size": 0, **model["named"][key]}
                    assert expected | part == expected
            else:
                assert known == model.get(name, known if known in ("", 0) else None)


FORMS: dict[str, dict[str, Any]] = {
    "json": {},
    "msgpack sealed": {"encoding": "msgpack", "cipher": RING},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("backend", ["memory", "dify"])
def test_nothing_is_lost_and_nothing_newer_is_overwritten(
    face: type[Any], backend: str, form: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Four programs of two versions, 10,000 operations: every field is there in the end."""
    world = World(face, backends(tmp_path_factory.mktemp("rolling"))[backend]())
    deploy = Deploy(world, form, random.Random(backend))
    for _ in range(OPERATIONS if face is FACES[0] else OPERATIONS // 10):
        deploy.step()
    everything = deploy.stores["D"]
    for key in KEYS:
        value = everything.get(key)
        assert (value is None) == (key not in deploy.model)
        if value is not None:
            deploy.agrees(value, deploy.model[key])
    assert deploy.seen["newer"] > 50  # the versions did meet
    assert min(deploy.seen[name] for name in ("change", "put_back", "put_many", "move")) > 50


def test_the_model_notices_a_loss() -> None:
    """Without keep_unknown the same check fails: it is no check that cannot fail."""
    model = {"parts": [{"id": 1, "n": 2, "size": 3}], "named": {}, "b": "x", "name": "t"}
    whole = LastNext("t", 0, [PartNext(1, 2, 3)], {}, "x")
    Deploy.agrees(whole, model)
    for spoil in (
        lambda it: setattr(it, "b", ""),
        lambda it: setattr(it.parts[0], "size", 0),
        lambda it: it.parts.clear(),
        lambda it: setattr(it, "name", ""),
    ):
        spoiled = copy.deepcopy(whole)
        spoil(spoiled)
        with pytest.raises(AssertionError):
            Deploy.agrees(spoiled, model)
