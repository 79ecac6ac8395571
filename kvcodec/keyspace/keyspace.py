"""The heart: a declaration of what is stored, and the whole way between a value and its bytes.

No I/O and no clock: a store (floor 3) moves the bytes and says what time it is. The declaration
is checked here, once, and compiled into a key scheme (keys.py) and a pipeline (pipeline.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypedDict, cast, overload

from msgspec.structs import replace
from typing_extensions import TypeForm, TypeVar, Unpack

from kvcodec.codecs.codec import ValueCodec
from kvcodec.codecs.evolve import checked_upgrades
from kvcodec.codecs.same import same
from kvcodec.codecs.values import codec_for
from kvcodec.errors import (
    ConfigError,
    DecodeError,
    EncodeError,
    Expired,
    KeyNameError,
    KVCodecError,
    NewerVersion,
    settle,
)
from kvcodec.format.plain import is_tuple
from kvcodec.keys.paths import PathKeys
from kvcodec.keyspace.pipeline import Form, Pipeline, as_bytes
from kvcodec.protocols import StoredNames

if TYPE_CHECKING:
    from kvcodec.format.compression import Compression
    from kvcodec.format.envelope import Header
    from kvcodec.keys.hashed import HashedKeys, HiddenKeys
    from kvcodec.keyspace.explanation import Explanation
    from kvcodec.protocols import Cipher, Codec, KeyScheme
    from kvcodec.secrets.keyring import KeyRing

__all__ = ["Keyspace", "Place", "Previous"]

V = TypeVar("V")
K = TypeVar("K", default=str)

AnyScheme: TypeAlias = "PathKeys[Any] | HashedKeys[Any] | HiddenKeys[Any]"
"""The schemes that take the type of their keys from ``key=``, whatever type a checker gave them."""

MAX_BYTES = 4 * 1024 * 1024
"""Of one stored value, by default. Decoding can take 70 times the bytes in memory (a list of
empty lists), so that this bounds one read to about 300 MiB."""

MAX_DEPTH = 64
"""Of one value, by default: far above what people declare, far below what a stack holds."""

_DEEPEST = 256
"""That can be declared. Encoders and decoders recurse on the C stack: with 128 KiB of it (a thread
under musl), where Python's recursion limit was raised, 300 levels were measured to be stored and
read, and 400 to end the process."""

_MAX_TTL = timedelta.max.total_seconds()
"""About 2.7 million years: the milliseconds of the time of expiry fit into their 8 bytes."""

_NAMES_KEPT = 16_384
"""Raw keys that a keyspace remembers: of the keys in use now, not of all that ever were. About
2 MB where so many are in use."""


_LONGEST_KEPT = 256
"""Characters of a raw key that is remembered: longer ones, of URLs say, would fill the memory."""


class _Options(TypedDict, total=False):
    encoding: str | Codec[Any]
    cipher: KeyRing | Cipher | None
    ttl: timedelta | float | None
    max_age: timedelta | float | None
    compress: str | None
    compress_secrets: bool
    version: int
    upgrades: Mapping[int, Callable[[Any], Any]] | None
    previous: Iterable[Keyspace[Any, Any] | Previous]
    keep_unknown: bool
    indexed: bool
    checksum: bool
    validate: bool
    max_bytes: int
    max_depth: int


class Previous:
    """An older declaration whose values are still read, with what goes beyond naming it.

    - ``keyspace``: how the values were stored: encoding, cipher, key scheme, name.
    - ``convert``: makes today's value of an old one, where the type differs by more than its
      class. The result is checked as ``set`` checks.
    - ``until``: a datetime with a time zone, or seconds since the epoch, from which on old
      values are refused. An open window is what an attacker who can write would use.

    ``reads`` counts the values that were read in this form, in this process. Raises ConfigError
    for options that are none of these.
    """

    __slots__ = ("convert", "keyspace", "reads", "until")

    def __init__(
        self,
        keyspace: Keyspace[Any, Any],
        *,
        convert: Callable[[Any], Any] | None = None,
        until: datetime | float | None = None,
    ) -> None:
        if not isinstance(keyspace, Keyspace):
            raise ConfigError("previous= takes keyspaces, and Previous(...) of them")
        if convert is not None and not callable(convert):
            raise ConfigError("convert= is a function: today's value of an old one")
        self.keyspace = keyspace
        self.convert = convert
        self.until = _moment(until)
        self.reads = 0

    def is_open(self, now: float) -> bool:
        """Say whether old values are still accepted."""
        return self.until is None or now < self.until

    def __repr__(self) -> str:
        return f"Previous({self.keyspace!r})"


class Keyspace(Generic[V, K]):
    """A declaration: what is stored, under which names, in which form.

    Made once, at module level; opened on a KV by ``Store``, ``Value`` and their async twins.
    All options are checked here, so that opening costs next to nothing.

    - ``name``: begins every raw key, and is part of what a sealed value is tied to.
    - ``value``: the type of the values: any type msgspec supports, a pydantic model, or
      ``bytes`` and ``str``, which are stored as they are.
    - ``key``: the type of the keys: str (default), int, UUID, date, an Enum, or a tuple,
      NamedTuple or Struct of them; None for a keyspace of one value.
    - ``keys``: another key scheme than ``PathKeys``: ``TemplateKeys`` for names already in use,
      ``HashedKeys`` for long ones, ``HiddenKeys`` for names that must not tell.
    - ``encoding``: ``"json"`` (default), ``"msgpack"``, or any Codec.
    - ``cipher``: a KeyRing (Fernet) or a Cipher: values are sealed, plaintext is refused. Of a
      type with ``Secret`` fields, which needs one, these are sealed and the rest stays readable.
    - ``ttl``: how long a value lives after ``set``: a timedelta, or seconds.
    - ``max_age``: how old a value may be when it is read, whatever its ttl was.
    - ``compress``: ``"zlib"``, or ``"zstd"`` where it is to be had; kept only when smaller.
      Refused together with a cipher unless ``compress_secrets=True``: the length of what was
      compressed tells about its content.
    - ``version``, ``upgrades``: the version of the value's shape, and for each older version the
      function that takes its plain data to the next. Reads upgrade, the next set writes anew.
    - ``previous``: older declarations (or ``Previous``) whose values are still read, tried in
      order when what is stored is not of today's form or name.
    - ``keep_unknown``: fields that this code does not know survive its updates and sets.
    - ``indexed``: keep an index of the keys, so that ``keys``, ``items``, ``len``, ``clear`` and
      the maintenance work where the backend cannot list. A new key costs one more read and write.
    - ``checksum``: finds accidental changes and moves of values that are not sealed (CRC-32).
    - ``validate``: read back what ``set`` encoded before storing it; False for code that a
      type checker already guards (what no type checker can see is still refused).
    - ``max_bytes``: of one stored value, both ways.
    - ``max_depth``: how deep a value may nest, both ways; 256 at most.

    Raises ConfigError if an option cannot work, when it is declared and never later.
    """

    __slots__ = (
        "__weakref__",
        "_is_shared",
        "_names",
        "_naming",
        "_pipeline",
        "_previous",
        "_scheme",
        "indexed",
        "keep_unknown",
        "key_type",
        "name",
        "ttl",
        "value_type",
    )

    _is_shared: bool
    """Whether its names are those of other subjects too."""
    _pipeline: Pipeline[V]
    _previous: tuple[Previous, ...]
    name: str
    value_type: Any
    """The type of the values, as declared."""
    key_type: Any
    """The type of the keys, as declared; None for a keyspace of one value."""
    ttl: float | None
    """The lifetime of a value in seconds."""
    keep_unknown: bool
    indexed: bool

    # A keyspace of one value: key=None.
    @overload
    def __new__(
        cls,
        name: str,
        value: type[V],
        *,
        key: None,
        keys: KeyScheme[None] | AnyScheme | None = None,
        **options: Unpack[_Options],
    ) -> Keyspace[V, None]: ...
    @overload
    def __new__(
        cls,
        name: str,
        value: TypeForm[V],
        *,
        key: None,
        keys: KeyScheme[None] | AnyScheme | None = None,
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
        keys: KeyScheme[K] | AnyScheme | None = None,
        **options: Unpack[_Options],
    ) -> Keyspace[V, K]: ...
    @overload
    def __new__(
        cls,
        name: str,
        value: TypeForm[V],
        *,
        key: type[K] = ...,
        keys: KeyScheme[K] | AnyScheme | None = None,
        **options: Unpack[_Options],
    ) -> Keyspace[V, K]: ...
    def __new__(  # noqa: D102 - documented on its class, as an __init__ is (D107)
        cls,
        name: str,
        value: Any,
        *,
        key: Any = str,
        keys: Any = None,
        encoding: str | Codec[Any] = "json",
        cipher: KeyRing | Cipher | None = None,
        ttl: timedelta | float | None = None,
        max_age: timedelta | float | None = None,
        compress: str | None = None,
        compress_secrets: bool = False,
        version: int = 1,
        upgrades: Mapping[int, Callable[[Any], Any]] | None = None,
        previous: Iterable[Keyspace[Any, Any] | Previous] = (),
        keep_unknown: bool = False,
        indexed: bool = False,
        checksum: bool = False,
        validate: bool = True,
        max_bytes: int = MAX_BYTES,
        max_depth: int = MAX_DEPTH,
    ) -> Any:
        self = super().__new__(cls)
        self.name, self.value_type, self.key_type = name, value, key
        try:
            self._is_shared = False
            self.indexed = _flag(indexed, "indexed")
            self._bind(_scheme(name, key, keys))
            form = Form(
                keyspace=name,
                max_bytes=_positive(max_bytes, "max_bytes"),
                max_depth=_depth(max_depth),
                validate=_flag(validate, "validate"),
                version=_positive(version, "version"),
                upgrades=checked_upgrades(version, upgrades),
                ttl=seconds(ttl),
                max_age=seconds(max_age),
                compression=_compression(compress),
                cipher=_cipher(cipher),
                checksum=_flag(checksum, "checksum"),
                keep_unknown=_flag(keep_unknown, "keep_unknown"),
                naming=self._naming,
            )
            codec = codec_for(value, encoding)
            compress_secrets = _flag(compress_secrets, "compress_secrets")
            _check_together(form, codec, encoding, compress_secrets=compress_secrets)
            self.ttl = form.ttl
            self._pipeline = _pipeline(codec, form)
            self.keep_unknown = _keeps_unknown(self._pipeline, keep_unknown=keep_unknown)
            self._previous = _previous(self, previous)
        except KVCodecError as error:
            del cipher  # the text of a key, perhaps, in the place of its ring
            settle(error, shown_name(name), None)
            raise
        return self

    def _sealed_under(self, ring: KeyRing) -> Keyspace[V, K]:
        """The same declaration with another ring. Raises ConfigError where that cannot work."""
        old = self._pipeline
        under = getattr(old.cipher, "under", None)
        if under is None or old.form.bare or self.indexed:
            raise ConfigError(
                "a data key per person needs cipher=, bound to its place, and no indexed=: names "
                "are everybody's, so give the keys where a method wants to list",
                keyspace=self.name,
            )
        copy = cast("Keyspace[V, K]", object.__new__(Keyspace))
        for name in Keyspace.__slots__:
            if name != "__weakref__":
                setattr(copy, name, getattr(self, name))
        copy._pipeline = _pipeline(old.codec, replace(old.form, cipher=under(ring)))
        copy._is_shared = True
        return copy

    def _bind(self, scheme: KeyScheme[K]) -> None:
        self._scheme = scheme
        self._naming = scheme if isinstance(scheme, StoredNames) else None
        # Remembering raw keys is sound only where equal keys are the same key: 1 == True.
        plain = getattr(scheme, "plain", False)
        self._names = _Names(self._join) if plain else _Built(self._join)

    def __repr__(self) -> str:
        return f"<Keyspace {self.name!r}>"

    @property
    def version(self) -> int:
        """The version of the value's shape that ``set`` writes."""
        return self._pipeline.form.version

    @property
    def previous(self) -> tuple[Previous, ...]:
        """The older declarations whose values are still read."""
        return self._previous

    # ------------------------------------------------------------------------------- names

    def raw_key(self, key: K) -> str:
        """Return the name under which the value of ``key`` is stored.

        Raises KeyNameError if the key has another type than declared, or an empty part.
        """
        try:
            return self._names[key]
        except TypeError:
            pass  # it cannot be hashed: the scheme says that it is no key
        return self._join(key)

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
            hidden = hasattr(self._naming, "naming")  # whose keys no name may tell
            settle(error, self.name, None if hidden else shown_key(key))
            raise

    @property
    def prefix(self) -> str:
        """What every raw key starts with."""
        return self._scheme.prefix

    @property
    def _may_expire(self) -> bool:
        """Whether a value can have a lifetime: by today's form, or by an older one."""
        if self._pipeline.form.dated:
            return True
        return any(previous.keyspace._may_expire for previous in self._previous)

    @property
    def _elsewhere(self) -> tuple[Keyspace[Any, Any], ...]:
        """Older declarations that keep their values under other names."""
        older = (previous.keyspace for previous in self._previous)
        return tuple(old for old in older if _named_differently(self, old))

    def _owns(self, raw_key: str) -> bool:
        """Whether a name is of one of this keyspace's keys, or derived from one.

        What is in quarantine is not: it cannot be read under that name.
        """
        name, _, derived = raw_key.partition("!")
        return not derived.startswith("q") and self._is_name(name)

    def _is_name(self, raw_key: str) -> bool:
        """Whether text is, or has the form of, the raw key of one of this keyspace's keys."""
        if self._naming is not None:
            return self._naming.is_raw_key(raw_key)
        try:
            self._scheme.split(raw_key)
        except KeyNameError:
            return False
        return True

    def _key_in(self, raw_key: str, data: bytes, now: float) -> K:
        """The key that is stored with a value, where the raw key does not tell it.

        Raises what ``unpack`` raises.
        """
        if self._naming is None:
            return self.key(raw_key)
        if self._previous and not self._pipeline.recognises(data):
            for previous in self._previous:
                with suppress(DecodeError, KeyNameError):
                    key: K = previous.keyspace._key_in(raw_key, data, now)
                    return key
        try:
            named: K = self._naming.key(self._pipeline.unwrap(raw_key, data, now).name)
        except KVCodecError as error:
            del data
            settle(error, self.name, raw_key)
            raise
        return named

    def _whole_name(self, key: K) -> str:
        """What is stored in front of the value of ``key``, where its raw key does not tell it."""
        return "" if self._naming is None else self._naming.name(key)

    def _place(self, key: K) -> Place[V]:
        return Place(self, self.raw_key(key), self._older_names(key), self._whole_name(key))

    def _older_names(self, key: K) -> tuple[tuple[Previous, str], ...]:
        if not self._previous:
            return ()
        raw_key = self._names[key]
        older = ((previous, previous.keyspace._names[key]) for previous in self._previous)
        return tuple((previous, name) for previous, name in older if name != raw_key)

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
            raw_key = self.raw_key(key)
            return raw_key, self._seal(key, value, now, ttl)
        except BaseException as error:
            del value
            settle(error, self.name, raw_key)
            raise

    def unpack(self, raw_key: str, data: bytes, *, now: float) -> V:
        """Return the value of stored bytes.

        ``now`` in seconds since the epoch. Raises a DecodeError: TooLarge, NotEncrypted,
        UnknownKey, Tampered, NewerVersion, Expired, TooDeep, SchemaMismatch.
        """
        try:
            return self._open(raw_key, data, now)
        except BaseException as error:
            del data
            settle(error, self.name, raw_key)
            raise

    def explain(self, raw_key: str, data: bytes, *, show: bool = False) -> Explanation:
        """Return the steps of a stored value, as data and, with ``str()``, as text.

        For a look into a store: format, header fields, key id, codec, version, the size at each
        step, and what goes wrong. The value is shown with ``show`` only, a sealed one never.
        """
        from kvcodec.keyspace.explanation import explain

        return explain(self, raw_key, as_bytes(data), show=show)

    def _seal(self, key: K, value: V, now: float, ttl: timedelta | float | None = None) -> bytes:
        name = "" if self._naming is None else self._naming.name(key)
        lifetime = None if ttl is None else seconds(ttl)
        return self._pipeline.seal(self._names[key], value, now, lifetime, name=name)

    def _open(self, raw_key: str, data: bytes, now: float) -> V:
        if self._previous:
            previous = self._older_form(raw_key, data, now)
            if previous is not None:
                return self._open_previous(previous, raw_key, data, now)
        return self._pipeline.open(raw_key, data, now)

    def _older_form(self, raw_key: str, data: bytes, now: float) -> Previous | None:
        """The first older declaration that reads what is stored under today's name.

        None if it is of today's form, by its exact first bytes, or if none reads it.
        """
        if not self._previous or self._pipeline.recognises(as_bytes(data)):
            return None
        for previous in self._previous:
            if previous.is_open(now) and self._shares_name(previous.keyspace, raw_key):
                try:
                    previous.keyspace._open(raw_key, data, now)
                except (Expired, NewerVersion):
                    return previous  # of its form, for sure
                except DecodeError:
                    continue
                return previous
        return None

    def _shares_name(self, old: Keyspace[Any, Any], raw_key: str) -> bool:
        """Whether an older declaration has the same name for the same key.

        Where it has another one, what is under today's name was not stored by it.
        """
        if not _named_differently(self, old):
            return True
        try:
            return bool(old._names[self._scheme.split(raw_key)] == raw_key)
        except KeyNameError:
            return False

    def _open_previous(self, previous: Previous, raw_key: str, data: bytes, now: float) -> V:
        """Today's value of bytes that an older declaration wrote."""
        today = self._converted(previous, previous.keyspace._open(raw_key, data, now))
        if previous.reads == 0:
            import logging  # 3 ms that only this needs

            logging.getLogger("kvcodec").info(
                "keyspace %s: values of an older form are being read (%r)", self.name, previous
            )
        previous.reads += 1
        return today

    def _converted(self, previous: Previous, old: Any) -> V:
        """Today's value of an older declaration's. Raises DecodeError, SchemaMismatch."""
        value = old if previous.convert is None else _converted(previous.convert, old)
        # Through today's encoder and decoder, so that what is returned is of today's type.
        today = self._pipeline.decode(self._encoded(value))
        # NaN, for one, is null in JSON: of the same type, it has to be the same value.
        alike = previous.convert is None and previous.keyspace.value_type == self.value_type
        if alike and not same(today, value):
            raise DecodeError(f"{_NOT_HELD}: it would be another value", stage="decode")
        return today

    def _encoded(self, value: Any) -> bytes:
        try:
            return self._pipeline.encode_any(value)
        except EncodeError as error:
            why = str(error.args[0])
        raise DecodeError(f"{_NOT_HELD}: {why}", stage="decode")

    def _in_todays_form(
        self, place: Place[V], previous: Previous, raw_key: str, data: bytes, now: float
    ) -> bytes:
        """The bytes to store for what an older declaration wrote: its times stay.

        A lifetime that the older form did not have begins now.
        """
        value = self._open_previous(previous, raw_key, data, now)
        moment, ttl = self._pipeline.times(previous.keyspace._header(raw_key, data, now), now)
        return place.seal_over(value, place.with_unknown(previous, raw_key, data, now), moment, ttl)

    def _header(self, raw_key: str, data: bytes, now: float) -> Header:
        """What the header of stored bytes says, in whatever form they are."""
        previous = self._older_form(raw_key, data, now)
        if previous is not None:
            return previous.keyspace._header(raw_key, data, now)
        return self._pipeline.header(data)

    def _plain(self, raw_key: str, data: bytes, now: float) -> Any:
        """Plain data in today's version, or NO_PLAIN where there is none with unknown fields."""
        previous = self._older_form(raw_key, data, now)
        codec = self._pipeline.codec
        if codec.shape is None or codec.secrets is not None:
            return NO_PLAIN
        if previous is None:
            payload = self._pipeline.unwrap(raw_key, as_bytes(data), now)
            return codec.to_plain(self._pipeline.upgraded(payload))
        if previous.convert is not None:
            return NO_PLAIN  # what fields become of which, only the function knows
        return previous.keyspace._plain(raw_key, data, now)

    def _is_expired(self, raw_key: str, data: bytes, now: float) -> bool:
        """Say whether ``get`` would find that the value's lifetime is over.

        A header alone is not believed: what is of another form, damaged or moved cannot be read,
        and what cannot be read has not expired.
        """
        if not self._may_be_expired(as_bytes(data), now):
            return False
        try:
            self._open(raw_key, data, now)
        except Expired:
            return True
        except KVCodecError:
            pass
        return False

    def _may_be_expired(self, data: bytes, now: float) -> bool:
        if self._pipeline.may_be_expired(data, now):
            return True
        return any(previous.keyspace._may_be_expired(data, now) for previous in self._previous)


