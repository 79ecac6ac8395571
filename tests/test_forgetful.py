"""``forgetful``: an error leaves a function without the values that the function was given."""

from __future__ import annotations

import asyncio
import inspect
from types import FunctionType
from typing import Any

import pytest

from kvcodec.errors import Unavailable, forgetful
from tests.leaks import CANARY, leaks


def _inside(function: Any) -> Any:
    """The same function as if it stood in a module of kvcodec."""
    code = function.__code__.replace(co_filename=forgetful.__code__.co_filename)
    inside = FunctionType(code, {**function.__globals__, "__name__": "kvcodec.somewhere"})
    inside.__kwdefaults__ = function.__kwdefaults__
    return inside


def _fail(key: str, value: bytes, /, *, also: str = "") -> None:
    """Fail, with a cause."""
    held = [value, also]
    try:
        held[2]
    except IndexError as error:
        raise Unavailable("out of reach", raw_key=key, stage="store") from error


async def _fail_later(key: str, value: bytes, /, *, also: str = "") -> None:
    """Fail, with a cause."""
    held = [value, also]
    await asyncio.sleep(0)
    try:
        held[2]
    except IndexError as error:
        raise Unavailable("out of reach", raw_key=key, stage="store") from error


def _ran(function: Any, *arguments: Any, **named: Any) -> Any:
    result: Any = function(*arguments, **named)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


@pytest.mark.parametrize("function", [_fail, _fail_later])
def test_the_arguments_of_a_call_that_failed_are_forgotten(function: Any) -> None:
    """Sync and async, positional and named, in the function's frame and in the decorator's."""
    bare, decorated = _inside(function), forgetful(_inside(function))
    for call, wanted in ((bare, True), (decorated, False)):
        with pytest.raises(Unavailable) as caught:
            _ran(call, "key", CANARY.encode(), also=CANARY)
        assert bool(leaks(caught.value)) is wanted


@pytest.mark.parametrize("function", [_fail, _fail_later])
def test_a_forgetful_function_is_what_it_was(function: Any) -> None:
    """Its name, docstring and signature are the function's, and so is whether it is awaited."""
    decorated = forgetful(function)
    assert (decorated.__name__, decorated.__doc__) == (function.__name__, function.__doc__)
    assert inspect.signature(decorated) == inspect.signature(function)
    assert inspect.iscoroutinefunction(decorated) is inspect.iscoroutinefunction(function)


def test_what_is_returned_passes() -> None:
    """Results of both kinds, and an error of a client with its own frames as they are."""

    def give(value: int) -> int:
        return value

    async def give_later(value: int) -> int:
        return value

    assert forgetful(give)(3) == asyncio.run(forgetful(give_later)(value=4)) - 1

    def client(held: str) -> None:
        raise LookupError

    with pytest.raises(LookupError) as caught:
        forgetful(client)("theirs")
    assert caught.traceback[-1].frame.f_locals == {"held": "theirs"}
