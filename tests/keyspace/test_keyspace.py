"""A declaration as an object: copied, pickled, shown."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from kvcodec import ConfigError, HashedKeys, Keyspace

NOTES = Keyspace("notes", dict[str, int], key=tuple[str, int])


def test_copies_are_the_declaration_itself() -> None:
    """Settings that hold one are copied without declaring it anew."""
    assert copy.copy(NOTES) is NOTES
    assert copy.deepcopy({"notes": NOTES})["notes"] is NOTES


def test_pickling_says_what_to_do() -> None:
    """Functions and rings are part of it, which do not travel."""
    with pytest.raises(TypeError, match="import it where it is used"):
        pickle.dumps(NOTES)


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


@pytest.mark.parametrize("keys", [3, "hashed", HashedKeys])
def test_keys_that_are_no_scheme_are_refused(keys: Any) -> None:
    """Where they are declared, and by what would be one; a class has to be made an object."""
    with pytest.raises(ConfigError, match="keys= takes a key scheme"):
        Keyspace("notes", int, keys=keys)


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