_NOT_HELD = "today's form does not hold it"

NO_PLAIN: Any = object()
"""Stands for "there is no plain data": None is plain data like any other."""


class Place(Generic[V]):
    """Where one key's value is stored, and where older declarations kept it."""

    __slots__ = ("keyspace", "name", "older", "raw_key")

    def __init__(
        self,
        keyspace: Keyspace[V, Any],
        raw_key: str,
        older: tuple[tuple[Previous, str], ...] = (),
        name: str = "",
    ) -> None:
        self.keyspace = keyspace
        self.raw_key = raw_key
        self.older = older
        self.name = name  # the whole one, where the raw key does not tell it

    @property
    def lifetime(self) -> float | None:
        """Of a value in seconds, by the declaration."""
        return self.keyspace.ttl

    @property
    def may_expire(self) -> bool:
        """Whether what is stored can have a lifetime."""
        return self.keyspace._may_expire

    def seal(self, value: V, now: float, ttl: float | None = None) -> bytes:
        """The bytes to store."""
        return self.keyspace._pipeline.seal(self.raw_key, value, now, ttl, name=self.name)

    def seal_over(
        self, value: V, held: bytes | None, now: float, ttl: float | None = None
    ) -> bytes:
        """The bytes to store in place of ``held``, with what this code does not know of those.

        Raises what reading ``held`` raises: what cannot be read is not written over.
        """
        if held is None or not self.keyspace.keep_unknown:
            return self.seal(value, now, ttl)
        return self.keyspace._pipeline.seal_over(self.raw_key, value, held, now, ttl)

    def in_todays_form(self, held: bytes, older: int | None, now: float) -> bytes | None:
        """What is held as bytes of today's form, for ``seal_over``: with its unknown fields.

        None where that cannot be: then there is nothing to keep.
        """
        if older is not None:
            previous, raw_key = self.older[older]
            return self.with_unknown(previous, raw_key, held, now)
        previous_here = self.keyspace._older_form(self.raw_key, held, now)
        if previous_here is None:
            return held
        return self.with_unknown(previous_here, self.raw_key, held, now)

    def with_unknown(
        self, previous: Previous, raw_key: str, held: bytes, now: float
    ) -> bytes | None:
        """What an older declaration stored as bytes of today's form, or None."""
        keyspace = self.keyspace
        if not keyspace.keep_unknown or previous.convert is not None:
            return None
        plain = previous.keyspace._plain(raw_key, held, now)
        if plain is NO_PLAIN or keyspace._pipeline.codec.secrets is not None:
            return None
        encoded = keyspace._pipeline.codec.from_plain(plain)
        return keyspace._pipeline.wrap(self.raw_key, encoded, now, name=self.name)

    def open(self, data: bytes, now: float) -> V:
        """The value of bytes stored under today's name."""
        return self.keyspace._open(self.raw_key, data, now)

    def open_older(self, at: int, data: bytes, now: float) -> V:
        """The value of bytes stored under an older declaration's name."""
        previous, raw_key = self.older[at]
        if not previous.is_open(now):
            raise DecodeError("of an older form that is no longer read (until=)", stage="envelope")
        return self.keyspace._open_previous(previous, raw_key, data, now)

    def explain(self, data: bytes, older: int | None, *, show: bool) -> Explanation:
        """The steps of what is stored under today's name, or under an older one."""
        if older is None:
            return self.keyspace.explain(self.raw_key, data, show=show)
        from kvcodec.keyspace.explanation import explain_older

        previous, raw_key = self.older[older]
        return explain_older(self.keyspace, previous, raw_key, data, show=show)

    def is_expired(self, data: bytes, now: float) -> bool:
        """Whether the lifetime of a value under today's name is over."""
        return self.keyspace._is_expired(self.raw_key, data, now)

    def is_ahead(self, data: bytes, now: float) -> bool:
        """Whether a value under today's name is refused for being from the future."""
        return self.keyspace._pipeline.is_ahead(as_bytes(data), now)


