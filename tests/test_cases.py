"""Every case of vectors/cases prints what is right."""

from __future__ import annotations

import pytest

from tests.cases import CASES, RIGHT, is_right, said


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_the_case_is_right(name: str) -> None:
    """Each once gave a wrong result; what is right is in its comment."""
    text = said(name)
    assert is_right(name, text), text


def test_no_case_is_left_out() -> None:
    """The table and the folder have the same cases."""
    assert sorted(path.stem for path in CASES.glob("*.py")) == sorted(RIGHT)
