"""The outer half of the way: between an encoding and the stored bytes.

Out: compress, encrypt, envelope. In: size, envelope, decrypt, age, decompress. What is inside is
only bytes here; encoding.py makes them and understands them.
"""

from __future__ import annotations

import math
from copy import copy
from typing import Any, NoReturn

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.errors import (
    ConfigError,
    DecodeError,
    Expired,
    KeyNameError,
    NotEncrypted,
    Stage,
    Tampered,
    TooLarge,
)
from kvcodec.format.derived import is_derived
from kvcodec.format.envelope import (
    MAGIC,
    Header,
    Kind,
    MalformedEnvelope,
    checksum_field,
    envelope_start,
    length_prefixed,
    open_envelope,
    place_of,
)
from kvcodec.format.own import is_own
from kvcodec.keyspace.foreign import refuse_foreign, refuse_unstorable
from kvcodec.keyspace.form import Form
from kvcodec.keyspace.unlike import unlike
from kvcodec.keyspace.versions import check_version
from kvcodec.protocols import StoredNames, offers
from kvcodec.secrets.abilities import AppendingCipher

__all__ = ["NO_TTL", "Payload", "Wrapping", "as_bytes", "in_ms", "length_in_ms"]

_CLOCK_SKEW_MS = 60_000
"""That the clocks of a writer and a reader may differ by: Fernet's own allowance, in its
reference implementation (https://github.com/fernet/spec)."""

NO_TTL = "a ttl needs a keyspace that declares ttl=, which a single value may differ from"


class Payload(Struct, frozen=True):
    """What an opened envelope held: the encoded value, and what the header said of it."""

    header: Header
    encoded: bytes
    name: str = ""
    """The whole name of its key, where that is stored with the value."""