def _converted(convert: Callable[[Any], Any], old: Any) -> Any:
    try:
        return convert(old)
    except Exception as error:  # noqa: BLE001 - the user's function, which may quote the value
        kind = type(error).__name__
    raise DecodeError(f"convert= of an older form raised {kind}", stage="decode")


class _Names(dict[Any, str]):
    """Raw keys by key, built when first asked for: looking one up is faster than building it."""

    __slots__ = ("_join",)

    def __init__(self, join: Callable[[Any], str]) -> None:
        super().__init__()
        self._join = join

    def __missing__(self, key: Any) -> str:
        raw_key = self._join(key)
        if len(raw_key) > _LONGEST_KEPT:
            return raw_key
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


def _compression(name: str | None) -> Compression | None:
    if name is None:
        return None
    from kvcodec.format.compression import compression_of

    return compression_of(name)


def _cipher(cipher: KeyRing | Cipher | None) -> Cipher | None:
    if cipher is None:
        return None
    from kvcodec.secrets.ciphers import as_cipher  # cryptography is imported by who encrypts

    return as_cipher(cipher)


def _pipeline(codec: ValueCodec[Any], form: Form) -> Pipeline[Any]:
    if codec.secrets is None:
        return Pipeline(codec, form)
    from kvcodec.keyspace.secret_pipeline import SecretPipeline

    return SecretPipeline(codec, form, codec.secrets)


