"""The heart: a declaration of what is stored, and the whole way between a value and its bytes.

No I/O and no clock: a store (floor 3) moves the bytes and says what time it is. Everything that
decides the format of a stored value is here, in one order: encode, encrypt, envelope; and back:
size, envelope, decrypt, expiry, depth, decode.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypedDict, overload

from typing_extensions import TypeForm, TypeVar, Unpack

from kvcodec.codecs import UNNESTED_BYTES, ValueCodec, codec_for, nests_deeper, reason, same
from kvcodec.envelope import (
    MAGIC,
    Header,
    MalformedEnvelope,
    associated_data,
    checksum_field,
    envelope_start,
    open_envelope,
)
from kvcodec.errors import (
    ConfigError,
    DecodeError,
    EncodeError,
    Expired,
    KeyNameError,
    KVCodecError,
    NotEncrypted,
    SchemaMismatch,
    Stage,
    Tampered,
    TooDeep,
    TooLarge,
    settle,
)
from kvcodec.keys import PathKeys

if TYPE_CHECKING:
    from kvcodec.crypto import KeyRing
    from kvcodec.protocols import Cipher, Codec, KeyScheme

__all__ = ["Keyspace"]

V = TypeVar("V")
K = TypeVar("K", default=str)

MAX_BYTES = 4 * 1024 * 1024
"""Of one stored value, by default. Decoding can take 70 times the bytes in memory (a list of
empty lists), so that this bounds one read to about 300 MiB."""

MAX_DEPTH = 64
"""Of one value, by default: far above what people declare, far below what a stack holds."""

_NO_TTL = "a ttl needs a keyspace that declares ttl=: a lifetime is part of the format"

_MAX_TTL = timedelta.max.total_seconds()
"""About 2.7 million years: the milliseconds of the time of expiry fit into their 8 bytes."""

_NAMES_KEPT = 1024
"""Raw keys that a keyspace remembers: of the keys in use now, not of all that ever were."""


class _Options(TypedDict, total=False):
    encoding: str | Codec[Any]
    cipher: KeyRing | Cipher | None
    ttl: timedelta | float | None
    checksum: bool
    validate: bool
    max_bytes: int
    max_depth: int


class Keyspace(Generic[V, K]):
    """A declaration: what is stored, under which names, in which form.

    Made once, at module level; opened on a KV by ``Store``, ``Value`` and their async twins.
    All options are checked here, so that opening costs next to nothing.

    - ``name``: begins every raw key, and is part of what a sealed value is tied to.
    - ``value``: the type of the values: any type msgspec supports, a pydantic model, or
      ``bytes`` and ``str``, which are stored as they are.
    - ``key``: the type of the keys: str (default), int, UUID, date, an Enum, or a tuple,
      NamedTuple or Struct of them; None for a keyspace of one value.
    - ``keys``: another key scheme than ``PathKeys``, for names already in use.
    - ``encoding``: ``"json"`` (default), ``"msgpack"``, or any Codec.
    - ``cipher``: a KeyRing (Fernet) or a Cipher: values are sealed, plaintext is refused.
    - ``ttl``: how long a value lives after ``set``: a timedelta, or seconds.
    - ``checksum``: finds accidental changes and moves of values that are not sealed (CRC-32).
    - ``validate``: read back what ``set`` encoded before storing it; False for code that a
      type checker already guards (what no type checker can see is still refused).
    - ``max_bytes``: of one stored value, both ways.
    - ``max_depth``: how deep a value may nest, both ways.

    Raises ConfigError if an option cannot work, when it is declared and never later.
    """

    __slots__ = (
        "__weakref__",
        "_codec",
        "_decode",
        "_direct",
        "_encode",
        "_envelope",
        "_names",
        "_quick",
        "_scheme",
        "_small",
        "_unchecked",
        "max_bytes",
        "max_depth",
        "name",
        "ttl",
        "validate",
    )

    _direct: int
    _envelope: _Envelope | None
    name: str
    ttl: float | None
    """The lifetime of a value in seconds."""
    validate: bool
    max_bytes: int
    max_depth: int

    # A keyspace of one value: key=None.
    @overload
    def __new__(
        cls,
        name: str,
        value: type[V],
        *,
        key: None,
        keys: KeyScheme[None] | None = None,
        **options: Unpack[_Options],
    ) -> Keyspace[V, None]: ...
    @overload
    def __new__(
        cls,
        name: str,
        value: TypeForm[V],
        *,
        key: None,
        keys: KeyScheme[None] | None = None,
        **options: Unpack[_Options],
    ) -> Keyspace[V, None]: ...
    # Any other: type[V] first, since mypy up to 1.18 infers None from TypeForm alone.
    @overload
    def __new__(
        cls,
        name: str,
        value: type[V],
        *,
        key: type[K] = ...,
        keys: KeyScheme[K] | None = None,
        **options: Unpack[_Options],
    ) -> Keyspace[V, K]: ...
    @overload
    def __new__(
        cls,
        name: str,
        value: TypeForm[V],
        *,
        key: type[K] = ...,
        keys: KeyScheme[K] | None = None,
        **options: Unpack[_Options],
    ) -> Keyspace[V, K]: ...
    def __new__(
        cls,
        name: str,
        value: Any,
        *,
        key: Any = str,
        keys: Any = None,
        encoding: str | Codec[Any] = "json",
        cipher: KeyRing | Cipher | None = None,
        ttl: timedelta | float | None = None,
        checksum: bool = False,
        validate: bool = True,
        max_bytes: int = MAX_BYTES,
        max_depth: int = MAX_DEPTH,
    ) -> Any:
        self = super().__new__(cls)
        self.name = name
        self.validate = validate
        self.max_bytes = _positive(max_bytes, "max_bytes")
        self.max_depth = _positive(max_depth, "max_depth")
        try:
            self.ttl = seconds(ttl)
            self._bind(_scheme(name, key, keys))
            self._compile(codec_for(value, encoding))
            self._envelope = _envelope(name, self._codec.name, self.ttl, cipher, checksum=checksum)
            # Up to how many bytes a stored value is its encoding and nothing else; -1 for none.
            self._direct = self._small if self._envelope is None else -1
        except KVCodecError as error:
            error.keyspace = shown_name(name)
            raise
        return self

    def _bind(self, scheme: KeyScheme[K]) -> None:
        self._scheme = scheme
        # Remembering raw keys is sound only where equal keys are the same key: 1 == True.
        plain = getattr(scheme, "plain", False)
        self._names = _Names(self._join) if plain else _Built(self._join)

    def _compile(self, codec: ValueCodec[V]) -> None:
        self._codec = codec
        self._encode, self._decode = codec.encode, codec.decode
        self._unchecked = codec.exact or (not self.validate and codec.risk == "none")
        nested = self.max_depth if codec.nests else UNNESTED_BYTES
        # The largest encoding that needs no look at its depth before it is decoded.
        self._small = min(self.max_bytes, nested if codec.too_deep else self.max_bytes)
        self._quick = _quick_way(codec, unchecked=self._unchecked)

    def __repr__(self) -> str:
        return f"<Keyspace {self.name!r}>"

    # ------------------------------------------------------------------------------- names

    def raw_key(self, key: K) -> str:
        """Return the name under which the value of ``key`` is stored.

        Raises KeyNameError if the key has another type than declared, or an empty part.
        """
        return self._names[key]

    def key(self, raw_key: str) -> K:
        """Return the key whose raw key this is.

        Raises KeyNameError if the raw key belongs to no key of this keyspace.
        """
        try:
            return self._scheme.split(raw_key)
        except KVCodecError as error:
            settle(error, self.name, raw_key)
            raise

    def _join(self, key: K) -> str:
        try:
            return self._scheme.join(key)
        except KVCodecError as error:
            settle(error, self.name, shown_key(key))
            raise

    @property
    def prefix(self) -> str:
        """What every raw key starts with."""
        return self._scheme.prefix

    # ------------------------------------------------------------------------------ values

    def pack(
        self, key: K, value: V, *, now: float, ttl: timedelta | float | None = None
    ) -> tuple[str, bytes]:
        """Return the raw key and the stored bytes of a value.

        ``now`` in seconds since the epoch; ``ttl`` in place of the keyspace's own lifetime.
        Raises KeyNameError; EncodeError, SchemaMismatch, TooDeep or TooLarge for a value that
        would not come back equal; ConfigError for a ttl where the keyspace declares none.
        """
        raw_key: Any = None
        try:
            raw_key = self._names[key]
            return raw_key, self._seal(raw_key, value, now, ttl)
        except BaseException as error:
            del value
            settle(error, self.name, raw_key)
            raise

    def unpack(self, raw_key: str, data: bytes, *, now: float) -> V:
        """Return the value of stored bytes.

        ``now`` in seconds since the epoch. Raises a DecodeError: TooLarge, NotEncrypted,
        UnknownKey, Tampered, Expired, TooDeep, SchemaMismatch.
        """
        try:
            return self._open(raw_key, data, now)
        except BaseException as error:
            del data
            settle(error, self.name, raw_key)
            raise

    def _seal(
        self, raw_key: str, value: V, now: float, ttl: timedelta | float | None = None
    ) -> bytes:
        data = self._checked(value)
        if self._envelope is not None:
            data = self._envelope.seal(raw_key, data, now, seconds(ttl))
        elif ttl is not None:
            raise ConfigError(_NO_TTL)
        if len(data) > self.max_bytes:
            self._refuse_size(data, "encode")
        return data

    def _is_expired(self, raw_key: str, data: bytes, now: float) -> bool:
        """Say whether ``get`` would find that the value's lifetime is over.

        A header alone is not believed: what is of another form, damaged or moved cannot be read,
        and what cannot be read has not expired.
        """
        if self._envelope is None or not self._envelope.may_be_expired(as_bytes(data), now):
            return False
        try:
            self._open(raw_key, data, now)
        except Expired:
            return True
        except KVCodecError:
            pass
        return False

    def _open(self, raw_key: str, data: bytes, now: float) -> V:
        data = as_bytes(data)
        if len(data) > self.max_bytes:
            self._refuse_size(data, "envelope")
        if self._envelope is not None:
            data = self._envelope.open(raw_key, data, now)
        return self._read(data)

    # --------------------------------------------------------------------- encode and decode

    def _checked(self, value: V) -> bytes:
        """Encode, and make sure that what was encoded would be read back as it is."""
        codec = self._codec
        try:
            data = self._quick(value)
        except Exception:  # noqa: BLE001 - the long way below says what is wrong
            data = None
        if data is not None and len(data) <= self._small:
            return data
        if codec.nests and nests_deeper(value, self.max_depth):
            self._refuse_depth("encode")
        data = self._encoded(value)
        if codec.too_deep is not None and codec.too_deep(data, self.max_depth):
            self._refuse_depth("encode")
        if not self._unchecked and self._doubtful(data):
            self._compare(value, data)
        return data

    def _doubtful(self, data: bytes) -> bool:
        if self.validate or self._codec.risk == "any":
            return True
        return b"null" in data  # all that NaN and infinity can become in JSON

    def _encoded(self, value: V) -> bytes:
        try:
            return self._encode(value)
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
            back = self._decode(data)
        except Exception as error:  # noqa: BLE001 - as above
            why = reason(error)
        else:
            if type(back) is type(value) and same(back, value):
                return
            why = f"a {type(value).__name__} would come back different as {type(back).__name__}"
        raise SchemaMismatch(why, stage="validate")

    def _read(self, data: bytes) -> V:
        codec = self._codec
        if (
            codec.too_deep is not None
            and len(data) > self._small
            and codec.too_deep(data, self.max_depth)
        ):
            self._refuse_depth("decode")
        try:
            return self._decode(data)
        except Exception as error:  # noqa: BLE001 - as above
            kind = type(error)
            why = reason(error)
        if issubclass(kind, RecursionError):
            self._refuse_depth("decode")
        if kind.__name__ == "ValidationError":  # msgspec's, or pydantic's
            raise SchemaMismatch(why, stage="validate")
        raise DecodeError(why, stage="decode")

    def _refuse_size(self, data: bytes, stage: Stage) -> NoReturn:
        raise TooLarge(
            f"{len(data)} bytes, max_bytes is {self.max_bytes}",
            limit=self.max_bytes,
            found=len(data),
            stage=stage,
        )

    def _refuse_depth(self, stage: Stage) -> NoReturn:
        raise TooDeep(
            f"nested deeper than max_depth={self.max_depth}, or part of itself",
            limit=self.max_depth,
            stage=stage,
        )


class _Envelope:
    """The steps around a payload: lifetime, cipher, checksum."""

    __slots__ = ("_checksum", "_cipher", "_constant", "_place", "_start", "_ttl")

    def __init__(
        self,
        keyspace: str,
        codec_name: str,
        ttl: float | None,
        cipher: Cipher | None,
        *,
        checksum: bool,
    ) -> None:
        self._place = associated_data(keyspace.encode(), codec_name.encode())
        self._ttl = ttl
        self._cipher = cipher
        self._checksum = checksum
        # Where every header is the same (sealed under the primary key, no times): its bytes,
        # and what they and the place begin the associated data with.
        constant = ttl is None and not checksum
        self._start = envelope_start(self._header(0, None).encode()) if constant else b""
        self._constant = self._place + associated_data(self._start[3:])

    def seal(self, raw_key: str, payload: bytes, now: float, ttl: float | None) -> bytes:
        if ttl is not None and self._ttl is None:
            raise ConfigError(_NO_TTL)
        start = self._start or envelope_start(self._header(now, ttl).encode())
        context = self._context(start, raw_key)
        if self._cipher is not None:
            payload = self._cipher.encrypt(payload, context)
        if self._checksum:
            start = envelope_start(start[3:] + checksum_field(context, payload))
        return start + payload

    def open(self, raw_key: str, data: bytes, now: float) -> bytes:
        start = self._start
        if start and self._cipher is not None and data.startswith(start):
            context = self._context(start, raw_key)
            return self._cipher.decrypt(data[len(start) :], context, self._cipher.key_id)
        header, fields, checksum, payload = self._take_apart(data)
        context = self._context(envelope_start(fields), raw_key)
        if self._checksum and checksum != checksum_field(context, payload)[1:]:
            raise Tampered("the checksum does not match: changed or moved", stage="envelope")
        if self._cipher is not None:
            payload = self._cipher.decrypt(payload, context, header.key_id)
        if expired(header, now):
            raise Expired("its lifetime is over", stage="envelope")
        return payload

    def may_be_expired(self, data: bytes, now: float) -> bool:
        """Say by the header alone, at little cost, whether a look at the whole may find so."""
        try:
            return self._ttl is not None and expired(open_envelope(data)[0], now)
        except MalformedEnvelope:
            return False

    def _header(self, now: float, ttl: float | None) -> Header:
        lifetime = self._ttl if ttl is None else ttl
        return Header(
            written_ms=None if lifetime is None else math.floor(now * 1000),
            expires_ms=None if lifetime is None else math.floor((now + lifetime) * 1000),
            cipher=0 if self._cipher is None else self._cipher.cipher_id,
            key_id=b"" if self._cipher is None else self._cipher.key_id,
        )

    def _context(self, start: bytes, raw_key: str) -> bytes:
        """What a payload is tied to: keyspace, codec, header fields, raw key."""
        name = raw_key.encode()
        last = len(name).to_bytes(4) + name
        if start == self._start:
            return self._constant + last
        return self._place + associated_data(start[3:]) + last

    def _take_apart(self, data: bytes) -> tuple[Header, bytes, bytes, bytes]:
        try:
            opened = open_envelope(data)
            problem = self._unlike(opened[0], opened[2])
            if problem is None:
                return opened
        except MalformedEnvelope as error:
            problem = str(error)
        if self._cipher is None:
            raise DecodeError(f"not stored as declared: {problem}", stage="envelope")
        if data[:1] != bytes((MAGIC,)):
            raise NotEncrypted(
                "plaintext or nothing where a sealed value belongs", stage="envelope"
            )
        raise Tampered(f"not sealed as declared: {problem}", stage="envelope")

    def _unlike(self, header: Header, checksum: bytes) -> str | None:
        """How a header differs from what the declaration writes (law 4), or None."""
        if header.cipher != (0 if self._cipher is None else self._cipher.cipher_id):
            return f"cipher {header.cipher}"
        if (header.expires_ms is None) != (self._ttl is None):
            return "no lifetime" if header.expires_ms is None else "a lifetime"
        if (header.written_ms is None) != (self._ttl is None):
            return "no time of writing" if header.written_ms is None else "a time of writing"
        if bool(header.key_id) != (self._cipher is not None):
            return "no key id" if self._cipher else "a key id"
        if bool(checksum) != self._checksum:
            return "no checksum" if self._checksum else "a checksum"
        if header.compression or header.version != 1:
            return "another form"
        return None


class _Names(dict[Any, str]):
    """Raw keys by key, built when first asked for: looking one up is faster than building it."""

    __slots__ = ("_join",)

    def __init__(self, join: Callable[[Any], str]) -> None:
        super().__init__()
        self._join = join

    def __missing__(self, key: Any) -> str:
        raw_key = self._join(key)
        if len(self) >= _NAMES_KEPT:
            self.clear()
        self[key] = raw_key
        return raw_key


class _Built:
    """Raw keys by key, built each time: for keys that cannot be remembered, or not be hashed."""

    __slots__ = ("_join",)

    def __init__(self, join: Callable[[Any], str]) -> None:
        self._join = join

    def __getitem__(self, key: Any) -> str:
        return self._join(key)


def _quick_way(codec: ValueCodec[V], *, unchecked: bool) -> Callable[[V], bytes | None]:
    """How the usual small value is encoded and checked, at little more than the encoder's cost.

    Returns None, or raises what it likes, for a value that has to take the long way.
    """
    encode, decode = codec.quick, codec.decode
    if encode is None or codec.nests:
        return no_quick_way
    if unchecked:
        return encode
    if codec.compares_types:
        return lambda value: data if decode(data := encode(value)) == value else None

    def encode_checked(value: V) -> bytes | None:
        data = encode(value)
        back = decode(data)
        return data if back == value and type(back) is type(value) else None

    return encode_checked


def no_quick_way(_: object) -> None:
    """For values that always have to take the long way."""
    return


# ------------------------------------------------------------------------------------ options


def _scheme(name: Any, key: Any, keys: Any) -> Any:
    if not isinstance(name, str) or name == "":
        raise ConfigError("a keyspace needs a name: a str that is not empty")
    scheme = PathKeys() if keys is None else keys
    try:
        return scheme.bind(name, key) if hasattr(scheme, "bind") else scheme
    except KeyNameError as error:
        problem = str(error)
    raise ConfigError(f"the name cannot begin a raw key: {problem}")


def _envelope(
    name: str,
    codec_name: str,
    ttl: float | None,
    cipher: KeyRing | Cipher | None,
    *,
    checksum: bool,
) -> _Envelope | None:
    if ttl is None and cipher is None and not checksum:
        return None
    if cipher is None:
        return _Envelope(name, codec_name, ttl, None, checksum=checksum)
    if checksum:
        raise ConfigError("checksum= adds nothing to a sealed value: it is authenticated already")
    from kvcodec.crypto import as_cipher  # cryptography is imported by who encrypts

    return _Envelope(name, codec_name, ttl, as_cipher(cipher), checksum=False)


def _positive(number: Any, option: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ConfigError(f"{option} must be an integer of at least 1")
    return number


def seconds(ttl: timedelta | float | None) -> float | None:
    """A lifetime in seconds. Raises ConfigError unless it is longer than nothing and fits."""
    if ttl is None:
        return None
    length: object = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if (
        isinstance(length, bool)
        or not isinstance(length, int | float)
        or not 0 < length <= _MAX_TTL
    ):
        raise ConfigError("a ttl is a timedelta, or a number of seconds above 0 and below 10**14")
    return float(length)


def expired(header: Header, now: float) -> bool:
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


def _unsupported(error: TypeError) -> str:
    # msgspec: "Encoding objects of type complex is unsupported"; names a type, never a value.
    text = str(error)
    return text if text.startswith("Encoding objects of type ") else "not a value of the type"


def shown_key(key: object) -> str:
    """A key that has no raw key, for a message."""
    return key if isinstance(key, str) else repr(key)


def shown_name(name: object) -> str:
    """The name of a keyspace that could not be declared, for a message."""
    return name if isinstance(name, str) else repr(name)
