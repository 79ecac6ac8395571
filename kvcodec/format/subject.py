"""The record of one person's data keys, as it is stored: ``Subjects`` writes it.

    field  type            content
    0      integer         format of the record, 1
    1      text            id of the key that the data keys are wrapped under, by a KeyWrapper;
                           empty: they are not wrapped
    2      array of bytes  the data keys, the primary one first, then the retired ones, the newest
                           first; each of 32 bytes, or as the KeyWrapper wrapped it

A MessagePack array of these three in the one form of what kvcodec writes (own.py, kind
``subject``), sealed wholly under the ring, under the raw key of the person.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from kvcodec.errors import DecodeError
from kvcodec.format.own import Own

__all__ = ["DATA_KEY_BYTES", "MOST_DATA_KEYS", "DataKeys", "parse", "spell", "wrapping_context"]

DATA_KEY_BYTES = 32
"""As a ring's key: a data key is the key of a ring of its own."""

MOST_DATA_KEYS = 100
"""Of a record: as many as a ring holds."""

_FORMAT = 1


class DataKeys(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The data keys of one person. Holds secrets: it is never shown."""

    format: int
    wrapped_by: str
    keys: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"<DataKeys, {len(self.keys)}>"


_OWN = Own("subject", DataKeys)


def spell(keys: tuple[bytes, ...], wrapped_by: str) -> bytes:
    """Return the bytes of a record."""
    return _OWN.spell(DataKeys(_FORMAT, wrapped_by, keys))


def parse(data: bytes) -> DataKeys:
    """Return the record that bytes stand for. Raises DecodeError if they are none."""
    record = _OWN.parse(data)
    if record.format != _FORMAT:
        raise DecodeError(
            f"data keys in format {record.format}: this kvcodec reads {_FORMAT}", stage="decode"
        )
    sized = record.wrapped_by or all(len(key) == DATA_KEY_BYTES for key in record.keys)
    if not sized or not 0 < len(record.keys) <= MOST_DATA_KEYS:
        raise DecodeError(
            "a damaged record of data keys: too many, none, or of another size", stage="decode"
        )
    return record


def wrapping_context(keyspace: str, context: str, raw_key: str) -> str:
    """Return what a wrapped data key is tied to, as text: a JSON array of four texts.

    Readable, since a KMS shows it in its own log; and no two places give the same.
    """
    return msgspec.json.encode(("kvcodec subject", keyspace, context, raw_key)).decode()