def _check_together(
    form: Form, codec: ValueCodec[Any], encoding: object, *, compress_secrets: bool
) -> None:
    _check_cipher(form)
    if form.cipher is not None and form.checksum and codec.secrets is None:
        raise ConfigError("checksum= adds nothing to a sealed value: it is authenticated already")
    compressed = form.compression is not None or getattr(encoding, "compresses", False)
    if form.cipher is not None and compressed and not compress_secrets:
        raise ConfigError(
            "compression with a cipher shows secrets by their length: if nobody else can choose a "
            "part of the value, say so with compress_secrets=True"
        )


def _check_cipher(form: Form) -> None:
    naming = form.naming
    if naming is not None and hasattr(naming, "naming") and form.cipher is None:
        raise ConfigError("HiddenKeys needs cipher=: the name is stored inside the sealed value")
    if getattr(form.cipher, "hide_time", False) and form.dated:
        raise ConfigError("hide_time= beside ttl= or max_age=: their header shows the time")
    others = (form.dated, form.version > 1, form.compression, form.checksum, naming)
    if form.bare and any(others):
        raise ConfigError(
            "a bare token has no header: ttl=, max_age=, version=, compress=, checksum=, and keys= "
            "that store the name, need bound=True"
        )


def _keeps_unknown(pipeline: Pipeline[Any], *, keep_unknown: bool) -> bool:
    if keep_unknown and pipeline.codec.shape is None:
        raise ConfigError("keep_unknown= is for types of msgspec in JSON or MessagePack")
    return keep_unknown


