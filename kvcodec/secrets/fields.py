"""Sealed fields: each ``Secret`` of a value encrypted where it stands, the rest readable.

Works on plain data, as a decoder without a type gives it. A sealed field is one string, in JSON
and in MessagePack (docs/FORMAT.md draws it):

    "kvs1." BASE64URL(cipher id, 1 byte; key id, 16 bytes) "." ciphertext

The ciphertext is as it is where it is text (Fernet), else base64url, without padding. It is tied
to LP(keyspace) LP(codec) LP(header fields without compression) LP(raw key) LP(path), where path
is the MessagePack array of the member names and positions that lead to the field.

Which fields are sealed is compiled from the type (routes.py); the bytes never decide it. Writing
looks for the marks of marks.py instead, everywhere: what the compiler could have overlooked is
sealed all the same, and refused on reading.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from kvcodec.errors import DecodeError, NotEncrypted, Tampered, UnknownKey
from kvcodec.format.envelope import FERNET, KEY_ID_BYTES, PADDED_FERNET, associated_data
from kvcodec.format.plain import is_dict, is_sequence
from kvcodec.protocols import Cipher
from kvcodec.secrets.marks import Clear
from kvcodec.secrets.routes import Route
from kvcodec.secrets.secret import Secret

__all__ = ["FieldSealer", "as_sealed", "left_over"]

PREFIX = "kvs1."

_TEXT_CIPHERS = (FERNET, PADDED_FERNET)
"""Ciphers whose ciphertext is text already: Fernet tokens, which base64url would lengthen."""

_IDS_CHARS = 23
"""Of the cipher id and the key id, 17 bytes, in base64url without padding."""

Path: TypeAlias = tuple[Any, ...]
_Object: TypeAlias = dict[Any, Any]


class FieldSealer:
    """Seals and opens the secrets of one keyspace's values. ``context``: what all are tied to."""

    __slots__ = ("cipher", "clear", "route")

    def __init__(self, cipher: Cipher, clear: Clear, route: Route) -> None:
        self.cipher = cipher
        self.clear = clear
        self.route = route

    def seal(self, plain: Any, context: bytes) -> Any:
        """Return plain data in which every marked or found secret is sealed."""

        def seal_leaf(leaf: Any, path: Path) -> Any:
            encoded = leaf.encoded if isinstance(leaf, Found) else self.clear.encoded(leaf)
            return leaf if encoded is None else self._sealed(encoded, context, path)

        return _replaced(plain, (), seal_leaf)

    def _sealed(self, encoded: bytes, context: bytes, path: Path) -> str:
        cipher = self.cipher
        ciphertext = cipher.encrypt(encoded, context + _path_data(path))
        is_text = cipher.cipher_id in _TEXT_CIPHERS
        ids = _base64(bytes((cipher.cipher_id,)) + cipher.key_id)
        return f"{PREFIX}{ids}.{ciphertext.decode() if is_text else _base64(ciphertext)}"

    def open(self, plain: Any, context: bytes) -> Any:
        """Return plain data in which every secret of the type is opened, and marked.

        Raises NotEncrypted, UnknownKey or Tampered.
        """

        def open_leaf(leaf: Any, path: Path, shown: str) -> Any:
            return self._opened(leaf, path, shown, context)

        return _along(self.route, plain, ROOT, open_leaf)

    def _opened(self, leaf: Any, path: Path, shown: str, context: bytes) -> Any:
        return self.clear.leaf(self._encoded(leaf, path, shown, context))

    def _encoded(self, leaf: Any, path: Path, shown: str, context: bytes) -> bytes:
        if not isinstance(leaf, str) or not leaf.startswith(PREFIX):
            raise NotEncrypted(
                f"plaintext or nothing at {shown}, where a secret belongs", stage="decrypt"
            )
        sealed = _parsed(leaf)
        key_id: bytes | None = None
        if sealed is not None and sealed[0] == self.cipher.cipher_id:
            try:
                return self.cipher.decrypt(sealed[2], context + _path_data(path), sealed[1])
            except UnknownKey:
                key_id = sealed[1]
            except Tampered:
                pass
        # Raised here: inside `except` the cipher's own error would go along.
        if key_id is None:
            raise Tampered(
                f"the secret at {shown} was changed, moved, or sealed elsewhere", stage="decrypt"
            )
        raise UnknownKey(
            f"the secret at {shown} is sealed under a key that the ring does not hold: "
            "add it as a retired key",
            key_id=key_id.hex(),
            stage="decrypt",
        )

    # ------------------------------------------------- what today's type does not know of

    def find(
        self, plain: Any, context: bytes, decode: Callable[[bytes], Any]
    ) -> tuple[Any, FoundSecrets]:
        """Return plain data in which whatever is sealed here, and opens, is a ``Secret``.

        For data of another version, whose type is not known any more. What only looks like a
        sealed field may be somebody's text: it stays as it is, and is refused where a secret
        belongs.
        """
        found: FoundSecrets = {}

        def find_leaf(leaf: Any, path: Path) -> Any:
            if not isinstance(leaf, str) or not leaf.startswith(PREFIX):
                return leaf
            try:
                encoded = self._encoded(leaf, path, "", context)
            except DecodeError:
                return leaf
            secret = Secret(decode(encoded))
            found[id(secret)] = (secret, Found(leaf, encoded))
            return secret

        return _replaced(plain, (), find_leaf), found

    def key_ids(self, plain: Any, context: bytes, *, todays: bool) -> set[bytes]:
        """The ids of the keys that the secrets of a value are sealed under.

        ``todays``: whether the data is of today's type. Where a secret of that belongs, the id
        says it all, as for what is under the primary key anywhere; anything else counts if it
        opens: it may be somebody's text. Of another type's data nothing is known, and what is
        sealed under a key that is not in the ring counts too.
        """
        secrets: set[Path] = set()
        found: set[bytes] = set()

        def note(leaf: Any, path: Path, _: str) -> Any:
            secrets.add(path)
            return leaf

        def look(leaf: Any, path: Path) -> Any:
            sealed = _parsed(leaf) if isinstance(leaf, str) and leaf.startswith(PREFIX) else None
            if sealed is None:
                return leaf
            known = path in secrets or sealed[1] == self.cipher.key_id
            if known or self._opens(leaf, path, context, unknown=not todays):
                found.add(sealed[1])
            return leaf

        if todays:
            _along(self.route, plain, ROOT, note)
        _replaced(plain, (), look)
        return found

    def _opens(self, leaf: str, path: Path, context: bytes, *, unknown: bool) -> bool:
        """Whether text is a secret that was sealed at this place; ``unknown``: or may be one."""
        try:
            self._encoded(leaf, path, "", context)
        except UnknownKey:
            return unknown
        except DecodeError:
            return False
        return True

    def mark(self, plain: Any, encode: Callable[[Any], bytes]) -> Any:
        """Return upgraded data with the secrets of today's type marked.

        Raises NotEncrypted, UnknownKey or Tampered where the upgrades left anything else.
        """

        def mark_leaf(leaf: Any, path: Path, shown: str) -> Any:
            if isinstance(leaf, Secret):
                return self.clear.leaf(encode(leaf.reveal()))
            return self._opened(leaf, path, shown, b"")  # raises: nothing opens under no context

        return _along(self.route, plain, ROOT, mark_leaf)


