"""Records with sealed fields: each ``Secret`` encrypted where it stands, and one of them signs.

The rest stays readable, and nobody without the key can change it unnoticed. Steps, on plain data
as a decoder without a type gives it; a *token* is a sealed field (tokens.py), wherever it stands
outside the root members named in ``unsigned``:

    signer           the token with the smallest MessagePack(path), compared bytewise
    digest           SHA-256 of MessagePack(the record without the unsigned members, with nil in
                     place of the signer): members in stored order, floats as 64 bits; an integer
                     that MessagePack has not stands as extension 1 with its decimal digits
    associated data  of the signer: kind ``record``, place, LP(path), LP(digest)
                     of the others: kind ``field``, place, LP(path)
    nothing sealed   a token of the empty plaintext signs: an object gets the member ``kvs1``, an
                     array one item more, null is replaced by it. The reader drops it

The digest holds the other tokens as they stand, so that one old token beside new ones is refused
as well: tying each field to a digest of the clear part alone was tried, and accepts that. A
signature member in every record was tried, too: it costs another token of 139 bytes.

SHA-256 and not BLAKE2b: every platform's standard library has it (WebCrypto, Node), and it is as
fast on records of this size.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from hashlib import sha256
from typing import Any, NamedTuple, NoReturn

import msgspec

from kvcodec.errors import DecodeError, EncodeError, NotEncrypted, Tampered, UnknownKey
from kvcodec.format.envelope import length_prefixed
from kvcodec.format.plain import is_dict, is_sequence
from kvcodec.protocols import Cipher, offers
from kvcodec.secrets.abilities import PaddingCipher
from kvcodec.secrets.fields import Found, FoundSecrets, Path, Spot, leaves, put, replaced, spots
from kvcodec.secrets.marks import Clear
from kvcodec.secrets.routes import Route
from kvcodec.secrets.secret import Secret
from kvcodec.secrets.tokens import PREFIX, Token, parsed, spelled

__all__ = ["SIGNATURE", "Contexts", "Record", "RecordSealer"]

SIGNATURE = "kvs1"
"""The member that signs an object in which nothing is sealed."""

_BIG_INTEGER = 1
"""The MessagePack extension that an integer stands as in a digest which MessagePack has not."""


class Contexts(NamedTuple):
    """What the tokens of one record are tied to, beside their paths and the digest."""

    field: bytes
    record: bytes


class Record(NamedTuple):
    """A record that is what its signer says."""

    plain: Any
    """Without the signature of a record in which nothing is sealed."""
    tokens: dict[Path, Token]
    signer: Path
    encoded: bytes
    """The plaintext of the signer."""
    declared: list[Spot]
    """The places of the type's secrets."""
    contexts: Contexts