def _previous(
    keyspace: Keyspace[Any, Any], given: Iterable[Keyspace[Any, Any] | Previous]
) -> tuple[Previous, ...]:
    found = tuple(one if isinstance(one, Previous) else Previous(one) for one in given)
    for previous in found:
        _check_covered(previous.keyspace, found)
        if _cannot_be_told(keyspace, previous.keyspace):
            raise ConfigError(
                f"what {previous.keyspace!r} stored cannot be told from today's by its first "
                "bytes: give one of them another name, or raise version= instead (for another "
                "key: KeyRing(retired=))"
            )
    return found


def _check_covered(old: Keyspace[Any, Any], found: tuple[Previous, ...]) -> None:
    listed = [previous.keyspace for previous in found]
    for older in old._elsewhere:
        if not any(older is one for one in listed):
            raise ConfigError(
                f"{old!r} itself reads {older!r}, which keeps its values under other names: name "
                "that in previous= here too"
            )


def _cannot_be_told(now: Keyspace[Any, Any], old: Keyspace[Any, Any]) -> bool:
    if not _named_alike(now, old) or _alphabets(now) != _alphabets(old):
        return False
    mine, theirs = now._pipeline, old._pipeline
    if not mine.form.is_enveloped_always and mine.codec.first is None:
        return True  # text, raw bytes: anything is of today's form
    if theirs.form.is_plain:
        return _first_bytes_meet(mine, theirs)
    if theirs.form.bare or not mine.would_take(theirs):
        return False
    # What today's declaration reads by itself (a value from before compress=) needs no telling.
    return now.name != old.name or mine.codec.name != theirs.codec.name or not _has_key(now, old)


