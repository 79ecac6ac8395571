"""The steps between a value and its stored bytes, in their one order. No I/O, no clock.

Out: encode, compress, encrypt, envelope. In: size, envelope, decrypt, age, decompress, upgrade,
depth, decode. The encoding half is encoding.py, the outer half wrapping.py; between them stands
one more step where a type has Secret fields (secret_fields.py). A declaration has one pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, Generic

from msgspec.structs import replace
from typing_extensions import TypeVar

from kvcodec.codecs.codec import ValueCodec
from kvcodec.errors import Expired
from kvcodec.format.envelope import Header, Kind
from kvcodec.format.own import OWN
from kvcodec.keyspace.encoding import Encoding
from kvcodec.keyspace.foreign import as_own, own_or_none, refuse_foreign
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

_DATED: frozenset[Kind] = frozenset(("manifest", "chunk", "news", "head", "row"))
"""What ends as values do. The rest outlives what it tells of."""


class Pipeline(Generic[V]):
    """One declaration's way from values to bytes and back."""

    __slots__ = ("_parts", "cipher", "codec", "direct", "encoding", "fields", "form", "wrapping")

    def __init__(self, codec: ValueCodec[V], declared: Form) -> None:
        self._parts: dict[Kind, Wrapping] = {}
        self.cipher: Cipher | None = declared.cipher
        """What seals: whole values or, of a type with Secret fields, these."""
        self.codec: ValueCodec[V] = codec
        # Of a type with Secret fields, nothing is sealed but these.
        self.form: Form = declared if codec.secrets is None else replace(declared, cipher=None)
        self.encoding: Encoding[V] = Encoding(codec, self.form)
        self.wrapping: Wrapping = Wrapping(self.form, codec.name, codec.first)
        self.fields: SecretFields[V] | None = self._fields(declared)
        plain = self.form.is_plain and self.fields is None
        self.direct: int = self.encoding.small if plain else -1
        """Up to how many bytes a stored value is its encoding and nothing else; -1 for none."""

    def _fields(self, declared: Form) -> SecretFields[V] | None:
        if self.codec.secrets is None:
            return None
        from kvcodec.keyspace.secret_fields import SecretFields  # by who declares such a type

        return SecretFields(self.encoding, self.codec.secrets, declared)

    @property
    def declared(self) -> Form:
        """The form as it was declared: of a type with Secret fields, with the cipher of these."""
        return self.form if self.fields is None else replace(self.form, cipher=self.cipher)

    def bound_to(self, context: str) -> Pipeline[V]:
        """The same, sealed values tied to a context as well."""
        other = copy(self)
        form = other.form = replace(self.form, context=context)
        other.wrapping = self.wrapping.bound_to(form, self.codec.name)
        other.fields = other._fields(replace(form, cipher=self.cipher))
        other._parts = {}
        return other

    def part(self, kind: Kind) -> Wrapping:
        """The envelopes of what kvcodec itself writes: sealed wholly where there is a cipher.

        Of version 1 whatever the values' is, since its layout is not theirs.
        """
        found = self._parts.get(kind)
        if found is None:
            form = replace(self.declared, version=1, oldest=1, upgrades={})
            if kind not in _DATED:
                form = replace(form, ttl=None, max_age=None)
            found = Wrapping(form, self.codec.name, frozenset((OWN,)), kind)
            self._parts[kind] = found
        return found

    def as_part(self, wrapping: Wrapping) -> Pipeline[V]:
        """The same for what kvcodec itself writes, in place of values or beside them."""
        other = copy(self)
        other.wrapping, other.form, other.fields = wrapping, wrapping.form, None
        other.cipher = wrapping.form.cipher
        other._parts = {}
        return other

    @property
    def primary(self) -> str:
        """The id of the key that ``seal`` uses, or ""."""
        return "" if self.cipher is None else self.cipher.key_id.hex()

    @property
    def quick(self) -> Callable[[V], bytes | None]:
        """How the usual value of a plain keyspace is encoded, as ``Encoding.quick``."""
        return own_or_none if self.wrapping.is_any else self.encoding.quick

    @property
    def decode(self) -> Callable[[bytes], V]:
        """How stored bytes of a plain keyspace are decoded. Raises what it likes."""
        return as_own if self.wrapping.is_any else self.codec.decode

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
            self.wrapping.check_size(data)
            if self.wrapping.is_any:
                refuse_foreign(data, self.form.version)
            return self.encoding.decode(data)
        payload = self._unwrapped(raw_key, data, now)
        return self.encoding.decode(self.upgraded(raw_key, payload))

    def _unwrapped(self, raw_key: str, data: bytes, now: float | None) -> Payload:
        """What is in an envelope. Raises what ``Wrapping.unwrap`` raises.

        Of Secret fields, that it has expired is believed of what is signed only.
        """
        try:
            return self.wrapping.unwrap(raw_key, data, now)
        except Expired:
            if self.fields is None:
                raise
        payload = self.wrapping.unwrap_any(raw_key, data)
        self.fields.confirm(payload, self.fields.contexts(raw_key, payload.header))
        return self.wrapping.unwrap(raw_key, data, now)

    def seal_over(
        self, raw_key: str, value: V, held: Any, now: float, ttl: float | None = None
    ) -> bytes:
        """Return the stored bytes of a value with what its type does not know of ``held``.

        ``held``: of any age, since who gives it has opened it; it may have expired by ``now``.
        Raises what else ``open`` raises for it, and what ``seal`` raises.
        """
        payload = self._unwrapped(raw_key, as_bytes(held), ANY_AGE)
        return self._sealed_over(raw_key, value, payload, now, ttl)

    def _sealed_over(
        self, raw_key: str, value: V, payload: Payload, now: float, ttl: float | None
    ) -> bytes:
        if self.fields is not None:
            contexts = self.fields.contexts(raw_key, payload.header)
            merged = self.fields.merged(value, payload, contexts)
            return self._wrapped(raw_key, merged, now, ttl, payload.name)
        held = self.upgraded(raw_key, payload)
        encoded = self.encoding.merged(value, held)
        self.encoding.compare(value, encoded)
        return self.wrapping.wrap(raw_key, encoded, now, ttl, name=payload.name)

    def signed_anew(
        self,
        raw_key: str,
        old: Pipeline[Any],
        old_key: str,
        held: Any,
        now: float,
        *,
        name: str,
    ) -> bytes | None:
        """The record that an older form holds, whole, in this one; None where that cannot be."""
        mine, theirs = self.fields, old.fields
        alike = (old.codec.name, old.form.version) == (self.codec.name, self.form.version)
        if mine is None or theirs is None or not alike:
            return None
        payload = old.wrapping.unwrap(old_key, as_bytes(held), now)
        plain = theirs.found(payload, theirs.contexts(old_key, payload.header))
        contexts = mine.contexts(raw_key, self.wrapping.header_for(now, None))
        encoded = mine.seal_any(plain, contexts)
        return self.wrapping.wrap(raw_key, encoded, now, name=name)

    def renewed(self, raw_key: str, data: Any, now: float, ttl: float | None = None) -> bytes:
        """Return the same value in today's version, under the primary key; its times stay.

        ``ttl``: its lifetime begins anew, as long as this. Raises what ``open`` and ``seal`` raise.
        """
        payload = self._unwrapped(raw_key, as_bytes(data), now)
        value = self.encoding.decode(self.upgraded(raw_key, payload))
        moment, left = self.wrapping.times(payload.header, now, ttl)
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
        contexts = self.fields.contexts(raw_key, self.wrapping.header_for(now, ttl))
        encoded = self.fields.seal(plain, contexts)
        return self.wrapping.wrap(raw_key, encoded, now, ttl, name=name)

    def upgraded(self, raw_key: str, payload: Payload) -> bytes:
        """The encoding of a payload in today's version, its secrets opened and marked.

        Raises TooDeep, NotEncrypted, UnknownKey, Tampered, DecodeError.
        """
        if self.fields is not None:
            return self.fields.open(payload, self.fields.contexts(raw_key, payload.header))
        return self.encoding.upgraded(payload.encoded, payload.header.version)

    # ---------------------------------------------------------------------------- rotation

    def key_ids(self, raw_key: str, data: Any) -> tuple[str, ...]:
        """The ids of the keys that stored bytes, or the secrets in them, are sealed under."""
        data = as_bytes(data)
        if self.fields is None:
            return self.wrapping.key_ids(data)
        return self.fields.key_ids(self.wrapping.unwrap_any(raw_key, data))

    def verify(self, raw_key: str, data: Any) -> None:
        """Open stored bytes as far as they are sealed, whatever their age and version.

        A header is not believed: who writes the id of the primary key into it would have the
        retired one dropped. Raises what ``open`` raises.
        """
        payload = self.wrapping.unwrap_any(raw_key, as_bytes(data))
        if self.fields is not None:
            self.fields.verify(payload, self.fields.contexts(raw_key, payload.header))

    def reseal(self, raw_key: str, data: Any) -> bytes:
        """Return the same value under the cipher's primary key: version and times stay.

        Raises what ``open`` raises, but for age and version.
        """
        data = as_bytes(data)
        if self.fields is None:
            return self.wrapping.reseal(raw_key, data)
        payload = self.wrapping.unwrap_any(raw_key, data)
        encoded = self.fields.resealed(payload, self.fields.contexts(raw_key, payload.header))
        if payload.header == Header() and not self.form.is_enveloped_always:
            return encoded
        if self.form.names is not None:
            encoded = self.wrapping.named(raw_key, payload.name) + encoded
        return self.wrapping.close(raw_key, payload.header, encoded)
