"""The steps between a value and its stored bytes, in their one order. No I/O, no clock.

Out: encode, compress, encrypt, envelope. In: size, envelope, decrypt, age, decompress, upgrade,
depth, decode. The encoding half is encoding.py, the outer half wrapping.py; between them stands
one more step where a type has Secret fields (secret_fields.py). A declaration has one pipeline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from msgspec.structs import replace
from typing_extensions import TypeVar

from kvcodec.codecs.codec import ValueCodec
from kvcodec.format.derived import is_derived
from kvcodec.format.envelope import Header
from kvcodec.keyspace.encoding import Encoding
from kvcodec.keyspace.form import Form
from kvcodec.keyspace.wrapping import Payload, Wrapping, as_bytes
from kvcodec.protocols import Cipher

if TYPE_CHECKING:
    from kvcodec.keyspace.secret_fields import SecretFields

__all__ = ["ANY_AGE", "Pipeline"]

V = TypeVar("V")

ANY_AGE = None
"""As the moment of reading: of parts whose age is not theirs to tell, since the messages of a log
have each their own, and chunks go when their file does."""


class Pipeline(Generic[V]):
    """One declaration's way from values to bytes and back."""

    __slots__ = ("cipher", "codec", "direct", "encoding", "fields", "form", "wrapping")

    def __init__(self, codec: ValueCodec[V], declared: Form) -> None:
        self.cipher: Cipher | None = declared.cipher
        """What seals: whole values or, of a type with Secret fields, these."""
        self.codec = codec
        # Of a type with Secret fields, nothing is sealed but these.
        self.form = declared if codec.secrets is None else replace(declared, cipher=None)
        self.encoding = Encoding(codec, self.form)
        self.wrapping = Wrapping(self.form, codec.name, codec.first)
        self.fields = self._fields(declared)
        plain = self.form.is_plain and self.fields is None
        self.direct = self.encoding.small if plain else -1
        """Up to how many bytes a stored value is its encoding and nothing else; -1 for none."""

    def _fields(self, declared: Form) -> SecretFields[V] | None:
        if self.codec.secrets is None:
            return None
        from kvcodec.keyspace.secret_fields import SecretFields  # by who declares such a type

        return SecretFields(self.encoding, self.codec.secrets, declared, self.wrapping.place)

    @property
    def primary(self) -> str:
        """The id of the key that ``seal`` uses, or ""."""
        return "" if self.cipher is None else self.cipher.key_id.hex()

    # ------------------------------------------------------------------------------ whole way

    def seal(
        self, raw_key: str, value: V, now: float, ttl: float | None = None, *, name: str = ""
    ) -> bytes:
        """Return the stored bytes of a value. Raises EncodeError and its kin, ConfigError."""
        return self.wrap(raw_key, self.encoding.encode(value), now, ttl, name=name)

    def open(self, raw_key: str, data: Any, now: float | None) -> V:
        """Return the value of what a KV returned. Raises DecodeError and its kin."""
        if type(data) is not bytes:
            data = as_bytes(data)
        if self.direct >= 0:
            if len(data) > self.form.max_bytes:
                self.wrapping.refuse_size(data, "envelope")
            return self.encoding.decode(data)
        payload = self.wrapping.unwrap(raw_key, data, now)
        return self.encoding.decode(self.upgraded(raw_key, payload))

    def seal_over(
        self, raw_key: str, value: V, held: Any, now: float, ttl: float | None = None
    ) -> bytes:
        """Return the stored bytes of a value with what its type does not know of ``held``.

        Raises what ``open`` raises for ``held``, and what ``seal`` raises.
        """
        payload = self.wrapping.unwrap(raw_key, as_bytes(held), now)
        return self._sealed_over(raw_key, value, payload, now, ttl)

    def _sealed_over(
        self, raw_key: str, value: V, payload: Payload, now: float, ttl: float | None
    ) -> bytes:
        if self.fields is not None:
            context = self.fields.context(raw_key, payload.header)
            merged = self.fields.merged(value, payload, context)
            return self._wrapped(raw_key, merged, now, ttl, payload.name)
        held = self.upgraded(raw_key, payload)
        encoded = self.encoding.merged(self.encoding.encode(value), held)
        self.encoding.compare(value, encoded)
        return self.wrapping.wrap(raw_key, encoded, now, ttl, name=payload.name)

    def renewed(self, raw_key: str, data: Any, now: float) -> bytes:
        """Return the same value in today's version, under the primary key; its times stay.

        Raises what ``open`` and ``seal`` raise.
        """
        payload = self.wrapping.unwrap(raw_key, as_bytes(data), now)
        value = self.encoding.decode(self.upgraded(raw_key, payload))
        moment, left = self.wrapping.times(payload.header, now)
        if self.form.keep_unknown:
            return self._sealed_over(raw_key, value, payload, moment, left)
        return self.wrap(raw_key, self.encoding.encode(value), moment, left, name=payload.name)

    # ---------------------------------------------------------------------- around an encoding

    def wrap(
        self, raw_key: str, encoded: bytes, now: float, ttl: float | None = None, *, name: str = ""
    ) -> bytes:
        """Return the stored bytes of an encoding, its secrets marked. Raises TooLarge, ConfigError.

        ``name``: the whole name of the key, where the raw key does not tell it.
        """
        if self.fields is None:
            return self.wrapping.wrap(raw_key, encoded, now, ttl, name=name)
        return self._wrapped(raw_key, self.codec.to_plain(encoded), now, ttl, name)

    def _wrapped(self, raw_key: str, plain: Any, now: float, ttl: float | None, name: str) -> bytes:
        assert self.fields is not None  # noqa: S101 - asked by who calls
        context = self.fields.context(raw_key, self.wrapping.header_for(now, ttl))
        encoded = self.fields.seal(plain, context)
        return self.wrapping.wrap(raw_key, encoded, now, ttl, name=name)

    def upgraded(self, raw_key: str, payload: Payload) -> bytes:
        """The encoding of a payload in today's version, its secrets opened and marked.

        Raises TooDeep, NotEncrypted, UnknownKey, Tampered, DecodeError.
        """
        if self.fields is not None:
            return self.fields.open(payload, self.fields.context(raw_key, payload.header))
        return self.encoding.upgraded(payload.encoded, payload.header.version)

    # ---------------------------------------------------------------------------- rotation

    def key_ids(self, raw_key: str, data: Any) -> tuple[str, ...]:
        """The ids of the keys that stored bytes, or the secrets in them, are sealed under."""
        data = as_bytes(data)
        if self.fields is None:
            return self.wrapping.key_ids(data)
        payload = self.wrapping.unwrap_any(raw_key, data)
        if not payload.encoded and is_derived(raw_key):
            return ()  # a cache's news that there is no value
        return self.fields.key_ids(payload, self.fields.context(raw_key, payload.header))

    def reseal(self, raw_key: str, data: Any) -> bytes:
        """Return the same value under the cipher's primary key: version and times stay.

        Raises what ``open`` raises, but for age and version.
        """
        data = as_bytes(data)
        if self.fields is None:
            return self.wrapping.reseal(raw_key, data)
        payload = self.wrapping.unwrap_any(raw_key, data)
        encoded = self.fields.resealed(payload, self.fields.context(raw_key, payload.header))
        if payload.header == Header() and not self.form.is_enveloped_always:
            return encoded
        if self.form.names is not None:
            encoded = self.wrapping.named(raw_key, payload.name) + encoded
        return self.wrapping.close(raw_key, payload.header, encoded)

    def time_left(self, data: bytes, now: float) -> float | None:
        """How many seconds stored bytes still live; None for ever."""
        expires = self.wrapping.header(data).expires_ms
        return None if expires is None else max(expires / 1000 - now, 0.001)
