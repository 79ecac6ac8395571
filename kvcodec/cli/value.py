"""One value through its declaration: found by a name as ``ls`` shows it, and as JSON."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from kvcodec.cli.declared import AnyKeyspace, explained, key_of
from kvcodec.cli.names import part_of
from kvcodec.errors import ConfigError, Expired, MissingKey
from kvcodec.format.envelope import Kind
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.protocols import KV
from kvcodec.secrets.fields import replaced
from kvcodec.secrets.marks import BINARY, BINARY_WITHIN, MASK, TEXT, TEXT_WITHIN
from kvcodec.stores.store import Store
from kvcodec.stores.value import Value

__all__ = ["is_raw", "json_of", "raw_key_of", "value_of"]

_WHERE: Final[dict[Kind | None, str]] = {
    "head": "a log: kvcodec log --help",
    "manifest": "a file: kvcodec file --help",
    "subject": "a person's data keys, and no value: kvcodec explain shows their number",
}


def raw_key_of(keyspace: AnyKeyspace, name: str) -> str:
    """Return the name that an argument means: itself, or that of the key which it is.

    Raises KeyNameError if it is neither.
    """
    own = name.partition("!")[0] if part_of(name) else name
    if own.startswith(keyspace.prefix) and keyspace.declaration.names.is_name(own):
        return name
    return keyspace.raw_key(key_of(keyspace, name))


def value_of(keyspace: AnyKeyspace, kv: KV, name: str) -> Any:
    """Return the value under a name.

    Raises MissingKey where there is none, Expired where its time is over, ConfigError for a log, a
    file and for parts of them, and what ``get`` raises.
    """
    raw_key = raw_key_of(keyspace, name)
    data = kv.get(raw_key)
    part = part_of(raw_key)
    if part is not None:
        raise ConfigError(f"{part.what}, and no value: kvcodec explain shows it")
    kind = None
    if data is not None:
        kind, _ = explained(keyspace, raw_key, as_bytes(data), show=False)
    if kind in _WHERE:
        raise ConfigError(f"{raw_key} is {_WHERE[kind]}")
    value = _read(keyspace, kv, name, raw_key, data)
    if value is None and data is None:
        raise MissingKey(
            "nothing is stored under this key", keyspace=keyspace.name, raw_key=raw_key
        )
    if value is None and not _holds_none(keyspace, raw_key, as_bytes(data)):
        raise Expired("its time is over", keyspace=keyspace.name, raw_key=raw_key)
    return value


def _read(keyspace: Any, kv: KV, name: str, raw_key: str, data: Any) -> Any:
    if keyspace.declaration.names.stored is not None and raw_key == name:
        # Its key is in the value: there is nothing that a Store could be asked for.
        return None if data is None else keyspace.unpack(raw_key, data, now=time.time())
    if keyspace.key_type is None:
        return Value(keyspace, kv).get()
    return Store(keyspace, kv).get(key_of(keyspace, name))


def _holds_none(keyspace: AnyKeyspace, raw_key: str, data: bytes) -> bool:
    """Whether None is the value itself. Raises Expired, as any other error of reading."""
    return keyspace.unpack(raw_key, data, now=time.time()) is None


def is_raw(keyspace: AnyKeyspace) -> bool:
    """Whether values are bytes or text as they are, and not JSON of anything."""
    return keyspace.value_type in (bytes, str)


def json_of(keyspace: AnyKeyspace, value: Any, *, reveal: bool) -> bytes:
    """Return a value as JSON: as its own encoding has it, secrets masked unless they are revealed.

    Bytes are base64, and what JSON has no form for is its repr.
    """
    codec = keyspace.declaration.pipeline.codec
    plain = codec.to_plain(codec.encode(value))
    if codec.secrets is not None:
        clear = codec.secrets.clear
        plain = replaced(plain, (), _revealed if reveal else lambda leaf, _: _masked(clear, leaf))
    return msgspec.json.encode(plain, enc_hook=repr)


def _masked(clear: Any, leaf: Any) -> Any:
    return leaf if clear.encoded(leaf) is None else MASK


def _revealed(leaf: Any, _: object) -> Any:
    for clear, within, form in (
        (TEXT, TEXT_WITHIN, msgspec.json),
        (BINARY, BINARY_WITHIN, msgspec.msgpack),
    ):
        encoded = clear.encoded(leaf)
        if encoded is not None:
            return _opened(form.decode(encoded), within, form)
    return leaf


def _opened(plain: Any, within: Any, form: Any) -> Any:
    """What is in a secret: secrets within it are marked in a way of their own."""

    def leaf_of(leaf: Any, _: object) -> Any:
        encoded = within.encoded(leaf)
        return leaf if encoded is None else _opened(form.decode(encoded), within, form)

    return replaced(plain, (), leaf_of)
