"""The steps between a value and its stored bytes, in their one order. Floor 2: no I/O, no clock.

Out: encode, compress, encrypt, envelope. In: size, envelope, decrypt, age, decompress, upgrade,
depth, decode. A keyspace (keyspace.py) has one pipeline; the declaration is compiled into it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from sys import getrecursionlimit
from typing import TYPE_CHECKING, Any, Generic, NoReturn

from msgspec import Struct
from msgspec.structs import replace
from typing_extensions import TypeVar

from kvcodec.codecs.codec import ValueCodec
from kvcodec.codecs.depth import UNNESTED_BYTES, nests_deeper
from kvcodec.codecs.evolve import carry_unknown
from kvcodec.codecs.reasons import reason
from kvcodec.codecs.same import same
from kvcodec.errors import (
    ConfigError,
    DecodeError,
    EncodeError,
    Expired,
    KeyNameError,
    NewerVersion,
    NotEncrypted,
    SchemaMismatch,
    Stage,
    Tampered,
    TooDeep,
    TooLarge,
)
from kvcodec.format.derived import is_derived
from kvcodec.format.envelope import (
    MAGIC,
    Header,
    MalformedEnvelope,
    associated_data,
    checksum_field,
    envelope_start,
    open_envelope,
)

if TYPE_CHECKING:
    from kvcodec.format.compression import Compression
    from kvcodec.protocols import Cipher, StoredNames

__all__ = ["ANY_AGE", "Form", "Payload", "Pipeline", "as_bytes", "no_quick_way"]

V = TypeVar("V")

SAFE_RECURSION = 1000
"""Python's own recursion limit, at which the encoder gives up long before a usual stack ends. Where
it was raised, a value that is not of its type can nest until the process ends (msgspec#1033), and
is looked at before it is encoded, as values of nesting types always are."""

_CLOCK_SKEW = 60.0
"""Seconds that the clocks of a writer and a reader may differ by: Fernet's own allowance, in its
reference implementation (https://github.com/fernet/spec)."""

ANY_AGE = None
"""As the moment of reading: of parts whose age is not theirs to tell, since the messages of a log
have each their own, and chunks go when their file does."""

_NO_TTL = "a ttl needs a keyspace that declares ttl=: a lifetime is part of the format"


class Form(Struct, frozen=True, kw_only=True):
    """What a declaration says of the bytes, beside the codec."""

    keyspace: str
    max_bytes: int
    max_depth: int
    validate: bool = True
    version: int = 1
    upgrades: dict[int, Callable[[Any], Any]] = {}
    ttl: float | None = None
    max_age: float | None = None
    compression: Compression | None = None
    cipher: Cipher | None = None
    checksum: bool = False
    keep_unknown: bool = False
    naming: StoredNames | None = None
    """The key scheme, where raw keys do not tell their keys: the name is stored with the value."""

    @property
    def bare(self) -> bool:
        """Whether the stored bytes are the cipher's own, without an envelope."""
        return bool(getattr(self.cipher, "bare", False))

    @property
    def is_plain(self) -> bool:
        """Whether the stored bytes are the encoder's own (law 8)."""
        return self.version == 1 and not self.is_enveloped_always

    @property
    def is_enveloped_always(self) -> bool:
        """Whether even values of version 1 have an envelope."""
        wanted = self.compression, self.cipher, self.naming
        return self.dated or self.checksum or any(option is not None for option in wanted)

    @property
    def dated(self) -> bool:
        """Whether the header says when a value was written."""
        return self.ttl is not None or self.max_age is not None


class Payload(Struct, frozen=True):
    """What an opened envelope held: the encoded value, and what the header said of it."""

    header: Header
    encoded: bytes
    name: str = ""
    """The whole name of its key, where that is stored with the value."""


class Pipeline(Generic[V]):
    """One declaration's way from values to bytes and back."""

    __slots__ = (
        "_bare",
        "_constant",
        "_encrypt_onto",
        "_place",
        "_plain",
        "_start",
        "codec",
        "direct",
        "form",
        "quick",
        "small",
    )

    def __init__(self, codec: ValueCodec[V], form: Form) -> None:
        self.codec = codec
        self.form = form
        self._plain, self._bare = form.is_plain, form.bare
        self._encrypt_onto = getattr(form.cipher, "encrypt_onto", None)
        nested = form.max_depth if codec.nests else UNNESTED_BYTES
        # The largest encoding that needs no look at its depth before it is decoded.
        self.small = min(form.max_bytes, nested if codec.too_deep else form.max_bytes)
        # Up to how many bytes a stored value is its encoding and nothing else; -1 for none.
        self.direct = self.small if form.is_plain else -1
        self.quick = _quick_way(codec, form)
        self._place = associated_data(form.keyspace.encode(), codec.name.encode())
        # Where every header is the same (the primary key, no times): its bytes, and what they
        # and the place begin the associated data with.
        varies = form.dated or form.checksum or form.compression is not None or form.bare
        self._start = b"" if varies else envelope_start(self._header(0, None, 0).encode())
        self._constant = self._place + associated_data(self._start[3:])

    @property
    def cipher(self) -> Cipher | None:
        """What seals: whole values or, of a type with Secret fields, these."""
        return self.form.cipher

    # ------------------------------------------------------------------------------ whole way

    def seal(
        self, raw_key: str, value: V, now: float, ttl: float | None = None, *, name: str = ""
    ) -> bytes:
        """Return the stored bytes of a value. Raises EncodeError and its kin, ConfigError."""
        return self.wrap(raw_key, self.encode(value), now, ttl, name=name)

    def open(self, raw_key: str, data: bytes, now: float | None) -> V:
        """Return the value of stored bytes. Raises DecodeError and its kin."""
        data = as_bytes(data)
        if len(data) > self.form.max_bytes:
            self._refuse_size(data, "envelope")
        if self.direct >= 0:
            return self.decode(data)
        return self.decode(self.upgraded(self.unwrap(raw_key, data, now)))

    def seal_over(
        self, raw_key: str, value: V, held: bytes, now: float, ttl: float | None = None
    ) -> bytes:
        """Return the stored bytes of a value with what its type does not know of ``held``.

        Raises what ``open`` raises for ``held``, and what ``seal`` raises.
        """
        payload = self.unwrap(raw_key, as_bytes(held), now)
        merged = self._merged_with(self.encode(value), self.upgraded(payload))
        self._compare(value, merged)
        return self.wrap(raw_key, merged, now, ttl, name=payload.name)

    def _merged_with(self, encoded: bytes, held: bytes) -> bytes:
        """An encoding with what its type does not know of ``held``. Raises DecodeError."""
        codec = self.codec
        try:
            old, new = codec.to_plain(held), codec.to_plain(encoded)
            return codec.from_plain(carry_unknown(codec.shape, old, new))
        except Exception as error:  # noqa: BLE001 - unknown fields are checked nowhere before
            why = reason(error)
        raise DecodeError(f"fields that this code does not know: {why}", stage="decode")

    # ------------------------------------------------------------------------------ envelope

    def wrap(
        self, raw_key: str, encoded: bytes, now: float, ttl: float | None = None, *, name: str = ""
    ) -> bytes:
        """Compress, encrypt and envelope an encoded value. Raises TooLarge, ConfigError.

        ``name``: the whole name of the key, where the raw key does not tell it.
        """
        form = self.form
        if form.naming is not None:
            encoded = self._named(raw_key, name) + encoded
        if ttl is not None and form.ttl is None:
            raise ConfigError(_NO_TTL)
        data = encoded if self._plain else self._enveloped(raw_key, encoded, now, ttl)
        if len(data) > form.max_bytes:
            self._refuse_size(data, "encode")
        return data

    def empty(self, raw_key: str, now: float, ttl: float | None) -> bytes:
        """Return stored bytes without a value, of which only the envelope tells."""
        # Not as a pipeline of Secret fields wraps: there are no fields to seal.
        return Pipeline[V].wrap(self, raw_key, b"", now, ttl)

    def _enveloped(self, raw_key: str, payload: bytes, now: float, ttl: float | None) -> bytes:
        if self._start:  # the constant header says that nothing is compressed
            return self._closed(raw_key, self._start, payload)
        payload, algorithm = self._compressed(payload)
        start = envelope_start(self._header(now, ttl, algorithm).encode())
        return self._closed(raw_key, start, payload)

    def _compressed(self, payload: bytes) -> tuple[bytes, int]:
        """The payload, smaller where it can be, and the number of the compression or 0."""
        form = self.form
        if form.compression is None:
            return payload, 0
        if len(payload) > form.max_bytes:
            self._refuse_size(payload, "encode")  # it could not be read back
        compressed = form.compression.compress(payload)
        if len(compressed) < len(payload):
            return compressed, form.compression.compression_id
        return payload, 0

    def _closed(self, raw_key: str, start: bytes, payload: bytes) -> bytes:
        """Encrypt and put the envelope around what is compressed already."""
        form, context = self.form, self._context(start, raw_key)
        if self._encrypt_onto is not None:
            onto: bytes = self._encrypt_onto(start, payload, context)
            return onto
        if form.cipher is not None and self._bare:
            return form.cipher.encrypt(payload, context)
        if form.cipher is not None:
            payload = form.cipher.encrypt(payload, context)
        if form.checksum:
            start = envelope_start(start[3:] + checksum_field(context, payload))
        return start + payload

    def reseal(self, raw_key: str, data: bytes) -> bytes:
        """Return the same value under the cipher's primary key: version and times stay.

        Neither decompressed nor decoded. Raises what ``unwrap`` raises, but for age and version.
        """
        cipher = self.form.cipher
        header, fields, _, payload = self._take_apart(as_bytes(data))
        if cipher is None:
            return as_bytes(data)
        payload = self._decrypted(raw_key, envelope_start(fields), payload, header.key_id)
        fresh = replace(header, cipher=cipher.cipher_id, key_id=cipher.key_id)
        return self._closed(raw_key, envelope_start(fresh.encode()), payload)

    def renewed(self, raw_key: str, data: bytes, now: float) -> bytes:
        """Return the same value in today's version, under the primary key; its times stay.

        Raises what ``open`` and ``seal`` raise.
        """
        payload = self.unwrap(raw_key, as_bytes(data), now)
        value = self.decode(self.upgraded(payload))
        moment, left = self.times(payload.header, now)
        if self.form.keep_unknown:
            return self.seal_over(raw_key, value, data, moment, left)
        return self.wrap(raw_key, self.encode(value), moment, left, name=payload.name)

    def times(self, old: Header, now: float) -> tuple[float, float | None]:
        """The moment and the lifetime, both in seconds, that give a value its times of before.

        A lifetime that it did not have begins now.
        """
        written, expires = old.written_ms, old.expires_ms
        if written is None or (expires is None and self.form.ttl is not None):
            return now, None
        # In the middle of its millisecond, so that rounding down gives the very same one.
        moment = (written + 0.5) / 1000
        keeps = expires is not None and self.form.ttl is not None
        return moment, (expires - written) / 1000 if expires is not None and keeps else None

    def key_ids(self, raw_key: str, data: bytes) -> tuple[str, ...]:  # noqa: ARG002
        """The ids of the keys that stored bytes are sealed under.

        By the header: nothing is decrypted, but for bare tokens, which have none.
        """
        key_id_of = getattr(self.form.cipher, "key_id_of", None)
        if self._bare and key_id_of is not None:
            return (key_id_of(data).hex(),)
        key_id = self.header(data).key_id
        return (key_id.hex(),) if key_id else ()

    @property
    def primary(self) -> str:
        """The id of the key that ``seal`` uses, or ""."""
        return "" if self.cipher is None else self.cipher.key_id.hex()

    def time_left(self, data: bytes, now: float) -> float | None:
        """How many seconds stored bytes still live; None for ever."""
        expires = self.header(data).expires_ms
        return None if expires is None else max(expires / 1000 - now, 0.001)

    def header(self, data: bytes) -> Header:
        """What the header of stored bytes says; nothing is decrypted or believed.

        Raises NotEncrypted, Tampered or DecodeError for bytes of another form.
        """
        return _NO_HEADER if self._plain else self._take_apart(as_bytes(data))[0]

    def unwrap(self, raw_key: str, data: bytes, now: float | None) -> Payload:
        """Open the envelope and everything in it but the encoding.

        ``now``: in seconds since the epoch, or ANY_AGE. Raises NotEncrypted, UnknownKey, Tampered,
        NewerVersion, Expired, TooLarge, DecodeError.
        """
        if self.direct >= 0:
            return Payload(_NO_HEADER, data)
        start = self._start
        if start and data.startswith(start):
            opened = self._decrypted(raw_key, start, data[len(start) :])
            return self._payload(raw_key, _NO_HEADER, opened)
        header, payload = self._authentic(raw_key, data)
        self._check_age(header, now)
        return self._unpacked(raw_key, header, payload)

    def unwrap_any(self, raw_key: str, data: bytes) -> Payload:
        """As ``unwrap``, whatever the age and the version: of what has a form of its own inside."""
        if self.direct >= 0:
            return Payload(_NO_HEADER, data)
        return self._unpacked(raw_key, *self._authentic(raw_key, data))

    def _authentic(self, raw_key: str, data: bytes) -> tuple[Header, bytes]:
        """The header and the decrypted payload of an envelope that is what it says."""
        header, fields, checksum, payload = self._take_apart(data)
        start = envelope_start(fields)
        if checksum and checksum != checksum_field(self._context(start, raw_key), payload)[1:]:
            raise Tampered("the checksum does not match: changed or moved", stage="envelope")
        return header, self._decrypted(raw_key, start, payload, header.key_id)

    def _unpacked(self, raw_key: str, header: Header, payload: bytes) -> Payload:
        if header.compression and self.form.compression is not None:
            payload = self.form.compression.decompress(payload, self.form.max_bytes)
        return self._payload(raw_key, header, payload)

    def _named(self, raw_key: str, name: str) -> bytes:
        """What stands in front of the encoding where raw keys do not tell their keys."""
        # What kvcodec derives from a name (a log's segments) is not listed and carries none.
        if not name and not is_derived(raw_key):
            raise KeyNameError("this value cannot be written by its raw key alone", stage="name")
        return associated_data(name.encode())

    def _payload(self, raw_key: str, header: Header, payload: bytes) -> Payload:
        naming = self.form.naming
        if naming is None:
            return Payload(header, payload)
        end = 4 + int.from_bytes(payload[:4])
        if len(payload) < end:
            raise DecodeError("the name in front of the value is cut short", stage="decode")
        name = payload[4:end].decode(errors="replace")
        derived = is_derived(raw_key) and name == ""
        if derived or naming.raw_key_of(name) == raw_key:
            return Payload(header, payload[end:], name)
        raise Tampered("the value of another key: copied here", stage="decode")

    def _decrypted(
        self, raw_key: str, start: bytes, payload: bytes, key_id: bytes | None = None
    ) -> bytes:
        cipher = self.form.cipher
        if cipher is None:
            return payload
        context = self._context(start, raw_key)
        return cipher.decrypt(payload, context, cipher.key_id if key_id is None else key_id)

    def _check_age(self, header: Header, now: float | None) -> None:
        form = self.form
        if header.version > form.version:
            self._refuse_version(header)
        if now is None:
            return
        if is_over(header, now):
            raise Expired("its lifetime is over", stage="envelope")
        if self._is_too_old(header, now):
            raise Expired(f"older than max_age={form.max_age:g} s", stage="envelope")
        if self._is_ahead(header, now):
            raise Expired("written in the future: its max_age= cannot be told", stage="envelope")

    def _is_too_old(self, header: Header, now: float) -> bool:
        if self.form.max_age is None or header.written_ms is None:
            return False
        return now - header.written_ms / 1000 > self.form.max_age

    def _is_ahead(self, header: Header, now: float) -> bool:
        if self.form.max_age is None or header.written_ms is None:
            return False
        return header.written_ms / 1000 - now > _CLOCK_SKEW

    def is_ahead(self, data: bytes, now: float) -> bool:
        """Say by the header alone whether a value is refused for being from the future."""
        try:
            return self._is_ahead(open_envelope(data)[0], now)
        except MalformedEnvelope:
            return False

    def may_be_expired(self, data: bytes, now: float) -> bool:
        """Say by the header alone, at little cost, whether a look at the whole may find so."""
        if not self.form.dated:
            return False
        try:
            header = open_envelope(data)[0]
            too_old = self._is_too_old(header, now)
            return is_over(header, now) or too_old or self._is_ahead(header, now)
        except MalformedEnvelope:
            return False

    def recognises(self, data: bytes) -> bool:
        """Say by the first bytes, exactly, whether stored bytes are of the declared form."""
        if not data:
            return True  # of no form: today's says what is wrong
        if self._bare:
            return bool(getattr(self.form.cipher, "recognises", _is_anything)(data))
        if data[:1] != bytes((MAGIC,)) or self._plain:
            first = self.codec.first
            return not self.form.is_enveloped_always and (first is None or data[0] in first)
        try:
            opened = open_envelope(data)
        except MalformedEnvelope:
            return True  # an envelope, and a broken one
        return self._unlike(opened[0], opened[2]) is None

    def would_take(self, other: Pipeline[Any]) -> bool:
        """Say whether the envelopes of another declaration look like this one's."""
        checksum = bytes(5) if other.form.checksum else b""
        header = other._header(0, None, 0)
        return self.form.is_enveloped_always and self._unlike(header, checksum) is None

    def _header(self, now: float, ttl: float | None, compression: int) -> Header:
        form = self.form
        lifetime = form.ttl if ttl is None else ttl
        return Header(
            version=form.version,
            written_ms=math.floor(now * 1000) if form.dated else None,
            expires_ms=None if lifetime is None else math.floor((now + lifetime) * 1000),
            compression=compression,
            cipher=0 if form.cipher is None else form.cipher.cipher_id,
            key_id=b"" if form.cipher is None else form.cipher.key_id,
        )

    def _context(self, start: bytes, raw_key: str) -> bytes:
        """What a payload is tied to: keyspace, codec, header fields, raw key."""
        name = raw_key.encode()
        last = len(name).to_bytes(4) + name
        if start is self._start:
            return self._constant + last
        return self._place + associated_data(start[3:]) + last

    def _take_apart(self, data: bytes) -> tuple[Header, bytes, bytes, bytes]:
        if len(data) > self.form.max_bytes:
            self._refuse_size(data, "envelope")
        if self._bare:
            return Header(), b"", b"", data
        if data[:1] != bytes((MAGIC,)) and not self.form.is_enveloped_always:
            return Header(), b"", b"", data  # plain, from before versions were introduced
        try:
            opened = open_envelope(data)
            problem = self._unlike(opened[0], opened[2])
            if problem is None:
                return opened
            problem += "; an older form? see previous="
        except MalformedEnvelope as error:
            problem = str(error)
        if self.form.cipher is None:
            raise DecodeError(f"not stored as declared: {problem}", stage="envelope")
        if data[:1] != bytes((MAGIC,)):
            raise NotEncrypted(
                "plaintext or nothing where a sealed value belongs", stage="envelope"
            )
        raise Tampered(f"not sealed as declared: {problem}", stage="envelope")

    def _unlike(self, header: Header, checksum: bytes) -> str | None:
        """How a header differs from what the declaration writes (law 4), or None."""
        form = self.form
        cipher = 0 if form.cipher is None else form.cipher.cipher_id
        compression = 0 if form.compression is None else form.compression.compression_id
        differences = {
            f"cipher {header.cipher}": header.cipher != cipher,
            "a key id, or none": bool(header.key_id) != bool(cipher),
            "a lifetime, or none": (header.expires_ms is None) != (form.ttl is None),
            "a time of writing, or none": (header.written_ms is None) == form.dated,
            f"compression {header.compression}": header.compression not in (0, compression),
            "a checksum, or none": bool(checksum) != form.checksum,
        }
        return next((text for text, differs in differences.items() if differs), None)

    # ------------------------------------------------------------------------------- encoding

    def encode(self, value: V) -> bytes:
        """Encode, and make sure that what was encoded would be read back as it is."""
        codec, form = self.codec, self.form
        deep_calls = getrecursionlimit() > SAFE_RECURSION
        try:
            data = None if deep_calls else self.quick(value)
        except Exception:  # noqa: BLE001 - the long way below says what is wrong
            data = None
        if data is not None and len(data) <= self.small:
            return data
        if (codec.nests or deep_calls) and nests_deeper(value, form.max_depth):
            self._refuse_depth("encode")
        data = self._encoded(value)
        if codec.too_deep is not None and codec.too_deep(data, form.max_depth):
            self._refuse_depth("encode")
        if not codec.exact and (form.validate or _doubtful(codec, data)):
            self._compare(value, data)
        return data

    def encode_any(self, value: Any) -> bytes:
        """Encode what need not be of the type, for ``decode`` to make one of it or to refuse."""
        return self._encoded(value)

    def _encoded(self, value: V) -> bytes:
        try:
            return self.codec.encode(value)
        except RecursionError:
            why = None
        except Exception as error:  # noqa: BLE001 - a codec may raise anything, and quote the value
            why = _unsupported(error) if isinstance(error, TypeError) else reason(error)
        # Raised here, not above: inside `except` it would carry the codec's error as context.
        if why is None:
            self._refuse_depth("encode")
        raise EncodeError(why, stage="encode")

    def _compare(self, value: V, data: bytes) -> None:
        try:
            back = self.codec.decode(data)
        except Exception as error:  # noqa: BLE001 - as above
            why = f"would not be read back: {reason(error)}"
        else:
            if type(back) is type(value) and same(back, value):
                return
            why = f"would come back as another {type(back).__name__} than it is"
            if type(back) is not type(value):
                why = f"a {type(value).__name__} would come back as a {type(back).__name__}"
        raise SchemaMismatch(why, stage="validate")

    def decode(self, data: bytes) -> V:
        """Decode an encoded value. Raises TooDeep, SchemaMismatch, DecodeError."""
        codec = self.codec
        if (
            codec.too_deep is not None
            and len(data) > self.small
            and codec.too_deep(data, self.form.max_depth)
        ):
            self._refuse_depth("decode")
        try:
            return codec.decode(data)
        except Exception as error:  # noqa: BLE001 - as above
            kind = type(error)
            why = reason(error)
        if issubclass(kind, RecursionError):
            self._refuse_depth("decode")
        if self.form.is_plain:
            self._refuse_newer(data)
        if kind.__name__ == "ValidationError":  # msgspec's, or pydantic's
            raise SchemaMismatch(why, stage="validate")
        raise DecodeError(why, stage="decode")

    def upgraded(self, payload: Payload) -> bytes:
        """The encoding of a payload in today's version. Raises TooDeep, DecodeError."""
        found, wanted = payload.header.version, self.form.version
        if payload.header is _NO_HEADER or found == wanted:
            return payload.encoded
        codec = self.codec
        if codec.too_deep is not None and codec.too_deep(payload.encoded, self.form.max_depth):
            self._refuse_depth("decode")
        try:
            plain = codec.to_plain(payload.encoded)
            for version in range(found, wanted):
                plain = self.form.upgrades[version](plain)
            return codec.from_plain(plain)
        except Exception as error:  # noqa: BLE001 - an upgrade is the user's, and may quote the data
            why = reason(error)
        raise DecodeError(f"upgrade from version {found} to {wanted}: {why}", stage="decode")

    def _refuse_newer(self, data: bytes) -> None:
        """Raise NewerVersion if bytes that cannot be read are the envelope of a later version.

        Of a keyspace whose older versions had none: newer code writes it while this still runs.
        """
        try:
            header = open_envelope(data)[0]
        except MalformedEnvelope:
            return
        if header.version > self.form.version:
            self._refuse_version(header)

    def _refuse_version(self, header: Header) -> NoReturn:
        raise NewerVersion(
            f"schema version {header.version}, this code knows {self.form.version}: update the "
            "code",
            limit=self.form.version,
            found=header.version,
            stage="envelope",
        )

    def _refuse_size(self, data: bytes, stage: Stage) -> NoReturn:
        raise TooLarge(
            f"{len(data)} bytes, max_bytes is {self.form.max_bytes}",
            limit=self.form.max_bytes,
            found=len(data),
            stage=stage,
        )

    def _refuse_depth(self, stage: Stage) -> NoReturn:
        raise TooDeep(
            f"nested deeper than max_depth={self.form.max_depth}, or part of itself",
            limit=self.form.max_depth,
            stage=stage,
        )


def _is_anything(_: bytes) -> bool:
    """What a cipher without an envelope and without a look of its own recognises."""
    return True


_NO_HEADER = Header()
"""Of a value whose header is the constant one: today's version, no times, not compressed."""


# ----------------------------------------------------------------------------- the quick way


def _quick_way(codec: ValueCodec[V], form: Form) -> Callable[[V], bytes | None]:
    """How the usual small value is encoded and checked, at little more than the encoder's cost.

    Returns None, or raises what it likes, for a value that has to take the long way.
    """
    encode, decode = codec.quick, codec.decode
    if encode is None or codec.nests:
        return no_quick_way
    if codec.exact or (not form.validate and codec.risk == "none"):
        return encode
    if not form.validate and codec.risk == "null":
        return lambda value: None if b"null" in (data := encode(value)) else data
    compares_types = codec.compares_types

    def encode_checked(value: V) -> bytes | None:
        data = encode(value)
        back = decode(data)
        if back == value and (compares_types or type(back) is type(value)):
            return data
        return None

    return encode_checked


def no_quick_way(_: object) -> None:
    """For values that always have to take the long way."""
    return


def _doubtful(codec: ValueCodec[Any], data: bytes) -> bool:
    """Whether a value that a type checker has passed may have become another one."""
    if codec.risk == "null":
        return b"null" in data  # all that NaN and infinity can become in JSON
    return codec.risk == "any"


def _unsupported(error: TypeError) -> str:
    # msgspec: "Encoding objects of type complex is unsupported"; names a type, never a value.
    text = str(error)
    return text if text.startswith("Encoding objects of type ") else "not a value of the type"


def is_over(header: Header, now: float) -> bool:
    """Say whether the lifetime in a header is over."""
    return header.expires_ms is not None and now * 1000 >= header.expires_ms


def as_bytes(data: Any) -> bytes:
    """What a KV returned, as bytes. Raises DecodeError for anything that is not bytes-like."""
    if type(data) is bytes:
        return data
    try:
        return bytes(memoryview(data))
    except TypeError:
        pass
    raise DecodeError(
        f"the KV returned {type(data).__name__}, not bytes: a client that decodes its values "
        "cannot be used (redis: decode_responses=False)",
        stage="store",
    )
