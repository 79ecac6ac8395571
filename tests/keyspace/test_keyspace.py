"""A declaration as an object: copied, pickled, shown."""

from __future__ import annotations

import copy
import pickle

import pytest

from kvcodec import ConfigError, Keyspace

NOTES = Keyspace("notes", dict[str, int], key=tuple[str, int])


def test_copies_are_the_declaration_itself() -> None:
    """Settings that hold one are copied without declaring it anew."""
    assert copy.copy(NOTES) is NOTES
    assert copy.deepcopy({"notes": NOTES})["notes"] is NOTES


def test_pickling_says_what_to_do() -> None:
    """Functions and rings are part of it, which do not travel."""
    with pytest.raises(TypeError, match="import it where it is used"):
        pickle.dumps(NOTES)


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