class RecordSealer:
    """Seals and opens the records of one keyspace.

    ``unsigned``: stored names of root members that others may edit. ``keeps_unknown``: whether
    there may be sealed fields that today's type has not.
    """

    __slots__ = ("_form", "_keeps_unknown", "_unsigned", "cipher", "clear", "route")

    def __init__(
        self,
        cipher: Cipher,
        clear: Clear,
        route: Route,
        unsigned: tuple[str, ...],
        *,
        keeps_unknown: bool,
    ) -> None:
        self.cipher: Cipher = cipher
        padding = cipher.padding if offers(cipher, PaddingCipher) else 0
        self._form = bytes((cipher.cipher_id, padding))
        self.clear: Clear = clear
        self.route: Route = route
        self._unsigned = frozenset(unsigned)
        self._keeps_unknown = keeps_unknown

    # ------------------------------------------------------------------------------ sealing

    def seal(self, plain: Any, contexts: Contexts) -> Any:
        """Return plain data, which is used up, with every marked or found secret sealed.

        One of them signs. Raises EncodeError for text that could be taken for a sealed field, and
        for secrets that are not where the type has them, which a class's own serializer can bring
        about.
        """
        secrets = {path: self._marked(leaf) for path, _, leaf in spots(self.route, plain)}
        if self._keeps_unknown:
            secrets |= {path: leaf.encoded for path, leaf in leaves(plain) if type(leaf) is Found}
        return self._sealed(secrets, plain, contexts)

    def reseal(self, plain: Any, contexts: Contexts) -> Any:
        """The same for data of whatever version, whose secrets may be where no route leads."""
        secrets = {
            path: encoded
            for path, leaf in leaves(plain)
            if (encoded := self._encoding_in(leaf)) is not None
        }
        return self._sealed(secrets, plain, contexts)

    def _marked(self, leaf: Any) -> bytes:
        encoded = self.clear.encoded(leaf)
        if encoded is None:
            raise EncodeError("a Secret is where it cannot be sealed", stage="encode")
        return encoded

    def _encoding_in(self, leaf: Any) -> bytes | None:
        return leaf.encoded if isinstance(leaf, Found) else self.clear.encoded(leaf)

    def _sealed(self, secrets: dict[Path, bytes], record: Any, contexts: Contexts) -> Any:
        if not secrets:
            record, path = _with_room(record)
            secrets[path] = b""
        signer = min(secrets, key=msgspec.msgpack.encode)
        for path, encoded in secrets.items():
            token = None if path == signer else self._token(encoded, contexts.field, path)
            record = _put(record, path, token)
        signed = self._signed(record)
        if _may_hold_others(signed, secrets):
            self._refuse_others(record, secrets)
        return _put(
            record, signer, self._spelled(secrets[signer], _context(contexts, signer, signed))
        )

    def _refuse_others(self, record: Any, secrets: dict[Path, bytes]) -> None:
        if not self._tokens(record).keys() <= secrets.keys():
            raise EncodeError("a text that could be taken for a sealed field", stage="encode")

    def _token(self, encoded: bytes, context: bytes, path: Path) -> str:
        return self._spelled(encoded, context + length_prefixed(msgspec.msgpack.encode(path)))

    def _spelled(self, encoded: bytes, context: bytes) -> str:
        return spelled(self._form, self.cipher.key_id, self.cipher.encrypt(encoded, context))

    def _signed(self, record: Any) -> bytes:
        """What is signed of a record with None in its signer's place, in MessagePack."""
        if self._unsigned and is_dict(record):
            record = {name: part for name, part in record.items() if name not in self._unsigned}
        try:
            return msgspec.msgpack.encode(record)
        except OverflowError:
            return msgspec.msgpack.encode(replaced(record, (), _with_big_integer))

    # ------------------------------------------------------------------------------ opening

    def verified(self, plain: Any, contexts: Contexts) -> Record:
        """Return the record that plain data is, signed as a whole.

        Raises NotEncrypted where nothing signs; UnknownKey or Tampered.
        """
        declared = spots(self.route, plain)
        tokens, signer, signed = self._signing(plain, declared)
        context = _context(contexts, signer, signed)
        encoded = self._decrypted(tokens[signer], context, lambda: self._shown(plain, signer))
        if encoded == b"":
            plain = _without_room(plain, signer)
            tokens, declared = {}, spots(self.route, plain)
        return Record(plain, tokens, signer, encoded, declared, contexts)

    def _signing(self, plain: Any, declared: list[Spot]) -> tuple[dict[Path, Token], Path, bytes]:
        """All tokens, the place of their signer, and what it signs. Raises NotEncrypted."""
        tokens = {path: token for path, _, leaf in declared if (token := parsed(leaf))}
        if tokens:
            signer, signed = self._signer_of(plain, tokens)
            if not _may_hold_others(signed, tokens):
                return tokens, signer, signed
        tokens = self._tokens(plain)
        if not tokens:
            self._refuse_unsigned(plain)
        return tokens, *self._signer_of(plain, tokens)

    def _signer_of(self, plain: Any, tokens: dict[Path, Token]) -> tuple[Path, bytes]:
        signer = min(tokens, key=msgspec.msgpack.encode)
        return signer, self._signed(put(plain, signer, None))

    def _tokens(self, plain: Any) -> dict[Path, Token]:
        """All that are signed, wherever they stand."""
        return {
            path: token
            for path, leaf in leaves(plain)
            if (token := parsed(leaf)) and self._is_signed(path)
        }

    def _is_signed(self, path: Path) -> bool:
        return not path or path[0] not in self._unsigned

    def _refuse_unsigned(self, plain: Any) -> NoReturn:
        """Say which secret of the type is missing, where one is."""
        for _, shown, leaf in spots(self.route, plain):
            _refuse(leaf, shown)
        raise NotEncrypted(
            "plaintext: nothing in this record is sealed, and its type has Secret fields: older "
            "records need previous=[Previous(..., until=...)]",
            stage="decrypt",
        )

    def _shown(self, plain: Any, path: Path) -> str:
        """A place as a message may name it."""
        places = {declared: shown for declared, shown, _ in spots(self.route, plain)}
        return places.get(path, "a place that the type does not know")

    def _decrypted(self, token: Token, context: bytes, shown: Callable[[], str]) -> bytes:
        unknown = False
        if token.form == self._form:
            try:
                return self.cipher.decrypt(token.ciphertext, context, token.key_id)
            except UnknownKey:
                unknown = True
            except Tampered:
                pass
        # Raised here: inside `except` the cipher's own error would go along.
        if unknown:
            raise UnknownKey(
                f"the secret at {shown()} is sealed under a key that the ring lacks: another ring? "
                "Else KeyRing(primary, retired=[...])",
                key_id=token.key_id.hex(),
                stage="decrypt",
            )
        raise Tampered(
            f"the secret at {shown()}, or the record that it signs, was changed, moved, or sealed "
            "elsewhere",
            stage="decrypt",
        )

    def unsigned(self, plain: Any, contexts: Contexts) -> Record | None:
        """The record that plain data without any sealed field would be; None if it has one.

        For versions from before a field was a Secret, which an upgrade then makes one: an open
        window to whoever can write, until ``oldest=`` closes it.
        """
        return None if self._tokens(plain) else Record(plain, {}, (), b"", [], contexts)

    def open(self, record: Record) -> Any:
        """Return the plain data, which is used up, with every secret of the type opened and marked.

        Raises NotEncrypted, UnknownKey or Tampered.
        """
        plain = record.plain
        for path, shown, _ in record.declared:
            if path not in record.tokens:
                _refuse(None, shown)
            plain = _put(plain, path, self.clear.leaf(self._encoded(record, path, shown)))
        return plain

    def _encoded(self, record: Record, path: Path, shown: str) -> bytes:
        if path == record.signer:
            return record.encoded
        context = record.contexts.field + length_prefixed(msgspec.msgpack.encode(path))
        return self._decrypted(record.tokens[path], context, lambda: shown)

    def find(self, record: Record, decode: Callable[[bytes], Any]) -> tuple[Any, FoundSecrets]:
        """Return plain data in which whatever is sealed here is a ``Secret``.

        For data of another version, whose type is not known any more. Raises UnknownKey, Tampered.
        """
        found: FoundSecrets = {}

        def find_leaf(leaf: Any, path: Path) -> Any:
            if path not in record.tokens or parsed(leaf) is None:  # opened and marked already
                return leaf
            encoded = self._encoded(record, path, "a place that the type does not know")
            secret = Secret(decode(encoded))
            found[id(secret)] = (secret, Found(leaf, encoded))
            return secret

        return replaced(record.plain, (), find_leaf), found

    def key_ids(self, plain: Any) -> set[bytes]:
        """The ids of the keys that the tokens of plain data name; nothing is opened."""
        return {token.key_id for token in self._tokens(plain).values()}

    def mark(self, plain: Any, encode: Callable[[Any], bytes]) -> Any:
        """Return upgraded data with the secrets of today's type marked.

        Raises NotEncrypted where the upgrades left anything else.
        """
        plain = replaced(plain, (), lambda leaf, _: leaf)  # a copy: parts may stand in it twice
        for path, shown, leaf in spots(self.route, plain):
            if not isinstance(leaf, Secret):
                _refuse(leaf, shown)
            plain = _put(plain, path, self.clear.leaf(encode(leaf.reveal())))
        return plain