def _first_bytes_meet(mine: Pipeline[Any], theirs: Pipeline[Any]) -> bool:
    if mine.form.is_enveloped_always or mine.codec.first is None or theirs.codec.first is None:
        return False
    return bool(mine.codec.first & theirs.codec.first)


def _has_key(now: Keyspace[Any, Any], old: Keyspace[Any, Any]) -> bool:
    mine, theirs = now._pipeline.cipher, old._pipeline.cipher
    if mine is None or theirs is None:
        return True
    held = theirs.key_id in getattr(mine, "_keys", (mine.key_id,))
    return held and mine.cipher_id == theirs.cipher_id


def _named_alike(now: Keyspace[Any, Any], old: Keyspace[Any, Any]) -> bool:
    mine, theirs = now._scheme, old._scheme
    options = ("prefix", "template", "limit", "naming")
    return type(mine) is type(theirs) and all(
        getattr(mine, name, None) == getattr(theirs, name, None) for name in options
    )


def _alphabets(keyspace: Keyspace[Any, Any]) -> list[Any]:
    """What the parts of raw keys are made of: digits, or digits with the sign that sorts them."""
    shape = getattr(keyspace._scheme, "_shape", None)
    return [] if shape is None else [part.alphabet for part in shape.parts]


def _named_differently(now: Keyspace[Any, Any], old: Keyspace[Any, Any]) -> bool:
    # Of the same key type in any case: integers as digits, or in the form that sorts.
    return not _named_alike(now, old) or now.key_type != old.key_type


