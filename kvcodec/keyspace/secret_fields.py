"""One more step of the way, for types with ``Secret`` fields: these are sealed, the rest readable.

Out: encode, **seal the secrets**, compress, envelope. In: size, envelope, age, decompress, **open
the secrets**, upgrade, depth, decode. Between its first and its last step an encoding holds the
secrets marked and in clear (secrets/secret.py), so that all checks of a value are those of
encoding.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic

from msgspec.structs import replace
from typing_extensions import TypeVar

from kvcodec.codecs.codec import Secrets
from kvcodec.codecs.evolve import carry_unknown
from kvcodec.codecs.reasons import reason
from kvcodec.errors import ConfigError, DecodeError, EncodeError, KVCodecError
from kvcodec.format.envelope import Header, Kind, length_prefixed, place_of
from kvcodec.keyspace.encoding import Encoding
from kvcodec.keyspace.foreign import refuse_foreign
from kvcodec.keyspace.form import Form
from kvcodec.keyspace.wrapping import Payload
from kvcodec.protocols import Cipher, HiddenNames, offers
from kvcodec.secrets.fields import as_sealed, holds_secret, left_over
from kvcodec.secrets.records import Contexts, Record, RecordSealer

__all__ = ["SecretFields"]

V = TypeVar("V")

_KINDS: tuple[Kind, Kind] = ("field", "record")

_PLAIN = Header()


class SecretFields(Generic[V]):
    """The secrets of one keyspace's values. ``declared``: with the cipher for them.

    Raises ConfigError without a cipher, or with one whose tokens are tied to nothing.
    """

    __slots__ = ("_encoding", "_places", "_plainly", "_sealer", "_secrets")

    def __init__(self, encoding: Encoding[V], secrets: Secrets, declared: Form) -> None:
        self._encoding = encoding
        self._secrets = secrets
        self._sealer = RecordSealer(
            _checked(declared),
            secrets.clear,
            secrets.route,
            declared.unsigned,
            keeps_unknown=declared.keep_unknown,
        )
        codec = encoding.codec.name
        self._places = [
            place_of(kind, declared.keyspace, declared.context, codec) for kind in _KINDS
        ]
        self._plainly = self._tied_to(_PLAIN)

    def contexts(self, raw_key: str, header: Header) -> Contexts:
        """What all secrets of a value are tied to, beside their paths."""
        if header.compression:  # whether it is worth it is known only when they are sealed
            header = replace(header, compression=0)
        # A header that says nothing is the usual one: what it is tied to is there already.
        field, record = self._plainly if header == _PLAIN else self._tied_to(header)
        name = length_prefixed(raw_key.encode())
        return Contexts(field + name, record + name)

    def _tied_to(self, header: Header) -> Contexts:
        fields = length_prefixed(header.encode())
        return Contexts(*(place + fields for place in self._places))

    # -------------------------------------------------------------------------------- out

    def seal(self, plain: Any, contexts: Contexts) -> bytes:
        """The encoding of plain data, its marked and found secrets sealed."""
        return self._sealed(self._sealer.seal, plain, contexts)

    def seal_any(self, plain: Any, contexts: Contexts) -> bytes:
        """The same of plain data in the form of any version, an older one's too."""
        return self._sealed(self._sealer.reseal, plain, contexts)

    def _sealed(
        self, seal: Callable[[Any, Contexts], Any], plain: Any, contexts: Contexts
    ) -> bytes:
        try:
            data = self._encoding.codec.from_plain(seal(plain, contexts))
        except RecursionError:  # a large max_depth=, or a caller deep down itself
            data = None
        if data is None:
            self._encoding.refuse_depth("encode")
        if self._secrets.clear.is_left(data):
            raise EncodeError("a Secret is where it cannot be sealed", stage="encode")
        return data

    def merged(self, value: V, held: Payload, contexts: Contexts) -> Any:
        """Plain data of ``value``, marked, with what its type does not know of a payload.

        Secrets that the type does not know are sealed again, where they stand now.
        """
        codec = self._encoding.codec
        old = self._opened_whole(held, contexts)
        new = codec.to_plain(self._encoding.encode(value))
        merged = carry_unknown(codec.shape, old, new)
        self._encoding.compare(value, codec.from_plain(as_sealed(merged)))
        return merged

    # --------------------------------------------------------------------------------- in

    def open(self, payload: Payload, contexts: Contexts) -> bytes:
        """The encoding of a payload in today's version, its secrets opened.

        Raises TooDeep, NotEncrypted, UnknownKey, Tampered, DecodeError.
        """
        try:
            encoded = self._encoding.codec.from_plain(self._opened(payload, contexts))
        except RecursionError:  # as in `seal`
            encoded = None
        if encoded is None:
            self._encoding.refuse_depth("decode")
        return encoded

    def _opened(self, payload: Payload, contexts: Contexts) -> Any:
        """Plain data in today's version, its secrets marked, those of no type as they are."""
        if payload.header.version != self._encoding.form.version:
            return as_sealed(self._opened_and_upgraded(payload, contexts))
        # Verified before anything else is done with it: a field of newer code may sign.
        return self._sealer.open(self._verified(payload, contexts))

    def _opened_whole(self, held: Payload, contexts: Contexts) -> Any:
        """The same, those of no type found."""
        if held.header.version != self._encoding.form.version:
            return self._opened_and_upgraded(held, contexts)
        record = self._verified(held, contexts)
        opened = record._replace(plain=self._sealer.open(record))
        return left_over(*self._sealer.find(opened, self._secrets.decode))

    def _verified(self, payload: Payload, contexts: Contexts) -> Record:
        return self._sealer.verified(self.parsed(payload.encoded), contexts)

    def _opened_and_upgraded(self, payload: Payload, contexts: Contexts) -> Any:
        plain = self.parsed(payload.encoded)
        unsigned = self._sealer.unsigned(plain, contexts)
        record = self._sealer.verified(plain, contexts) if unsigned is None else unsigned
        plain, found = self._sealer.find(record, self._secrets.decode)
        plain = self._done(self._encoding.upgrade, plain, payload.header.version)
        if unsigned is not None and not holds_secret(plain):
            self._sealer.verified(plain, contexts)  # raises: no upgrade has made a secret of it
        marked = self._done(self._sealer.mark, plain, self._secrets.encode)
        return self._done(left_over, marked, found)

    def _done(self, step: Callable[..., Any], *given: Any) -> Any:
        """What a step makes that is the user's, or works on what the user's code made."""
        try:
            return step(*given)
        except KVCodecError:
            raise
        except Exception as error:  # noqa: BLE001 - the user's function may quote the data
            why = reason(error)
        version = self._encoding.form.version
        raise DecodeError(f"upgrade to version {version}: {why}", stage="decode")

    def parsed(self, encoded: bytes) -> Any:
        """Plain data of an encoding, its secrets sealed. Raises TooDeep, DecodeError."""
        encoding = self._encoding
        encoding.check_depth(encoded)
        try:
            return encoding.codec.to_plain(encoded)
        except Exception as error:  # noqa: BLE001 - a decoder's error may quote the data
            why = reason(error)
        if encoding.form.is_plain:
            refuse_foreign(encoded, encoding.form.version)
        raise DecodeError(why, stage="decode")

    # ---------------------------------------------------------------------------- rotation

    def key_ids(self, payload: Payload) -> tuple[str, ...]:
        """The ids of the keys that the secrets of a payload are sealed under.

        By what sealed fields say: nothing is decrypted.
        """
        found = self._sealer.key_ids(self.parsed(payload.encoded))
        return tuple(sorted(key_id.hex() for key_id in found))

    def verify(self, payload: Payload, contexts: Contexts) -> None:
        """Open every secret of a payload. Raises NotEncrypted, UnknownKey, Tampered."""
        self._sealer.find(self._verified(payload, contexts), self._secrets.decode)

    def confirm(self, payload: Payload, contexts: Contexts) -> None:
        """Make sure that a header is signed, as far as its version was. Raises as ``verify``."""
        plain = self.parsed(payload.encoded)
        is_todays = payload.header.version == self._encoding.form.version
        if is_todays or self._sealer.unsigned(plain, contexts) is None:
            self._sealer.verified(plain, contexts)

    def resealed(self, payload: Payload, contexts: Contexts) -> bytes:
        """The same encoding, its secrets under the primary key: the version stays.

        Verified first, or it would sign what others have written.
        """
        return self.seal_any(self.found(payload, contexts), contexts)

    def found(self, payload: Payload, contexts: Contexts) -> Any:
        """Plain data of a payload, verified, its secrets found: as ``seal_any`` takes it."""
        record = self._verified(payload, contexts)
        return left_over(*self._sealer.find(record, self._secrets.decode))


def _checked(declared: Form) -> Cipher:
    if declared.cipher is None:
        raise ConfigError("a type with Secret fields needs a cipher=: a KeyRing, or a Cipher")
    if declared.bare is not None:
        raise ConfigError("Secret fields are tied to their place: not with bound=False")
    if offers(declared.names, HiddenNames):
        raise ConfigError("HiddenKeys stores the name in a sealed value: not with Secret fields")
    return declared.cipher
