"""What a keyspace is compiled into, and whatever is older: which declaration reads what is stored.

``Declaration`` is today's form, its names, and the older forms that are still read. Everything
below the stores works with it; ``Keyspace`` (keyspace.py) is what users see of it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, cast

from msgspec.structs import replace
from typing_extensions import TypeVar

from kvcodec.codecs.reasons import gave_none, raised_in
from kvcodec.codecs.same import same
from kvcodec.errors import (
    ConfigError,
    DecodeError,
    EncodeError,
    Expired,
    KeyNameError,
    KVCodecError,
    NewerVersion,
    Tampered,
    locate,
)
from kvcodec.format.envelope import MAGIC, Header, Kind
from kvcodec.keys.declared import Declared
from kvcodec.keyspace.names import Names
from kvcodec.keyspace.opening import Opening, Shape, other_shape, shape_error
from kvcodec.keyspace.pipeline import Pipeline
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.protocols import offers
from kvcodec.secrets.abilities import RingCipher

if TYPE_CHECKING:
    from kvcodec.secrets.keyring import KeyRing

__all__ = ["NO_PLAIN", "Declaration", "Older"]

V = TypeVar("V")
K = TypeVar("K", default=str)

NO_PLAIN: Any = object()
"""Stands for "there is no plain data": None is plain data like any other."""

_NOT_HELD = "today's type does not hold it (convert= makes a value that it does)"


class Older:
    """An older declaration whose values are still read, and until when."""

    __slots__ = ("convert", "declaration", "reads", "until")

    def __init__(
        self,
        declaration: Declaration[Any, Any],
        convert: Callable[[Any], Any] | None,
        until: float | None,
    ) -> None:
        self.declaration: Declaration[Any, Any] = declaration
        self.convert: Callable[[Any], Any] | None = convert
        self.until: float | None = until
        self.reads: int = 0
        """Values that were read in this form, in this process."""

    def bound_to(self, context: str) -> Older:
        """The same, of values that are tied to a context as well."""
        return Older(self.declaration.bound_to(context), self.convert, self.until)

    def unopened(self) -> Older:
        """The same, as if it had been opened nowhere yet."""
        return Older(self.declaration.unopened(), self.convert, self.until)

    def __repr__(self) -> str:
        return f"Previous({self.declaration!r})"

    def is_open(self, now: float) -> bool:
        """Say whether old values are still accepted."""
        return self.until is None or now < self.until

    def converted(self, old: Any) -> Any:
        """Today's value of an old one, by the user's function where there is one."""
        if self.convert is None:
            return old
        try:
            return self.convert(old)
        except Exception as error:  # noqa: BLE001 - the user's function, which may quote the value
            why = raised_in(self.convert, error)
        raise DecodeError(f"convert= of an older declaration: {why}", stage="decode")


class Declaration(Declared, Generic[V, K]):
    """One keyspace, compiled: its names, its way from values to bytes, and its older forms."""

    __slots__ = (
        "__weakref__",
        "indexed",
        "is_shared",
        "keep_unknown",
        "key_type",
        "name",
        "names",
        "older",
        "opening",
        "pipeline",
        "value_type",
    )

    def __init__(
        self,
        name: str,
        types: tuple[Any, Any],
        names: Names[K],
        pipeline: Pipeline[V],
        *,
        indexed: bool,
    ) -> None:
        self.name: str = name
        self.value_type: Any
        self.key_type: Any
        self.value_type, self.key_type = types
        self.names: Names[K] = names
        self.pipeline: Pipeline[V] = pipeline
        self.indexed: bool = indexed
        self.keep_unknown: bool = pipeline.form.keep_unknown
        self.older: tuple[Older, ...] = ()
        self.is_shared: bool = False
        """Whether its names are those of other subjects too."""
        self.opening: Opening = Opening()
        """As which shape it is opened: shared by the copies, which have the same names."""

    def __repr__(self) -> str:
        return f"<Keyspace {self.name!r}>"

    @property
    def ttl(self) -> float | None:
        """The lifetime of a value in seconds."""
        return self.pipeline.form.ttl

    @property
    def may_expire(self) -> bool:
        """Whether a value can have a lifetime: by today's form, or by an older one."""
        if self.pipeline.form.dated:
            return True
        return any(older.declaration.may_expire for older in self.older)

    @property
    def elsewhere(self) -> tuple[Declaration[Any, Any], ...]:
        """Older declarations that keep their values under other names."""
        declared = (older.declaration for older in self.older)
        return tuple(old for old in declared if self.is_named_unlike(old))

    def is_named_unlike(self, old: Declaration[Any, Any]) -> bool:
        """Whether an older declaration has other names for the same keys."""
        # Of the same key type in any case: integers as digits, or in the form that sorts.
        return not self.names.are_spelt_as(old.names) or self.key_type != old.key_type

    def under(self, ring: KeyRing) -> Declaration[V, K]:
        """The same with one person's ring. Raises ConfigError where that cannot work."""
        cipher = self.pipeline.cipher
        if not offers(cipher, RingCipher) or self.pipeline.form.bare or self.indexed:
            raise ConfigError(
                "a data key per person needs cipher=, bound to its place, and no indexed=: names "
                "are everybody's, so give the keys where a method wants to list",
                keyspace=self.name,
            )
        other = self.with_ring(ring)
        other.is_shared = True
        return other

    def with_ring(self, ring: KeyRing) -> Declaration[V, K]:
        """The same, for all of its names. Raises ConfigError for another cipher than kvcodec's."""
        cipher = self.pipeline.cipher
        if not offers(cipher, RingCipher):
            raise ConfigError("a ring is for a cipher of kvcodec: cipher=", keyspace=self.name)
        form = replace(self.pipeline.form, cipher=cipher.under(ring))
        return self._with(Pipeline(self.pipeline.codec, form))

    def bound_to(self, context: str) -> Declaration[V, K]:
        """The same, its sealed values tied to a context as well."""
        sealed = self.pipeline.cipher is not None
        other = self._with(self.pipeline.bound_to(context) if sealed else self.pipeline)
        other.older = tuple(older.bound_to(context) for older in self.older)
        return other

    def as_part(self, kind: Kind) -> Declaration[V, K]:
        """The same for what kvcodec itself writes in place of values, of one kind."""
        return self._with(self.pipeline.as_part(self.pipeline.part(kind)))

    def unopened(self) -> Declaration[V, K]:
        """The same, as if it had been opened nowhere yet: for the kit, which looks at copies."""
        other = self._with(self.pipeline)
        other.opening = Opening()
        other.older = tuple(older.unopened() for older in self.older)
        return other

    def open_as(self, shape: Shape) -> None:
        """Note as which shape it is opened, and its older forms with it.

        Raises ConfigError for another shape than the first one.
        """
        try:
            for each in (*(older.declaration for older in self.older), self):
                each.opening.claim(shape)
        except ConfigError as error:
            locate(error, self.name, None)
            raise

    def _with(self, pipeline: Pipeline[V]) -> Declaration[V, K]:
        types = (self.value_type, self.key_type)
        other = Declaration(self.name, types, self.names, pipeline, indexed=self.indexed)
        other.keep_unknown = self.keep_unknown
        other.older = self.older
        other.is_shared = self.is_shared
        other.opening = self.opening
        return other

    # ------------------------------------------------------------------------------ values

    def seal(self, key: K, value: V, now: float, ttl: float | None = None) -> bytes:
        """The bytes to store. Raises what ``Keyspace.pack`` raises."""
        names = self.names
        name = "" if names.stored is None else names.stored.name(key)
        return self.pipeline.seal(names.raw[key], value, now, ttl, name=name)

    def open(self, raw_key: str, data: Any, now: float) -> V:
        """The value of what a KV returned. Raises what ``Keyspace.unpack`` raises."""
        if self.older:
            older = self.older_form(raw_key, data, now)
            if older is not None:
                return self.open_older(older, raw_key, data, now)
        try:
            return self.pipeline.open(raw_key, data, now)
        except DecodeError as error:
            shape = other_shape(error, "values", self.pipeline, raw_key, as_bytes(data))
            if shape is None:
                raise
        raise shape_error(shape)

    def key_in(self, raw_key: str, data: Any, now: float) -> K:
        """The key that is stored with a value, where the raw key does not tell it.

        Raises what ``open`` raises.
        """
        names = self.names
        if names.stored is None:
            return names.key(raw_key)
        data = as_bytes(data)
        if self.older and not self.pipeline.wrapping.recognises(data):
            for older in self.older:
                with suppress(DecodeError, KeyNameError):
                    return cast("K", older.declaration.key_in(raw_key, data, now))
        try:
            return cast("K", names.stored.key(self._name_in(raw_key, data, now)))
        except KVCodecError as error:
            locate(error, self.name, raw_key)
            raise

    def _name_in(self, raw_key: str, data: bytes, now: float) -> str:
        """The whole name in a value, or in what a log or a file has in its place."""
        todays, part = self.pipeline.wrapping, self.pipeline.part
        for wrapping in (todays, part("head"), part("manifest")):
            with suppress(DecodeError):
                return wrapping.unwrap(raw_key, data, now).name
        return todays.unwrap(raw_key, data, now).name  # which says what is wrong

    def header(self, raw_key: str, data: Any, now: float) -> Header:
        """What the header of stored bytes says, in whatever form they are."""
        older = self.older_form(raw_key, data, now)
        if older is not None:
            return older.declaration.header(raw_key, data, now)
        return self.pipeline.wrapping.header(as_bytes(data))

    def ends_at(self, raw_key: str, data: Any, now: float) -> float | None:
        """When a value is over, in seconds since the epoch; None: never. Raises what ``open`` does.

        Of what opens, since a header alone is not believed.
        """
        self.open(raw_key, data, now)
        older = self.older_form(raw_key, data, now)
        declared = self if older is None else older.declaration
        return declared.pipeline.wrapping.ends_at(as_bytes(data))

    def plain(self, raw_key: str, data: Any, now: float) -> Any:
        """Plain data in today's version, or NO_PLAIN where there is none with unknown fields."""
        older = self.older_form(raw_key, data, now)
        pipeline = self.pipeline
        if pipeline.codec.shape is None or pipeline.fields is not None:
            return NO_PLAIN
        if older is None:
            payload = pipeline.wrapping.unwrap(raw_key, as_bytes(data), now)
            encoded = pipeline.upgraded(raw_key, payload)
            pipeline.encoding.check_depth(encoded)
            return pipeline.codec.to_plain(encoded)
        if older.convert is not None:
            return NO_PLAIN  # what fields become of which, only the function knows
        return older.declaration.plain(raw_key, data, now)

    def is_expired(self, raw_key: str, data: Any, now: float) -> bool:
        """Say whether ``get`` would find that the value's lifetime is over.

        A header alone is not believed: what is of another form, damaged or moved cannot be read,
        and what cannot be read has not expired.
        """
        if not self._may_be_expired(as_bytes(data), now):
            return False
        try:
            self.open(raw_key, data, now)
        except Expired:
            return True
        except KVCodecError:
            pass
        return False

    def _may_be_expired(self, data: bytes, now: float) -> bool:
        if self.pipeline.wrapping.may_be_expired(data, now):
            return True
        if not self.older:
            return False
        return any(older.declaration._may_be_expired(data, now) for older in self.older)

    # ------------------------------------------------------------------------- older forms

    def older_form(self, raw_key: str, data: Any, now: float) -> Older | None:
        """The first older declaration that reads what is stored under today's name.

        None if it is of today's form, by its exact first bytes, or if none reads it; an envelope
        that can be of one only is that one's, read or not. Where it is signed over other fields,
        only the signature tells: of today's form it is Tampered.
        """
        older_ones, data = self.older, as_bytes(data)
        todays = bool(older_ones) and self.pipeline.wrapping.recognises(data)
        if todays:
            older_ones = tuple(one for one in older_ones if self.signs_unlike(one.declaration))
            if not older_ones or self._verifies(raw_key, data, now):
                return None
        for older in older_ones:
            if older.is_open(now) and self._shares_name(older.declaration, raw_key):
                try:
                    older.declaration.open(raw_key, data, now)
                except (Expired, NewerVersion):
                    return older  # of its form, for sure
                except DecodeError:
                    continue
                return older
        return None if todays else self._sole_owner(raw_key, data, now)

    def _sole_owner(self, raw_key: str, data: bytes, now: float) -> Older | None:
        """The older declaration that an envelope can only be of: its errors say what is wrong."""
        owners = [
            older
            for older in self.older
            if older.is_open(now)
            and self._shares_name(older.declaration, raw_key)
            and older.declaration.pipeline.wrapping.recognises(data)
        ]
        return owners[0] if len(owners) == 1 and data[:1] == bytes((MAGIC,)) else None

    def signs_unlike(self, old: Declaration[Any, Any]) -> bool:
        """Whether records of an older declaration are signed over other fields (unsigned=)."""
        mine, theirs = self.pipeline, old.pipeline
        if mine.fields is None or theirs.fields is None:
            return False
        return {*mine.form.unsigned} != {*theirs.form.unsigned}

    def _verifies(self, raw_key: str, data: Any, now: float) -> bool:
        """Whether a record is what its signature says, by today's form."""
        with suppress(KVCodecError):
            try:
                self.pipeline.open(raw_key, data, now)
            except Tampered:
                return False
        return True

    def _shares_name(self, old: Declaration[Any, Any], raw_key: str) -> bool:
        """Whether an older declaration has the same name for the same key.

        Where it has another one, what is under today's name was not stored by it.
        """
        if not self.is_named_unlike(old):
            return True
        try:
            return bool(old.names.raw[self.names.scheme.split(raw_key)] == raw_key)
        except KeyNameError:
            return False

    def open_older(self, older: Older, raw_key: str, data: Any, now: float) -> V:
        """Today's value of bytes that an older declaration wrote."""
        today = self.todays(older, older.declaration.open(raw_key, data, now))
        if older.reads == 0:
            import logging  # 3 ms that only this needs

            logging.getLogger("kvcodec").info(
                "keyspace %s: values of an older form are being read (%r)", self.name, older
            )
        older.reads += 1
        return today

    def todays(self, older: Older, old: Any) -> V:
        """Today's value of an older declaration's. Raises DecodeError, SchemaMismatch."""
        encoding, converted = self.pipeline.encoding, older.converted(old)
        if converted is None and older.convert and old is not None and not encoding.takes_none():
            raise DecodeError(f"convert=: {gave_none(older.convert)}", stage="decode")
        # Through today's encoder and decoder, so that what is returned is of today's type.
        today = encoding.decode(self.encoded(converted))
        # NaN, for one, is null in JSON: of the same type, it has to be the same value.
        alike = older.convert is None and older.declaration.value_type == self.value_type
        if alike and not same(today, old):
            raise DecodeError(f"{_NOT_HELD}: it would be another value", stage="decode")
        return today

    def encoded(self, value: Any) -> bytes:
        """The encoding of what was read in an older form. Raises TooDeep, DecodeError."""
        self.pipeline.encoding.check_value(value, "decode")
        try:
            return self.pipeline.encoding.encode_any(value)
        except EncodeError as error:
            why = str(error.args[0])
        raise DecodeError(f"{_NOT_HELD}: {why}", stage="decode")
