"""Why a codec refused, in words that hold nothing of the data: messages of msgspec, looked over."""

from __future__ import annotations

import re

import msgspec

from kvcodec.secrets.marks import WRAP_IT

__all__ = ["NotOfType", "Refusal", "reason"]


class Refusal(Exception):
    """Why one of kvcodec's own codecs refused, in words that hold nothing of the data."""


class NotOfType(Refusal):
    """It could be decoded, and is not what the type declares."""


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


class Refused(Exception):
    """Raised by kvcodec's own codecs alone: its words hold nothing of the data."""


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