def _context(contexts: Contexts, signer: Path, signed: bytes) -> bytes:
    """What the signer's token is tied to."""
    path = msgspec.msgpack.encode(signer)
    return contexts.record + length_prefixed(path, sha256(signed).digest())


_PREFIX = PREFIX.encode()


def _may_hold_others(signed: bytes, tokens: Collection[Path]) -> bool:
    """Say whether more may be sealed in what is signed than the signer and the other tokens.

    In MessagePack every text stands as its own UTF-8, without escapes: what is not there as bytes
    is not there. So the way along the type's route is all that is walked, usually.
    """
    return signed.count(_PREFIX) != len(tokens) - 1


def _refuse(leaf: Any, shown: str) -> NoReturn:
    """Of what stands where a sealed field belongs."""
    if isinstance(leaf, str) and leaf.startswith(PREFIX):
        raise Tampered(f"the secret at {shown} was changed, or cut short", stage="decrypt")
    raise NotEncrypted(
        f"plaintext at {shown}, a Secret: older ones need previous=[Previous(..., until=...)]",
        stage="decrypt",
    )


def _put(record: Any, path: Path, leaf: Any) -> Any:
    """Put a leaf into data that is one's own."""
    if not path:
        return leaf
    part = record
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = leaf
    return record


def _with_room(record: Any) -> tuple[Any, Path]:
    """A record in which nothing is sealed, and where its signature is to stand."""
    if is_dict(record) and SIGNATURE not in record:
        return {**record, SIGNATURE: None}, (SIGNATURE,)
    if is_sequence(record):
        return [*record, None], (len(record),)
    if record is None:
        return None, ()
    raise EncodeError(
        "this value has no Secret in it, and no room for a signature: it is a plain number or "
        f"text, or has an entry {SIGNATURE!r} of its own",
        stage="encode",
    )


def _without_room(plain: Any, signer: Path) -> Any:
    if signer == ():
        return None
    if is_dict(plain) and signer == (SIGNATURE,):
        return {name: part for name, part in plain.items() if name != SIGNATURE}
    if is_sequence(plain) and signer == (len(plain) - 1,):
        return plain[:-1]
    raise DecodeError(
        "the signature stands where kvcodec puts none: changed by something else", stage="decrypt"
    )


def _with_big_integer(leaf: Any, _: Path) -> Any:
    if type(leaf) is int and not -(2**63) <= leaf < 2**64:
        return msgspec.msgpack.Ext(_BIG_INTEGER, str(leaf).encode())
    return leaf