class Wrapping:
    """One declaration's envelopes around what is of one kind.

    ``codec``: the name of the format inside them; ``first``: what its first byte can be.
    """

    __slots__ = (
        "_alike",
        "_bare",
        "_constant",
        "_dated",
        "_first",
        "_onto",
        "_plain",
        "_start",
        "_todays",
        "form",
        "is_any",
        "is_any_inside",
        "place",
    )

    def __init__(
        self, form: Form, codec: str, first: frozenset[int] | None, kind: Kind = "value"
    ) -> None:
        self.form: Form = form
        self._plain, self._bare = form.is_plain, form.bare
        self._first = first
        self._alike: Header | None = None
        """The last header that was like the declaration's: most are the very same."""
        self.is_any: bool = kind == "value" and codec == "raw" and not form.is_enveloped_always
        """Whether values are stored as they are, and may be any bytes but other declarations'."""
        loose = form.cipher is None and not form.checksum and form.is_enveloped_always
        self.is_any_inside: bool = kind == "value" and codec == "raw" and loose
        """Whether they may be any bytes in an envelope that does not tell what kind they are of."""
        self._onto = form.cipher.encrypt_onto if offers(form.cipher, AppendingCipher) else None
        self.place: bytes = place_of(kind, form.keyspace, form.context, codec)
        """What associated data begins with."""
        # Where every header is the same (the primary key, no times): its bytes, and what they
        # and the place begin the associated data with.
        self._todays = self._header(0, None)
        self._dated = form.dated
        varies = form.dated or form.checksum or form.compression is not None
        constant = not (self._plain or self._bare or varies)
        self._start = envelope_start(self._todays.encode()) if constant else b""
        self._constant = self.place + length_prefixed(self._start[3:])

    def bound_to(self, form: Form, codec: str) -> Wrapping:
        """The same of values, in a form that differs in its context alone: in a microsecond."""
        other = copy(self)
        other.form = form
        other.place = place_of("value", form.keyspace, form.context, codec)
        other._constant = other.place + length_prefixed(other._start[3:])
        return other

    # -------------------------------------------------------------------------------- out

    def wrap(
        self, raw_key: str, encoded: bytes, now: float, ttl: float | None = None, *, name: str = ""
    ) -> bytes:
        """Compress, encrypt and envelope an encoded value. Raises TooLarge, ConfigError.

        ``name``: the whole name of the key, where the raw key does not tell it.
        """
        form = self.form
        if self.is_any_inside and is_own(encoded):
            refuse_unstorable(encoded)
        if form.names is not None:
            encoded = self.named(raw_key, name) + encoded
        if ttl is not None and form.ttl is None:
            raise ConfigError(NO_TTL)
        if self._plain and self.is_any:
            refuse_unstorable(encoded)
        data = encoded if self._plain else self._enveloped(raw_key, encoded, now, ttl)
        if len(data) > form.max_bytes:
            self.refuse_size(data, "encode")
        return data

    def _enveloped(self, raw_key: str, payload: bytes, now: float, ttl: float | None) -> bytes:
        if self._start:  # the constant header says that nothing is compressed
            return self._closed(raw_key, self._start, payload)
        return self.close(raw_key, self.header_for(now, ttl), payload)

    def close(self, raw_key: str, header: Header, payload: bytes) -> bytes:
        """Compress, encrypt and envelope under a header that says all but the compression."""
        payload, algorithm = self._compressed(payload)
        if algorithm != header.compression:
            header = replace(header, compression=algorithm)
        return self._closed(raw_key, envelope_start(header.encode()), payload)

    def _compressed(self, payload: bytes) -> tuple[bytes, int]:
        """The payload, smaller where it can be, and the number of the compression or 0."""
        form = self.form
        if form.compression is None:
            return payload, 0
        if len(payload) > form.max_bytes:
            self.refuse_size(payload, "encode")  # it could not be read back
        compressed = form.compression.compress(payload)
        if len(compressed) < len(payload):
            return compressed, form.compression.compression_id
        return payload, 0

    def _closed(self, raw_key: str, start: bytes, payload: bytes) -> bytes:
        """Encrypt and put the envelope around what is compressed already."""
        form, context = self.form, self._context(start, raw_key)
        if self._onto is not None:
            return self._onto(start, payload, context)
        if form.cipher is not None:
            payload = form.cipher.encrypt(payload, context)
        if self._bare is not None:
            return payload
        if form.checksum:
            start = envelope_start(start[3:] + checksum_field(context, payload))
        return start + payload

    def named(self, raw_key: str, name: str) -> bytes:
        """What stands in front of the encoding where raw keys do not tell their keys."""
        # What kvcodec derives from a name (a log's segments) is not listed and carries none.
        if not name and not is_derived(raw_key):
            raise KeyNameError("this value cannot be written by its raw key alone", stage="name")
        return length_prefixed(name.encode())

    def reseal(self, raw_key: str, data: bytes) -> bytes:
        """Return the same value under the cipher's primary key: version and times stay.

        Neither decompressed nor decoded. Raises what ``unwrap`` raises, but for age and version.
        """
        cipher = self.form.cipher
        if cipher is None:
            return data
        header, payload = self._authentic(raw_key, data)
        fresh = replace(header, cipher=cipher.cipher_id, key_id=cipher.key_id)
        return self._closed(raw_key, envelope_start(fresh.encode()), payload)

    def header_for(self, now: float, ttl: float | None) -> Header:
        """The header of a value that is written now; ``ttl`` in place of the declared one."""
        return self._header(now, ttl) if self._dated or ttl is not None else self._todays

    def _header(self, now: float, ttl: float | None) -> Header:
        form = self.form
        lifetime = form.ttl if ttl is None else ttl
        now_ms = in_ms(now)
        return Header(
            version=form.version,
            written_ms=now_ms if form.dated else None,
            expires_ms=None if lifetime is None else now_ms + length_in_ms(lifetime),
            cipher=0 if form.cipher is None else form.cipher.cipher_id,
            key_id=b"" if form.cipher is None else form.cipher.key_id,
            padding=form.padding,
        )

    def times(
        self, old: Header, now: float, ttl: float | None = None
    ) -> tuple[float, float | None]:
        """The moment and the lifetime, both in seconds, that give a value its times of before.

        A lifetime that it did not have begins now, and so does ``ttl``, in place of its own.
        """
        written, expires = old.written_ms, old.expires_ms
        if written is None or (expires is None and self.form.ttl is not None):
            return now, ttl
        # In the middle of its millisecond, so that rounding down gives the very same one.
        moment = (written + 0.5) / 1000
        if ttl is not None:
            return moment, (in_ms(now) + length_in_ms(ttl) - written) / 1000
        keeps = expires is not None and self.form.ttl is not None
        return moment, (expires - written) / 1000 if expires is not None and keeps else None

    # --------------------------------------------------------------------------------- in

    def unwrap(self, raw_key: str, data: bytes, now: float | None) -> Payload:
        """Open the envelope and everything in it but the encoding.

        ``now``: in seconds since the epoch, or ANY_AGE. Raises NotEncrypted, UnknownKey, Tampered,
        NewerVersion, Expired, TooLarge, DecodeError.
        """
        if self._plain:
            self.check_size(data)
            if self.is_any:
                refuse_foreign(data, self.form.version)
            return Payload(self._todays, data)
        start = self._start
        if start and data.startswith(start):
            opened = self._decrypted(raw_key, start, data[len(start) :])
            return self._payload(raw_key, self._todays, opened)
        header, payload = self._authentic(raw_key, data)
        if self.is_any and header.version == 1:
            refuse_foreign(data, self.form.version)
        self._check_age(header, now)
        return self._unpacked(raw_key, header, payload)

    def unwrap_any(self, raw_key: str, data: bytes) -> Payload:
        """As ``unwrap``, whatever the age and the version: of what has a form of its own inside."""
        return self._unpacked(raw_key, *self._authentic(raw_key, data))

    def _authentic(self, raw_key: str, data: bytes) -> tuple[Header, bytes]:
        """The header and the decrypted payload of an envelope that is what it says."""
        header, fields, checksum, payload = self._take_apart(data)
        start = envelope_start(fields)
        if checksum and checksum != checksum_field(self._context(start, raw_key), payload)[1:]:
            raise Tampered(
                "the checksum does not match: the bytes were changed, or copied from another key",
                stage="envelope",
            )
        return header, self._decrypted(raw_key, start, payload, header.key_id)

    def _unpacked(self, raw_key: str, header: Header, payload: bytes) -> Payload:
        if header.compression and self.form.compression is not None:
            payload = self.form.compression.decompress(payload, self.form.max_bytes)
        return self._payload(raw_key, header, payload)

    def _payload(self, raw_key: str, header: Header, payload: bytes) -> Payload:
        name = ""
        if self.form.names is not None:
            name, payload = self._without_name(self.form.names, raw_key, payload)
        if self.is_any_inside and is_own(payload):
            refuse_foreign(payload, header.version)
        return Payload(header, payload, name)

    def _without_name(self, names: StoredNames, raw_key: str, payload: bytes) -> tuple[str, bytes]:
        end = 4 + int.from_bytes(payload[:4])
        if len(payload) < end:
            raise DecodeError(
                "damaged: the name that is stored with the value is cut short", stage="decode"
            )
        name = payload[4:end].decode(errors="replace")
        derived = is_derived(raw_key) and name == ""
        if derived or names.raw_key_of(name) == raw_key:
            return name, payload[end:]
        raise Tampered("this is the value of another key, which was copied here", stage="decode")

    def _decrypted(
        self, raw_key: str, start: bytes, payload: bytes, key_id: bytes | None = None
    ) -> bytes:
        cipher = self.form.cipher
        if cipher is None:
            return payload
        context = self._context(start, raw_key)
        return cipher.decrypt(payload, context, cipher.key_id if key_id is None else key_id)

    def _context(self, start: bytes, raw_key: str) -> bytes:
        """What a payload is tied to: keyspace, codec, header fields, raw key."""
        name = raw_key.encode()
        last = len(name).to_bytes(4) + name
        if start is self._start:
            return self._constant + last
        return self.place + length_prefixed(start[3:]) + last

    def _take_apart(self, data: bytes) -> tuple[Header, bytes, bytes, bytes]:
        self.check_size(data)
        if self._plain or self._bare is not None:
            return self._todays, b"", b"", data
        if data[:1] != bytes((MAGIC,)) and not self.form.is_enveloped_always:
            return Header(), b"", b"", data  # plain, from before versions were introduced
        try:
            opened = open_envelope(data)
            if opened[0] is self._alike and not opened[2]:
                return opened
            problem = unlike(self.form, opened[0], opened[2])
            if problem is None:
                self._alike = None if opened[2] else opened[0]
                return opened
            problem += "; see previous="
        except MalformedEnvelope as error:
            problem = str(error)
        if self.form.cipher is None:
            raise DecodeError(f"stored otherwise: {problem}", stage="envelope")
        if data[:1] != bytes((MAGIC,)):
            raise NotEncrypted(
                "plaintext where cipher= asks for a sealed value: older ones need "
                "previous=[Previous(..., until=...)]",
                stage="envelope",
            )
        raise Tampered(f"sealed otherwise, or changed: {problem}", stage="envelope")

    # ------------------------------------------------------------------------------- looks

    def header(self, data: bytes) -> Header:
        """What the header of stored bytes says; nothing is decrypted or believed.

        Raises NotEncrypted, Tampered or DecodeError for bytes of another form.
        """
        return self._take_apart(data)[0]

    def key_ids(self, data: bytes) -> tuple[str, ...]:
        """The ids of the keys that stored bytes are sealed under.

        By the header: nothing is decrypted, but for bare tokens, which have none.
        """
        if self._bare is not None:
            return (self._bare.key_id_of(data).hex(),)
        key_id = self.header(data).key_id
        return (key_id.hex(),) if key_id else ()

    def ends_at(self, data: bytes) -> float | None:
        """When a value is over by what its header says, in seconds since the epoch; None: never."""
        header, ends = self.header(data), list[int]()
        if header.expires_ms is not None:
            ends.append(header.expires_ms)
        if header.written_ms is not None and self.form.max_age is not None:
            ends.append(header.written_ms + length_in_ms(self.form.max_age))
        return min(ends) / 1000 if ends else None

    def time_left(self, data: bytes, now: float) -> float | None:
        """How many seconds stored bytes still live; None for ever."""
        expires = self.header(data).expires_ms
        return None if expires is None else max(expires / 1000 - now, 0.001)

    def recognises(self, data: bytes) -> bool:
        """Say by the first bytes, exactly, whether stored bytes are of the declared form."""
        if not data:
            return True  # of no form: today's says what is wrong
        if self._bare is not None:
            return self._bare.recognises(data)
        if data[:1] != bytes((MAGIC,)) or self._plain:
            first = self._first
            return not self.form.is_enveloped_always and (first is None or data[0] in first)
        try:
            opened = open_envelope(data)
        except MalformedEnvelope:
            return True  # an envelope, and a broken one
        return unlike(self.form, opened[0], opened[2]) is None

    def would_take(self, other: Wrapping) -> bool:
        """Say whether the envelopes of another declaration look like this one's."""
        checksum = bytes(5) if other.form.checksum else b""
        header = other.header_for(0, None)
        return not self.form.is_plain and unlike(self.form, header, checksum) is None

    # --------------------------------------------------------------------------------- age

    def _check_age(self, header: Header, now: float | None) -> None:
        form = self.form
        check_version(header.version, form.version)
        if header.version < form.oldest:
            raise DecodeError(
                f"schema version {header.version}, below oldest={form.oldest}: lower oldest=, "
                "migrate() everything, and raise it again",
                stage="envelope",
            )
        if now is None:
            return
        if _is_over(header, now):
            raise Expired("its lifetime is over", stage="envelope")
        if self._is_too_old(header, now):
            raise Expired(f"older than max_age={form.max_age:g} s", stage="envelope")
        if self._is_ahead(header, now):
            raise Expired("written in the future: its max_age= cannot be told", stage="envelope")

    def _is_too_old(self, header: Header, now: float) -> bool:
        if self.form.max_age is None or header.written_ms is None:
            return False
        return in_ms(now) - header.written_ms >= length_in_ms(self.form.max_age)

    def _is_ahead(self, header: Header, now: float) -> bool:
        if self.form.max_age is None or header.written_ms is None:
            return False
        return header.written_ms - in_ms(now) > _CLOCK_SKEW_MS

    def is_ahead(self, data: bytes, now: float) -> bool:
        """Say by the header alone whether a value is refused for being from the future."""
        try:
            return self._is_ahead(open_envelope(data)[0], now)
        except MalformedEnvelope:
            return False

    def is_over(self, raw_key: str, data: bytes, now: float) -> bool:
        """Say whether a part's lifetime is over. What cannot be opened has not expired."""
        if not self.may_be_expired(data, now):
            return False
        try:
            self.unwrap(raw_key, data, now)
        except Expired:
            return True
        except DecodeError:
            pass
        return False

    def may_be_expired(self, data: bytes, now: float) -> bool:
        """Say by the header alone, at little cost, whether a look at the whole may find so."""
        if not self.form.dated:
            return False
        try:
            header = open_envelope(data)[0]
            too_old = self._is_too_old(header, now)
            return _is_over(header, now) or too_old or self._is_ahead(header, now)
        except MalformedEnvelope:
            return False

    # -------------------------------------------------------------------------------- size

    def check_size(self, data: bytes) -> None:
        """Raise TooLarge for stored bytes over ``max_bytes``."""
        if len(data) > self.form.max_bytes:
            self.refuse_size(data, "envelope")

    def refuse_size(self, data: bytes, stage: Stage) -> NoReturn:
        """Raise TooLarge."""
        raise TooLarge(
            f"{len(data)} bytes, and max_bytes is {self.form.max_bytes}: declare a higher one, "
            "split the value, or use Files for large bytes",
            limit=self.form.max_bytes,
            found=len(data),
            stage=stage,
        )


def in_ms(now: float) -> int:
    """A moment in the milliseconds that are stored, rounded down."""
    return math.floor(now * 1000)


def length_in_ms(seconds: float) -> int:
    """A length of time in the milliseconds that are stored: at least one."""
    return max(1, round(seconds * 1000))


def _is_over(header: Header, now: float) -> bool:
    """Say whether the lifetime in a header is over."""
    return header.expires_ms is not None and in_ms(now) >= header.expires_ms


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
