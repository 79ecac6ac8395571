"""Stored bytes that are another declaration's: which one's, and their refusal (law 4).

A plain keyspace stores the encoder's bytes and nothing around them. Bytes of most types never begin
as an envelope, or as a part of kvcodec's own, does: the decoder refuses them, and this says whose
they are. ``bytes`` may be anything. There a whole envelope and a whole part are refused by ``get``,
and by ``set``, so that whatever goes in comes out; bytes that only begin alike are values.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from kvcodec.codecs.depth import msgpack_too_deep
from kvcodec.errors import DecodeError, EncodeError
from kvcodec.format.envelope import (
    COMPRESSIONS,
    MAGIC,
    Header,
    Kind,
    MalformedEnvelope,
    cipher_said,
    open_envelope,
)
from kvcodec.format.own import OWN, kind_said
from kvcodec.keyspace.versions import check_version

__all__ = ["as_own", "origin", "own_or_none", "refuse_foreign", "refuse_unstorable"]

_MARKS = frozenset((MAGIC, OWN))
_LEAST = bytes((min(_MARKS),))
"""Below it bytes begin as no envelope and no part: in CPython one comparison costs less than to
take out the first byte."""

_DEEPEST = 8
"""Arrays in each other that are still taken for a part: none that kvcodec writes has four."""

_WRITERS: Mapping[Kind, str] = {
    "manifest": "open the keyspace as Files",
    "trace": "open the keyspace as Files",
    "head": "open the keyspace as a Log",
    "row": "open the keyspace as a Log",
    "lane": "open the keyspace as a Log",
    "shard": "declare indexed=True",
    "news": "open the keyspace as a Cache",
    "subject": "open the keyspace as Subjects",
}


def own_or_none(value: object) -> bytes | None:
    """The encoding of the usual value of type ``bytes``; None for what needs a closer look."""
    if type(value) is bytes and (value < _LEAST or value[0] not in _MARKS):
        return value
    return None


def as_own(data: bytes) -> Any:
    """The value that plain stored bytes are. Raises DecodeError as ``refuse_foreign``."""
    if data >= _LEAST and data[0] in _MARKS:
        refuse_foreign(data, 1)
    return data


def refuse_foreign(data: bytes, version: int) -> None:
    """Raise DecodeError for bytes that another declaration wrote, NewerVersion for a later version.

    Of a keyspace whose older versions had no envelope: newer code writes it while this still runs.
    """
    found = origin(data)
    if isinstance(found, Header):
        check_version(found.version, version)
        options = _options(found, checksum=bool(open_envelope(data)[2]))
        what = f"{_said(found)}: declare {options}, or see previous="
    elif found is not None:
        what = f"this is the {found} of another declaration: {_WRITERS[found]}"
    else:
        return
    raise DecodeError(what, stage="envelope")


def _said(header: Header) -> str:
    """What such a header says of a value, for people."""
    if header.cipher:
        return f"this value is sealed (key id {header.key_id.hex()}, {cipher_said(header.cipher)})"
    return "this value has a lifetime" if header.expires_ms is not None else "this value is wrapped"


def refuse_unstorable(data: bytes) -> None:
    """Raise EncodeError for a value of bytes that ``refuse_foreign`` refuses."""
    if origin(data) is not None:
        raise EncodeError(
            "what another declaration stores, and get() would refuse: declare checksum=True, or "
            "use Files",
            stage="encode",
        )


def origin(data: bytes) -> Header | Kind | None:
    """The header of a whole envelope, or the kind of a whole part; None for any other bytes."""
    kind = kind_said(data)
    if kind is not None:
        return kind if _is_array(data[2:]) else None
    try:
        return open_envelope(data)[0]
    except MalformedEnvelope:
        return None


def _options(header: Header, *, checksum: bool) -> str:
    """What a declaration says whose envelopes have such a header."""
    lives = header.expires_ms is not None
    options = {
        "cipher=": bool(header.cipher),
        "ttl=": lives,
        "max_age=": header.written_ms is not None and not lives,
        f"compress={COMPRESSIONS.get(header.compression)!r}": bool(header.compression),
        "checksum=True": checksum,
        f"version={header.version}": header.version > 1,
    }
    found = [option for option, there in options.items() if there]
    return ", ".join(found) or "keys= (a scheme that stores names) or compress="


def _is_array(data: bytes) -> bool:
    """Whether bytes are one MessagePack array, whole and no deeper than a part may be."""
    # Looked at first: the decoder recurses on the C stack.
    if msgpack_too_deep(data, _DEEPEST):
        return False
    try:
        _array().decode(data)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


@cache
def _array() -> Any:
    return msgspec.msgpack.Decoder(list[msgspec.Raw])
