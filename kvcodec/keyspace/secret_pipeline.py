"""The pipeline of a type with Secret fields: these are sealed, the rest stays readable. Floor 2.

Out: encode, seal the secrets, compress, envelope. In: size, envelope, age, decompress, open the
secrets, upgrade, depth, decode. Between its first and its last step an encoding holds the secrets
marked and in clear (secret.py), so that all checks of a value are those of pipeline.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace
from typing_extensions import TypeVar

from kvcodec.codecs.codec import Secrets, ValueCodec
from kvcodec.codecs.evolve import carry_unknown
from kvcodec.codecs.reasons import reason
from kvcodec.errors import ConfigError, DecodeError, EncodeError, KVCodecError, Tampered
from kvcodec.format.derived import is_derived
from kvcodec.format.envelope import Header, associated_data, checksum_field, envelope_start
from kvcodec.keyspace.pipeline import Form, Payload, Pipeline, as_bytes
from kvcodec.protocols import Cipher
from kvcodec.secrets.fields import FieldSealer, as_sealed, left_over

__all__ = ["SecretPipeline"]

V = TypeVar("V")


class SealedPayload(Payload, frozen=True):
    """What an opened envelope held: its secrets are still sealed, and tied to ``context``."""

    context: bytes = b""


class SecretPipeline(Pipeline[V]):
    """The way of values with Secret fields. ``form.cipher`` seals these, and nothing else.

    Raises ConfigError without a cipher, or with one whose tokens are tied to nothing.
    """

    __slots__ = ("_cipher", "_sealer", "_secrets")

    def __init__(self, codec: ValueCodec[V], form: Form, secrets: Secrets) -> None:
        self._cipher = _checked(form.cipher)
        if hasattr(form.naming, "naming"):
            raise ConfigError(
                "HiddenKeys stores the name in a sealed value: not with Secret fields"
            )
        self._secrets = secrets
        self._sealer = FieldSealer(self._cipher, secrets.clear, secrets.route)
        super().__init__(codec, replace(form, cipher=None))
        self.direct = -1  # not even a plain value is its encoding and nothing else
        self._start = b""  # nor is there a header that all values share

    @property
    def cipher(self) -> Cipher:
        """What seals the secrets."""
        return self._cipher

    # -------------------------------------------------------------------------------- out

    def wrap(
        self, raw_key: str, encoded: bytes, now: float, ttl: float | None = None, *, name: str = ""
    ) -> bytes:
        """Seal the secrets of an encoded value, compress and envelope it.

        Raises TooLarge, TooDeep, ConfigError.
        """
        return self._wrapped(raw_key, self.codec.to_plain(encoded), now, ttl, name)

    def _wrapped(self, raw_key: str, plain: Any, now: float, ttl: float | None, name: str) -> bytes:
        context = self._secret_context(raw_key, self._header(now, ttl, 0))
        return super().wrap(raw_key, self._sealed(plain, context), now, ttl, name=name)

    def _sealed(self, plain: Any, context: bytes) -> bytes:
        """The encoding of plain data, its marked and found secrets sealed."""
        try:
            data = self.codec.from_plain(self._sealer.seal(plain, context))
        except RecursionError:  # a large max_depth=, or a caller deep down itself
            data = None
        del plain
        if data is None:
            self._refuse_depth("encode")
        if self._secrets.clear.is_left(data):
            del data
            raise EncodeError("a Secret is where it cannot be sealed", stage="encode")
        return data

    def seal_over(
        self, raw_key: str, value: V, held: bytes, now: float, ttl: float | None = None
    ) -> bytes:
        """Return the stored bytes of a value with what its type does not know of ``held``.

        Secrets that the type does not know are sealed again, where they stand now. Raises what
        ``open`` raises for ``held``, and what ``seal`` raises.
        """
        payload = self.unwrap(raw_key, as_bytes(held), now)
        return self._wrapped(raw_key, self._merged(value, payload), now, ttl, payload.name)

    def renewed(self, raw_key: str, data: bytes, now: float) -> bytes:
        """Return the same value in today's version, under the primary key; its times stay.

        Raises what ``open`` and ``seal`` raise.
        """
        payload = self.unwrap(raw_key, as_bytes(data), now)
        moment, left = self.times(payload.header, now)
        value = self.decode(self.upgraded(payload))
        if not self.form.keep_unknown:
            return self.wrap(raw_key, self.encode(value), moment, left, name=payload.name)
        return self._wrapped(raw_key, self._merged(value, payload), moment, left, payload.name)

    def _merged(self, value: V, payload: SealedPayload) -> Any:
        """Plain data of ``value``, marked, with what its type does not know of a payload."""
        old = self._opened(payload, keep_unknown=True)
        new = self.codec.to_plain(self.encode(value))
        merged = carry_unknown(self.codec.shape, old, new)
        self._compare(value, self.codec.from_plain(as_sealed(merged)))
        return merged

    # --------------------------------------------------------------------------------- in

    def unwrap(self, raw_key: str, data: bytes, now: float | None) -> SealedPayload:
        """Open the envelope and everything in it but the encoding and its secrets.

        Raises Tampered, NewerVersion, Expired, TooLarge, DecodeError.
        """
        payload = super().unwrap(raw_key, data, now)
        context = self._secret_context(raw_key, payload.header)
        return SealedPayload(payload.header, payload.encoded, payload.name, context)

    def _take_apart(self, data: bytes) -> tuple[Header, bytes, bytes, bytes]:
        if not self.form.is_plain:
            return super()._take_apart(data)
        if len(data) > self.form.max_bytes:
            self._refuse_size(data, "envelope")
        return Header(), b"", b"", data

    def upgraded(self, payload: Payload) -> bytes:
        """The encoding of a payload in today's version, its secrets opened.

        Raises TooDeep, NotEncrypted, UnknownKey, Tampered, DecodeError.
        """
        try:
            encoded = self.codec.from_plain(as_sealed(self._opened(payload, keep_unknown=False)))
        except RecursionError:  # as in _sealed
            encoded = None
        if encoded is None:
            self._refuse_depth("decode")
        return encoded

    def _opened(self, payload: Payload, *, keep_unknown: bool) -> Any:
        """Plain data in today's version, its secrets marked, others found or as they are."""
        assert isinstance(payload, SealedPayload)  # noqa: S101 - made by unwrap, above
        plain = self._parsed(payload.encoded)
        if payload.header.version != self.form.version:
            return self._opened_and_upgraded(plain, payload)
        opened = self._sealer.open(plain, payload.context)
        if not keep_unknown:
            return opened
        return left_over(*self._sealer.find(opened, payload.context, self._secrets.decode))

    def _opened_and_upgraded(self, plain: Any, payload: SealedPayload) -> Any:
        plain, found = self._sealer.find(plain, payload.context, self._secrets.decode)
        plain = self._upgrade(plain, payload.header.version)
        marked = self._done(self._sealer.mark, plain, self._secrets.encode)
        return self._done(left_over, marked, found)

    def _upgrade(self, plain: Any, found: int) -> Any:
        for version in range(found, self.form.version):
            plain = self._done(self.form.upgrades[version], plain)
        return plain

    def _done(self, step: Callable[..., Any], *given: Any) -> Any:
        """What a step makes that is the user's, or works on what the user's code made."""
        try:
            return step(*given)
        except KVCodecError:
            raise
        except Exception as error:  # noqa: BLE001 - the user's function may quote the data
            why = reason(error)
        del given
        raise DecodeError(f"upgrade to version {self.form.version}: {why}", stage="decode")

    def _parsed(self, encoded: bytes) -> Any:
        codec = self.codec
        if codec.too_deep is not None and codec.too_deep(encoded, self.form.max_depth):
            self._refuse_depth("decode")
        try:
            return codec.to_plain(encoded)
        except Exception as error:  # noqa: BLE001 - a decoder's error may quote the data
            why = reason(error)
        if self.form.is_plain:
            self._refuse_newer(encoded)
        raise DecodeError(why, stage="decode")

    def _secret_context(self, raw_key: str, header: Header) -> bytes:
        """What all secrets of a value are tied to, beside their paths."""
        # Not to the compression: whether it is worth it is known only when they are sealed.
        tied = replace(header, compression=0).encode()
        return self._place + associated_data(tied, raw_key.encode())

    # ---------------------------------------------------------------------------- rotation

    def key_ids(self, raw_key: str, data: bytes) -> tuple[str, ...]:
        """The ids of the keys that the secrets of stored bytes are sealed under.

        By what sealed fields say: nothing is decrypted but what looks like one elsewhere.
        """
        held = self._apart(raw_key, as_bytes(data))
        if not held.encoded and is_derived(raw_key):
            return ()  # a cache's news that there is no value
        plain, todays = self._parsed(held.encoded), held.header.version == self.form.version
        found = self._sealer.key_ids(plain, held.context, todays=todays)
        return tuple(sorted(key_id.hex() for key_id in found))

    def reseal(self, raw_key: str, data: bytes) -> bytes:
        """Return the same value, its secrets under the primary key: version and times stay.

        Raises what ``open`` raises, but for age and version.
        """
        held = self._apart(raw_key, as_bytes(data))
        header, plain = held.header, self._parsed(held.encoded)
        if header.version == self.form.version:
            plain = self._sealer.open(plain, held.context)
        plain = left_over(*self._sealer.find(plain, held.context, self._secrets.decode))
        payload = self._sealed(plain, held.context)
        if header == Header() and not self.form.is_enveloped_always:
            return payload
        if self.form.naming is not None:
            payload = self._named(raw_key, held.name) + payload
        payload, algorithm = self._compressed(payload)
        start = envelope_start(replace(header, compression=algorithm).encode())
        return self._closed(raw_key, start, payload)

    def _apart(self, raw_key: str, data: bytes) -> SealedPayload:
        """What stored bytes hold, whatever their age."""
        header, fields, checksum, payload = self._take_apart(data)
        context = self._context(envelope_start(fields), raw_key)
        if checksum and checksum != checksum_field(context, payload)[1:]:
            raise Tampered("the checksum does not match: changed or moved", stage="envelope")
        if header.compression and self.form.compression is not None:
            payload = self.form.compression.decompress(payload, self.form.max_bytes)
        opened = self._payload(raw_key, header, payload)
        context = self._secret_context(raw_key, header)
        return SealedPayload(header, opened.encoded, opened.name, context)


def _checked(cipher: Cipher | None) -> Cipher:
    if cipher is None:
        raise ConfigError("a type with Secret fields needs a cipher=: a KeyRing, or a Cipher")
    if getattr(cipher, "bare", False):
        raise ConfigError("Secret fields are tied to their place: not with bound=False")
    return cipher