class Found(Struct, frozen=True):
    """A secret where today's type has none: as it was sealed, and its encoding."""

    sealed: str
    encoded: bytes


FoundSecrets: TypeAlias = dict[int, tuple[Secret[Any], Found]]
"""By the identity of the Secret, whatever an upgrade does with it."""


def left_over(plain: Any, found: FoundSecrets) -> Any:
    """Return plain data in which what was found, and is none of today's secrets, is ``Found``.

    Raises TypeError for a Secret that an upgrade made where today's type has none.
    """

    def keep(leaf: Any, _: Path) -> Any:
        if not _is_secret(leaf):
            return leaf
        if id(leaf) not in found:
            raise TypeError("a Secret where the type has none")
        return found[id(leaf)][1]

    return _replaced(plain, (), keep)


def as_sealed(plain: Any) -> Any:
    """Return plain data in which what was found is again as it was sealed."""
    return _replaced(plain, (), lambda leaf, _: leaf.sealed if isinstance(leaf, Found) else leaf)


# ---------------------------------------------------------------------------------- plain data


def _is_secret(plain: Any) -> bool:
    return isinstance(plain, Secret)


def _replaced(plain: Any, path: Path, replace: Callable[[Any, Path], Any]) -> Any:
    """Return plain data with every leaf replaced."""
    if is_dict(plain):
        whole: _Object = plain
        return {name: _replaced(part, (*path, name), replace) for name, part in whole.items()}
    if is_sequence(plain):
        return [_replaced(part, (*path, at), replace) for at, part in enumerate(plain)]
    return replace(plain, path)


class Spot(NamedTuple):
    """A place in plain data: the way to it, and how a message may name it."""

    path: Path
    shown: str
    """Names that the type declares, and positions; no keys of dicts, which are data."""


ROOT = Spot((), "$")


def _along(route: Route, plain: Any, spot: Spot, replace: Callable[[Any, Path, str], Any]) -> Any:
    """Return plain data with every secret that the route leads to replaced."""
    if route.is_secret:
        return None if plain is None and route.optional else replace(plain, *spot)
    members = route.members(plain)
    if members is None or not (members.named or members.others):
        return plain
    named, others = members.named, members.others
    path, shown = spot

    def step(name: Any, part: Any, place: str) -> Any:
        to = named.get(name, others)
        return part if to is None else _along(to, part, Spot((*path, name), shown + place), replace)

    if is_dict(plain):
        whole: _Object = plain
        return {
            name: step(name, part, f".{name}" if name in named else "[...]")
            for name, part in whole.items()
        }
    return [step(at, part, f"[{at}]") for at, part in enumerate(plain)]


# --------------------------------------------------------------------------------- one string


def _path_data(path: Path) -> bytes:
    return associated_data(msgspec.msgpack.encode(path))


_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


def _base64(data: bytes) -> str:
    """Base64url without padding (RFC 4648, section 5)."""
    # Not base64.urlsafe_b64encode: that module is imported by who encrypts, not by everybody.
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode()


def _from_base64(text: str) -> bytes | None:
    padded = text.encode(errors="replace").translate(_FROM_URL) + b"=" * (-len(text) % 4)
    try:
        data = binascii.a2b_base64(padded)
    except binascii.Error:
        return None
    return data if _base64(data) == text else None  # there is one spelling


def _parsed(text: str) -> tuple[int, bytes, bytes] | None:
    """Take a sealed field apart: cipher id, key id, ciphertext. None: it is not of the form."""
    ids, dot, rest = text[len(PREFIX) :].partition(".")
    head = _from_base64(ids) if len(ids) == _IDS_CHARS and dot else None
    if head is None or not rest.isascii():
        return None
    ciphertext = rest.encode() if head[0] in _TEXT_CIPHERS else _from_base64(rest)
    return None if ciphertext is None else (head[0], head[1 : 1 + KEY_ID_BYTES], ciphertext)
