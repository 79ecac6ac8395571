"""``Keyspace``: what users declare, once, at module level. It checks, and compiles what it is told.

This file may hold options, their checks and the methods that users call. What a declaration does
is in declaration.py, and never here: nothing below the stores knows this class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    NoReturn,
    Self,
    TypeAlias,
    TypedDict,
    cast,
    overload,
)

from typing_extensions import TypeForm, TypeVar, Unpack

from kvcodec.codecs.evolve import checked_upgrades
from kvcodec.codecs.values import codec_for
from kvcodec.errors import ConfigError, KVCodecError, forgetful, settle
from kvcodec.format.envelope import Kind
from kvcodec.keys.declared import Declared
from kvcodec.keys.paths import PathKeys
from kvcodec.keyspace import options
from kvcodec.keyspace.checks import check_older, check_together
from kvcodec.keyspace.declaration import Declaration, Older
from kvcodec.keyspace.explanation import Explanation, explain
from kvcodec.keyspace.form import Form
from kvcodec.keyspace.names import Names, shown_name
from kvcodec.keyspace.pipeline import Pipeline
from kvcodec.keyspace.wrapping import as_bytes

if TYPE_CHECKING:
    from kvcodec.keys.hashed import HashedKeys, HiddenKeys
    from kvcodec.protocols import Cipher, Codec, KeyScheme
    from kvcodec.secrets.keyring import KeyRing

__all__ = ["Keyspace", "Previous"]

V = TypeVar("V")
K = TypeVar("K", default=str)

AnyScheme: TypeAlias = "PathKeys[Any] | HashedKeys[Any] | HiddenKeys[Any]"
"""The schemes that take the type of their keys from ``key=``, whatever type a checker gave them."""


class _Options(TypedDict, total=False):
    encoding: str | Codec[Any]
    cipher: KeyRing | Cipher | None
    unsigned: Iterable[str]
    ttl: timedelta | float | None
    max_age: timedelta | float | None
    compress: str | None
    compress_secrets: bool
    version: int
    oldest: int
    upgrades: Mapping[int, Callable[[Any], Any]] | None
    previous: Iterable[Keyspace[Any, Any] | Previous]
    keep_unknown: bool
    indexed: bool
    checksum: bool
    validate: bool
    max_bytes: int
    max_depth: int


class Previous(Declared):
    """An older declaration whose values are still read, with what goes beyond naming it.

    - ``keyspace``: how the values were stored: encoding, cipher, key scheme, name.
    - ``convert``: makes today's value of an old one, where the type differs by more than its
      class. The result is checked as ``set`` checks.
    - ``until``: a datetime with a time zone, or seconds since the epoch, from which on old
      values are refused. An open window is what an attacker who can write would use.

    Raises ConfigError for options that are none of these.
    """

    __slots__ = ("_older", "keyspace")

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
        self._older = Older(keyspace.declaration, convert, options.moment(until))
        self.keyspace: Keyspace[Any, Any] = keyspace

    @property
    def convert(self) -> Callable[[Any], Any] | None:
        """Makes today's value of an old one."""
        return self._older.convert

    @property
    def until(self) -> float | None:
        """From when on old values are refused, in seconds since the epoch."""
        return self._older.until

    @property
    def reads(self) -> int:
        """How many values were read in this form, in this process."""
        return self._older.reads

    def __repr__(self) -> str:
        try:
            return repr(self._older)
        except AttributeError:
            return "<Previous, refused>"  # in the traceback of its own constructor