def _moment(until: datetime | float | None) -> float | None:
    if isinstance(until, datetime):
        if until.tzinfo is None:
            raise ConfigError("until= needs a time zone: it is a moment, not a wall clock")
        return until.timestamp()
    given: object = until
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise ConfigError("until= is a datetime with a time zone, or seconds since the epoch")
    return float(given)


def _positive(number: Any, option: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ConfigError(f"{option} must be an integer of at least 1")
    return number


def _depth(max_depth: Any) -> int:
    if _positive(max_depth, "max_depth") > _DEEPEST:
        raise ConfigError(f"max_depth must be at most {_DEEPEST}: deeper values can end a process")
    return int(max_depth)


def _flag(given: Any, option: str) -> bool:
    if not isinstance(given, bool):
        raise ConfigError(f"{option}= is True or False")
    return given


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


def shown_key(key: object) -> str:
    """A key that has no raw key, for a message: of what may be a value in its place, the type."""
    if isinstance(key, str):
        return str.__str__(key)
    if is_tuple(key) and type(key) is tuple:
        return f"({', '.join(map(shown_key, key))})"
    return f"<{type(key).__name__}>"


def shown_name(name: object) -> str:
    """The name of a keyspace that could not be declared, for a message."""
    return name if isinstance(name, str) else repr(name)
