"""Why a codec refused, in words that hold nothing of the data: messages of msgspec, looked over."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import CodeType, FunctionType, MethodType
from typing import Any

import msgspec

from kvcodec.errors import is_ours, shorten
from kvcodec.secrets.marks import WRAP_IT

__all__ = ["NotOfType", "Refusal", "gave_none", "raised_in", "reason"]


_FILE_CHARS = 80
"""Of the path of a user's file in a message: its end."""


class Refusal(Exception):
    """Why one of kvcodec's own codecs refused, in words that hold nothing of the data."""


class NotOfType(Refusal):
    """It could be decoded, and is not what the type declares."""


def raised_in(function: Callable[..., Any], error: BaseException) -> str:
    """Which function of the user's raised, where, and what kind of error: never its words."""
    traceback, inside = error.__traceback__, None
    while traceback is not None and inside is None:
        if not is_ours(traceback):
            inside = traceback
        traceback = traceback.tb_next
    if inside is None:  # it was refused before it ran, or is written in C
        return f"{_place_of(function)} raised {type(error).__name__}"
    code = inside.tb_frame.f_code
    return f"{code.co_qualname}{_line(code, inside.tb_lineno)} raised {type(error).__name__}"


def gave_none(function: Callable[..., Any]) -> str:
    """Say that a function of the user's returned None in place of a value, and why it may be."""
    return (
        f"{_place_of(function)} returned None: return the value, also where it was changed in place"
    )


def _place_of(function: Callable[..., Any]) -> str:
    plain = function.__func__ if isinstance(function, MethodType) else function
    if isinstance(plain, FunctionType):
        code = plain.__code__
        return f"{code.co_qualname}{_line(code, code.co_firstlineno)}"
    return plain.__name__ if isinstance(plain, type) else type(plain).__name__


def _line(code: CodeType, number: int | None) -> str:
    return f" ({shorten(code.co_filename[-_FILE_CHARS:], _FILE_CHARS)}, line {number})"


# Compiled when something is first refused, not when kvcodec is imported.
_PLACE = r"(?s:(?P<what>.*?))(?: - at (?P<place>`(?:key in )?\$[\w.\[\]]*`|key in `\$[\w.\[\]]*`))?"
_SAFE = (
    r"Expected `[a-z0-9 |]+`(?:, got `\w+`)?"
    r"|Expected `\w+` (?:<|<=|>|>=) -?[0-9.e+-]+"
    r"|Expected `\w+` of (?:at least |at most )?length (?:<=|>=)? ?\d+(?:, got \d+)?"
    r"|Object missing required field `\w+`"
    r"|(?:JSON|MessagePack data) is malformed: [a-z ,]+ \(byte \d+\)"
    rf"|{re.escape(WRAP_IT)}"
    r"|Input data was truncated|(?:Integer value|Number|Timestamp) (?:is )?out of range"
    r"|Invalid (?:UUID|RFC3339 encoded \w+|ISO8601 duration|base64 encoded string|decimal string)"
)
_CUT = r"Object contains unknown field|Invalid enum value|Invalid value"


def reason(error: BaseException) -> str:
    """Why the codec refused, in words that hold nothing of the data.

    msgspec quotes what it read (enum values, tags, names of unknown fields, the text of a
    ``__post_init__``): only messages of known form are passed on, those that quote are cut.
    """
    if isinstance(error, Refusal):
        return str(error)
    if isinstance(error, UnicodeError):
        return "invalid UTF-8 or a lone surrogate"
    if isinstance(error, OverflowError):
        return "a number out of range"
    if not isinstance(error, msgspec.MsgspecError):
        return f"the codec raised {type(error).__name__}"
    match = re.fullmatch(_PLACE, str(error))
    what, place = (match["what"], match["place"]) if match else ("", None)
    cut = re.match(_CUT, what)
    if cut:
        what = cut[0]
    elif not re.fullmatch(_SAFE, what):
        what = "not what the type declares"
    return f"{what} at {place}" if place else what
