"""All laws of one keyspace: as a class for pytest, and as one call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis.strategies import SearchStrategy

from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.testing.laws.damage import DamageLaws
from kvcodec.testing.laws.golden import Golden, GoldenLaws
from kvcodec.testing.laws.leaks import LeakLaws
from kvcodec.testing.laws.names import NameLaws
from kvcodec.testing.laws.stores import StoreLaws
from kvcodec.testing.laws.values import ValueLaws

__all__ = ["KeyspaceLaws", "check_keyspace"]


class KeyspaceLaws(ValueLaws, NameLaws, DamageLaws, LeakLaws, StoreLaws, GoldenLaws):
    """The laws of one keyspace, as tests. Subclass it under a name that pytest collects.

        class TestPreferences(KeyspaceLaws):
            keyspace = PREFERENCES

    ``values`` and ``keys`` are strategies, if those made from the declared types are not wanted:
    for a user's own codec or key scheme, or for types with rules of their own. Laws about what is
    not declared (a lifetime, a cipher) are skipped.
    """


def check_keyspace(
    keyspace: Keyspace[Any, Any],
    *,
    values: SearchStrategy[Any] | None = None,
    keys: SearchStrategy[Any] | None = None,
    golden: Iterable[Golden] = (),
    examples: int = 50,
) -> None:
    """Check every law for ``keyspace``; raise AssertionError with a small example if one fails.

    ``values`` and ``keys``: strategies in place of those made from the declared types.
    ``golden``: stored bytes that have to be read as they were. ``examples``: per law.

    What a law finds is raised as it is (an AssertionError, or an error that should not be); a
    note on it names the law. Raises ConfigError for a type whose values cannot be drawn.
    """
    laws = KeyspaceLaws()
    laws.keyspace, laws.values, laws.keys = keyspace, values, keys
    laws.golden, laws.examples = tuple(golden), examples
    # In the order in which they are written: the plainest first.
    for name in (name for group in KeyspaceLaws.__bases__ for name in vars(group)):
        if name.startswith("test_"):
            try:
                getattr(laws, name)()
            except pytest.skip.Exception:  # a law about something that is not declared
                continue
            except BaseException as error:
                error.add_note(f"{keyspace!r} breaks the law {name.removeprefix('test_')!r}")
                raise
