"""How the kit says that a claim does not hold: asserts that stay under ``python -O``."""

from __future__ import annotations

from kvcodec.codecs.same import same

__all__ = ["expect", "expect_equal", "expect_false", "expect_same", "expect_true"]


def expect(truth: bool, claim: str) -> None:  # noqa: FBT001 - as `assert`, which -O removes
    """Raise AssertionError with ``claim`` unless ``truth``."""
    __tracebackhide__ = True
    if not truth:
        raise AssertionError(claim)


def expect_equal(got: object, wanted: object, claim: str) -> None:
    """Expect what ``==`` compares; both are shown, shortened."""
    __tracebackhide__ = True
    if got != wanted:
        raise AssertionError(f"{claim}: expected {_brief(wanted)}, got {_brief(got)}")


def expect_true(answer: object, claim: str) -> None:
    """Expect True: a number or None that is as good is not what a protocol says."""
    __tracebackhide__ = True
    expect(answer is True, f"{claim}: expected True, got {_brief(answer)}")


def expect_false(answer: object, claim: str) -> None:
    """Expect False, and nothing that is as good."""
    __tracebackhide__ = True
    expect(answer is False, f"{claim}: expected False, got {_brief(answer)}")


def expect_same(got: object, wanted: object, what: str) -> None:
    """Expect a value that came back: equal, NaN included, and of the same type."""
    __tracebackhide__ = True
    expect(type(got) is type(wanted), f"{what}: a {type(got).__name__} comes back")
    expect(same(got, wanted), f"{what}: {got!r} comes back, not {wanted!r}")


def _brief(thing: object) -> str:
    text = repr(thing)
    return text if len(text) <= 200 else f"{text[:120]}... ({len(text)} characters)"