class Keyspace(Declared, Generic[V, K]):
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
    - ``unsigned``: of a type with Secret fields: the stored names of clear fields that others may
      edit. All the rest of the record is signed by its secrets: whoever has no key can change
      nothing else unnoticed. Another choice is another form: see ``previous``.
    - ``ttl``: how long a value lives after ``set``: a timedelta, or seconds.
    - ``max_age``: how old a value may be when it is read, whatever its ttl was.
    - ``compress``: ``"zlib"``, or ``"zstd"`` where it is to be had; kept only when smaller.
      Refused together with a cipher unless ``compress_secrets=True``: the length of what was
      compressed tells about its content.
    - ``version``, ``upgrades``: the version of the value's shape, and for each older version that
      is read the function that takes its plain data to the next. Reads upgrade, the next set
      writes anew.
    - ``oldest``: the lowest version that is still read; a value below it is refused. Once all is
      migrated it closes the window that an upgrade leaves open: whoever can write plants older
      values.
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

    __slots__ = ("__weakref__", "declaration", "previous")

    declaration: Declaration[V, K]
    """What it was compiled into: internal, for kvcodec's own folders. It may change anytime."""
    previous: tuple[Previous, ...]
    """The older declarations whose values are still read."""

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
        value: type[Any] | TypeForm[Any],
        *,
        key: type[Any] | None = str,
        keys: KeyScheme[Any] | AnyScheme | None = None,
        encoding: str | Codec[Any] = "json",
        cipher: KeyRing | Cipher | None = None,
        unsigned: Iterable[str] = (),
        ttl: timedelta | float | None = None,
        max_age: timedelta | float | None = None,
        compress: str | None = None,
        compress_secrets: bool = False,
        version: int = 1,
        oldest: int = 1,
        upgrades: Mapping[int, Callable[[Any], Any]] | None = None,
        previous: Iterable[Keyspace[Any, Any] | Previous] = (),
        keep_unknown: bool = False,
        indexed: bool = False,
        checksum: bool = False,
        validate: bool = True,
        max_bytes: int = options.MAX_BYTES,
        max_depth: int = options.MAX_DEPTH,
    ) -> Keyspace[Any, Any]:
        self = super().__new__(cls)
        try:
            names: Names[Any] = Names(name, key, keys)
            form = Form(
                keyspace=name,
                max_bytes=options.positive(max_bytes, "max_bytes"),
                max_depth=options.depth(max_depth),
                validate=options.flag(validate, "validate"),
                version=options.positive(version, "version"),
                oldest=options.oldest(oldest, version),
                upgrades=checked_upgrades(version, upgrades, oldest),
                ttl=options.seconds(ttl),
                max_age=options.seconds(max_age),
                compression=options.checked_compression(compress),
                cipher=options.checked_cipher(cipher),
                unsigned=options.names_of(unsigned, "unsigned"),
                checksum=options.flag(checksum, "checksum"),
                keep_unknown=options.flag(keep_unknown, "keep_unknown"),
                names=names.stored,
            )
            codec = codec_for(value, encoding)
            compress_secrets = options.flag(compress_secrets, "compress_secrets")
            check_together(form, codec, encoding, compress_secrets=compress_secrets)
            declared: Declaration[Any, Any] = Declaration(
                name,
                (value, names.key_type),
                names,
                Pipeline(codec, form),
                indexed=options.flag(indexed, "indexed"),
            )
            listed = _previous(previous)
            older = tuple(each._older for each in listed)
            check_older(declared, older)
            declared.older = older
        except KVCodecError as error:
            del cipher  # the text of a key, perhaps, in the place of its ring
            settle(error, shown_name(name), None)
            raise
        return self._compiled(declared, listed)

    def _compiled(self, declared: Declaration[V, K], previous: tuple[Previous, ...]) -> Self:
        object.__setattr__(self, "declaration", declared)
        object.__setattr__(self, "previous", previous)
        return self

    def _copy(self, declared: Declaration[V, K], previous: tuple[Previous, ...]) -> Keyspace[V, K]:
        other = cast("Keyspace[V, K]", object.__new__(Keyspace))
        return other._compiled(declared, previous)

    def as_part(self, kind: Kind) -> Keyspace[V, K]:
        """The same for what kvcodec itself writes in place of values, of one kind. Internal."""
        return self._copy(self.declaration.as_part(kind), ())

    def unopened(self) -> Keyspace[V, K]:
        """The same, as if it had been opened nowhere yet. Internal, for the kit."""
        return self._copy(self.declaration.unopened(), self.previous)

    def bound_to(self, context: str) -> Keyspace[V, K]:
        """Return the same declaration, its sealed values tied to ``context`` as well.

        A tenant, an environment: under one ring, what is sealed in one does not open in another.
        Costs some microseconds; names stay the same. Raises ConfigError for a context that is no
        text or empty, and where nothing is sealed that could be tied to it.
        """
        options.checked_context(context, self.declaration.pipeline.declared)
        return self._copy(self.declaration.bound_to(context), self.previous)

    def __setattr__(self, name: str, _: object) -> NoReturn:
        # And no property: reading, which every opening does, costs nothing more.
        raise AttributeError(f"{name!r}: a Keyspace does not change, declare another one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{name!r}: a Keyspace does not change, declare another one")

    def under(self, ring: KeyRing) -> Keyspace[V, K]:
        """Return the same declaration with its values sealed under another ring.

        Raises ConfigError for a keyspace without a cipher of kvcodec, whose cipher ties values to
        nothing, or with ``indexed=True``: names are everybody's.
        """
        return self._copy(self.declaration.under(ring), self.previous)

    def with_ring(self, ring: KeyRing) -> Keyspace[V, K]:
        """The same with another ring for all of its names. Internal, for the command line."""
        return self._copy(self.declaration.with_ring(ring), self.previous)

    def __repr__(self) -> str:
        try:
            return repr(self.declaration)
        except AttributeError:
            return "<Keyspace, refused>"  # in the traceback of its own constructor

    @property
    def name(self) -> str:
        """What begins every raw key, and is part of what a sealed value is tied to."""
        return self.declaration.name

    @property
    def value_type(self) -> Any:
        """The type of the values, as declared."""
        return self.declaration.value_type

    @property
    def key_type(self) -> Any:
        """The type of the keys, as declared or as the key scheme has it; None for one value."""
        return self.declaration.key_type

    @property
    def ttl(self) -> float | None:
        """The lifetime of a value in seconds."""
        return self.declaration.ttl

    @property
    def indexed(self) -> bool:
        """Whether an index of the keys is kept where the backend cannot list."""
        return self.declaration.indexed

    @property
    def keep_unknown(self) -> bool:
        """Whether fields that this code does not know survive its updates and sets."""
        return self.declaration.keep_unknown

    @property
    def version(self) -> int:
        """The version of the value's shape that ``set`` writes."""
        return self.declaration.pipeline.form.version

    @property
    def prefix(self) -> str:
        """What every raw key starts with."""
        prefix: str = self.declaration.names.prefix
        return prefix

    # ------------------------------------------------------------------------------- names

    def raw_key(self, key: K) -> str:
        """Return the name under which the value of ``key`` is stored.

        Raises KeyNameError if the key has another type than declared, or an empty part.
        """
        return self.declaration.names.raw_key(key)

    def key(self, raw_key: str) -> K:
        """Return the key whose raw key this is.

        Raises KeyNameError if the raw key belongs to no key of this keyspace.
        """
        return self.declaration.names.key(raw_key)

    # ------------------------------------------------------------------------------ values

    def pack(
        self, key: K, value: V, *, now: float, ttl: timedelta | float | None = None
    ) -> tuple[str, bytes]:
        """Return the raw key and the stored bytes of a value.

        ``now`` in seconds since the epoch; ``ttl`` in place of the keyspace's own lifetime.
        Raises KeyNameError; EncodeError, SchemaMismatch, TooDeep or TooLarge for a value that
        would not come back equal; ConfigError for a ttl where the keyspace declares none.
        """
        raw_key = None
        try:
            raw_key = self.raw_key(key)
            return raw_key, self.declaration.seal(key, value, now, options.seconds(ttl))
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
            return self.declaration.open(raw_key, data, now)
        except BaseException as error:
            del data
            settle(error, self.name, raw_key)
            raise

    @forgetful
    def explain(self, raw_key: str, data: bytes, *, show: bool = False) -> Explanation:
        """Return the steps of a stored value, as data and, with ``str()``, as text.

        For a look into a store: format, header fields, key id, codec, version, the size at each
        step, and what goes wrong. The value is shown with ``show`` only, a sealed one never.
        """
        return explain(self.declaration, raw_key, as_bytes(data), show=show)


def _previous(given: Iterable[Keyspace[Any, Any] | Previous]) -> tuple[Previous, ...]:
    if isinstance(given, Keyspace | Previous):
        raise ConfigError("previous= is several keyspaces: previous=[one]")
    return tuple(one if isinstance(one, Previous) else Previous(one) for one in given)
