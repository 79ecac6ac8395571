"""The public kit catches every deliberate fault of the table, and prints by which check."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.testing.mutations import MUTATIONS, Mutation, catchers, fails, quietly, table


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, list[str]]]:
    """What caught which fault, printed when all have been tried (``pytest -s`` shows it)."""
    caught: dict[str, list[str]] = {}
    yield caught
    sys.stdout.write(f"\n{table(caught)}\n")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_kit_catches(mutation: Mutation, found: dict[str, list[str]]) -> None:
    """At least one check fails while the fault is there; the first that does is enough."""
    found[mutation.name] = catchers(mutation, most=1)
    assert found[mutation.name] != []


def test_there_are_more_than_twenty_five() -> None:
    """The table covers keys, codecs, envelope, stores and backends, each name once."""
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)
    assert len(MUTATIONS) >= 25


SUBJECTS = {mutation.checks: mutation for mutation in MUTATIONS}


@pytest.mark.parametrize("mutation", SUBJECTS.values(), ids=lambda mutation: mutation.name)
def test_without_the_fault_nothing_fails(mutation: Mutation) -> None:
    """The same checks pass on kvcodec as it is: it is the fault that they catch."""
    with quietly():
        assert [name for name, check in mutation.checks().items() if fails(check)] == []
