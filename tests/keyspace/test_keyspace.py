"""A declaration as an object: copied, pickled, shown."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from kvcodec import (
    Cache,
    ConfigError,
    Files,
    HashedKeys,
    HiddenKeys,
    KeyNameError,
    KeyRing,
    Keyspace,
    Log,
    MemoryKV,
    PathKeys,
    Store,
    TemplateKeys,
    Value,
)

NOTES = Keyspace("notes", dict[str, int], key=tuple[str, int])


def test_copies_are_the_declaration_itself() -> None:
    """Settings that hold one are copied without declaring it anew."""
    assert copy.copy(NOTES) is NOTES
    assert copy.deepcopy({"notes": NOTES})["notes"] is NOTES


RING = KeyRing.generate()
SEALED = Keyspace("sealed", int, cipher=RING, previous=[NOTES], keys=HiddenKeys(RING))
DECLARED: dict[str, Any] = {
    "Keyspace": NOTES,
    "sealed": SEALED,
    "bound_to": SEALED.bound_to("tenant"),
    "Previous": SEALED.previous[0],
    "PathKeys": PathKeys(),
    "TemplateKeys": TemplateKeys("notes:{id}"),
    "HashedKeys": HashedKeys(),
    "HiddenKeys": HiddenKeys(RING),
}


@dataclasses.dataclass
class Holder:
    """A user's object that holds a declaration."""

    held: Any


@pytest.mark.parametrize("name", DECLARED)
def test_an_object_that_holds_a_declaration_can_be_copied(name: str) -> None:
    """Its copy holds the same one: a ring is never copied."""
    holder = Holder(DECLARED[name])
    assert copy.copy(holder).held is holder.held
    assert copy.deepcopy(holder).held is holder.held
    assert dataclasses.asdict(holder)["held"] is holder.held
    assert copy.copy(holder.held) is holder.held


@pytest.mark.parametrize("name", DECLARED)
def test_pickling_says_what_to_do(name: str) -> None:
    """Functions and rings are part of it, which do not travel."""
    for held in (DECLARED[name], Holder(DECLARED[name])):
        with pytest.raises(TypeError, match="import it where it is used"):
            pickle.dumps(held)


OPENED: dict[str, Callable[[Any], Any]] = {
    "Store": lambda kv: Store(SEALED, kv),
    "Log": lambda kv: Log(Keyspace("log", int, cipher=RING), kv),
    "Value": lambda kv: Value(Keyspace("one", int, key=None, cipher=RING), kv),
    "Files": lambda kv: Files(Keyspace("files", bytes, cipher=RING), kv),
    "Cache": lambda kv: Cache(Keyspace("cache", int, cipher=RING, ttl=5), kv),
    "mapping": lambda kv: Store(SEALED, kv).mapping(),
}


@pytest.mark.parametrize("name", OPENED)
def test_what_is_opened_is_not_pickled(name: str) -> None:
    """It says why, and so does a deep copy: the ring does not go along."""
    opened = OPENED[name]({})
    for taken in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="open the keyspace where it is used"):
            taken(opened)
    assert type(copy.copy(opened)) is type(opened)


@pytest.mark.parametrize("name", ["declaration", "previous", "name", "other"])
def test_it_does_not_change(name: str) -> None:
    """A store that was opened before would go on with what it was."""
    notes = Keyspace("notes", str)
    before = notes.declaration
    with pytest.raises(AttributeError):
        setattr(notes, name, Keyspace("other", int).declaration)
    with pytest.raises(AttributeError):
        delattr(notes, name)
    assert notes.declaration is before
    assert (notes.name, notes.previous) == ("notes", ())


def test_one_that_was_refused_has_a_repr() -> None:
    """Whoever prints a traceback's locals meets the half-made one."""
    with pytest.raises(ConfigError) as caught:
        Keyspace("notes", int, max_depth=1000)
    traceback = caught.value.__traceback__
    half: object = None
    while traceback is not None:
        half = traceback.tb_frame.f_locals.get("self", half)
        traceback = traceback.tb_next
    assert repr(half) == "<Keyspace, refused>"


@pytest.mark.parametrize("keys", [3, object(), HashedKeys, str, []], ids=range(5))
def test_keys_that_are_no_scheme_are_refused(keys: Any) -> None:
    """Where they are declared, and by what would be one; a class has to be made an object."""
    with pytest.raises(ConfigError, match="keys= takes a key scheme"):
        Keyspace("notes", int, keys=keys)


@pytest.mark.parametrize("text", ["user:{id}", b"user:{id}"])
def test_a_template_as_text_says_how_it_is_meant(text: Any) -> None:
    """Text has ``join`` and ``split`` too."""
    with pytest.raises(ConfigError) as caught:
        Keyspace("users", int, keys=text)
    assert str(caught.value) == (
        "keyspace 'users': keys= takes a key scheme, not text: keys=TemplateKeys(\"user:{id}\")"
    )


class Letters:
    """A key scheme of a user's own, with None in the place of what it cannot do."""

    prefix = "letters/"
    bind = None
    name = None

    def join(self, key: str, /) -> str:
        """Return the raw key of a key."""
        return self.prefix + key

    def split(self, raw_key: str, /) -> str:
        """Return the key of a raw key."""
        return raw_key.removeprefix(self.prefix)


def test_what_is_none_in_a_scheme_is_not_there() -> None:
    """It has the three members that every scheme has, and is asked for nothing more."""
    space = Keyspace("letters", int, keys=Letters())
    assert space.raw_key("a") == "letters/a"
    assert space.key("letters/a") == "a"
    assert space.unpack("letters/a", b"1", now=0) == 1


class BadPrefix(Letters):
    """Its prefix is a method."""

    prefix: Any = Letters.join


class BadSplit(Letters):
    """Its split is no method."""

    split: Any = "split"


@pytest.mark.parametrize("scheme", [BadPrefix, BadSplit])
def test_a_scheme_whose_members_are_of_another_kind_is_refused(scheme: type[Any]) -> None:
    """When it is declared, with its name."""
    with pytest.raises(ConfigError, match=rf"prefix of {scheme.__name__} has to be text"):
        Keyspace("letters", int, keys=scheme())


class Sloppy:
    """It takes names that it does not make, as a scheme of a few lines does."""

    prefix = "n:"

    def join(self, key: int, /) -> str:
        """Return the raw key of a key."""
        return f"n:{key}" if key < 100 else f"m:{key}"

    def split(self, raw_key: str, /) -> int:
        """Return the key of a raw key."""
        return int(raw_key.split(":")[1])


def test_a_name_that_a_scheme_does_not_make_is_nobodys() -> None:
    """It is not listed, and a walk counts and names it."""
    kv = MemoryKV()
    space: Keyspace[int, int] = Keyspace("numbers", int, keys=Sloppy())
    store = Store(space, kv)
    store[7] = 1
    others = ["n:+8", "n:07", "n:7:x", "n:x"]
    kv.set_many(dict.fromkeys(others, b"2"))
    assert list(store.items()) == [(7, 1)]
    assert store.verify().names == {"skipped": others}
    for name in (*others, "n"):
        with pytest.raises(KeyNameError, match="not a raw key of this scheme"):
            space.key(name)


def test_a_name_that_no_listing_would_meet_is_refused() -> None:
    """It does not begin with the prefix by which names are listed."""
    with pytest.raises(KeyNameError, match=r"Sloppy.join returns no text that begins with"):
        Keyspace("numbers", int, keys=Sloppy()).raw_key(100)
