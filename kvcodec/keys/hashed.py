"""Names that do not tell their key: hashed where they would grow too long, hidden where they tell.

A hash has no way back. So the whole name of a key (``name/part/part``, as ``PathKeys`` builds it)
is stored in front of the value's encoding, inside the encryption where there is one. Reading
checks that the name which is stored belongs to the raw key, and listing reads it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self

from typing_extensions import TypeVar

from kvcodec.errors import ConfigError, KeyNameError, forgetful
from kvcodec.format.envelope import length_prefixed
from kvcodec.keys.declared import Declared
from kvcodec.keys.paths import PathKeys

if TYPE_CHECKING:
    from kvcodec.secrets.keyring import KeyRing
    from kvcodec.secrets.ring_keys import RingKey

__all__ = ["HashedKeys", "HiddenKeys"]

K = TypeVar("K", default=str)

_HIDDEN_LABEL = b"kvcodec hidden names v1"
_HIDDEN_BYTES = 20
"""Of a keyed hash: 160 bits, 32 characters. Who has no key cannot look for two that meet."""
_MARK = "="
"""In front of every hash: no part of a ``PathKeys`` name holds it, so that names of both schemes
can be told apart while a keyspace is on its way from one to the other."""
_DERIVED_CHARS = 32
"""Left free behind a readable beginning, for what kvcodec derives from a name: a chunk of a file
takes ``!g``, 16 characters, a dot and its number."""


class _HashedNames(Declared, Generic[K]):
    """What both schemes are: ``PathKeys`` names, and raw keys made of them with no way back."""

    __slots__ = ("_inner", "prefix")

    prefix: str
    """What every raw key of the scheme starts with."""
    _inner: PathKeys[Any]
    _chars: ClassVar[int]
    """Of a hash in base32."""

    def bind(self, name: str, key_type: Any, /) -> Self:
        """Return the scheme of keyspace ``name`` with keys of ``key_type``."""
        bound = self._unbound_copy()
        bound._inner = PathKeys().bind(name, key_type)
        bound.prefix = bound._inner.prefix.removesuffix("/") + "/"
        return bound

    @abstractmethod
    def _unbound_copy(self) -> Self:
        """The same options, for another keyspace."""

    @abstractmethod
    def _hashed(self, name: bytes) -> bytes:
        """The hash of a whole name."""

    def raw_key_of(self, name: str, /) -> str:
        """Return the raw key of a whole name."""
        return f"{self.prefix}{_MARK}{_base32(self._hashed(name.encode()))}"

    def is_raw_key(self, raw_key: str, /) -> bool:
        """Say whether text has the form of a raw key of this scheme."""
        rest = raw_key.removeprefix(self.prefix)
        form = f"{_MARK}[a-z2-7]{{{self._chars}}}"
        return rest != raw_key and re.fullmatch(form, rest) is not None

    @property
    def plain(self) -> bool:
        """Whether keys that compare equal are the same key: raw keys may be remembered."""
        return self._inner.plain

    def join(self, key: K, /) -> str:
        """Return the raw key of ``key``. Raises KeyNameError as ``PathKeys`` does."""
        return self.raw_key_of(self._inner.join(key))

    def split(self, raw_key: str, /) -> K:
        """Raise KeyNameError: the key is in the value, and ``keys()`` of a store reads it."""
        why = "a hash does not tell its key: it is stored with the value"
        raise KeyNameError(why, raw_key=raw_key, stage="name")

    def name(self, key: K, /) -> str:
        """Return the whole name of ``key``, as it is stored with the value."""
        return self._inner.join(key)

    def key(self, name: str, /) -> K:
        """Return the key of a whole name. Raises KeyNameError if it is none of this keyspace."""
        key: K = self._inner.split(name)
        return key


class HashedKeys(_HashedNames[K]):
    """Names of fixed length, for keys that may outgrow the host's limit.

    A raw key is the keyspace's name and the SHA-256 of the whole name, all of it ASCII; no option
    changes it. The whole name is stored with the value, so that values have an envelope, and a
    value that was copied to another key's name is refused on reading (Tampered). Listing reads the
    values. ``limit``: bytes that a name may have, checked when declared.

    Whoever knows a key can compute its name: ``HiddenKeys`` is for what must not be recognised.

    Raises ConfigError, when declared, for a limit that the keyspace's name and the hash exceed.
    """

    __slots__ = ("limit",)

    _chars = 52
    """Of SHA-256, whole: who chooses keys may look for names that meet, in 2^128 tries."""

    def __init__(self, *, limit: int = 255) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int):
            raise ConfigError("limit= is a number of bytes")
        self.limit: int = limit
        self._inner = PathKeys()
        self.prefix: str = self._inner.prefix

    def bind(self, name: str, key_type: Any, /) -> Self:
        """Return the scheme of keyspace ``name`` with keys of ``key_type``."""
        bound = super().bind(name, key_type)
        needed = len(bound.prefix) + len(_MARK) + self._chars + _DERIVED_CHARS
        if needed > self.limit:
            raise ConfigError(f"limit={self.limit} is too small for this name: it needs {needed}")
        return bound

    def _unbound_copy(self) -> Self:
        return type(self)(limit=self.limit)

    def _hashed(self, name: bytes) -> bytes:
        return hashlib.sha256(name).digest()

    def __repr__(self) -> str:
        try:
            return f"HashedKeys(limit={self.limit})"
        except AttributeError:  # refused by its own constructor
            return "HashedKeys(refused)"


class HiddenKeys(_HashedNames[K]):
    """Names that reveal nothing of the key to whoever lacks the ring.

    A raw key is the keyspace's name and a keyed hash of the whole name (HKDF-SHA-256 under the
    ring's key). The whole name is stored inside the sealed value: the keyspace needs ``cipher=``,
    and the owner's ``keys()`` decrypts to list. What still shows: how many keys there are, which
    of them are read and written, and the length of the sealed name, unless the cipher pads it.

    Names do not change with the primary key, or nothing would be found any more. ``naming`` is
    the id of the ring's key that they are made with; it can be left out while the ring has one
    key only. Keep that key in the ring, retired, for as long as the names are in use.

    Raises ConfigError for a ring of several keys without ``naming``, and for an id that is not in
    the ring.
    """

    __slots__ = ("_deriver", "_key", "naming")

    _chars = 32

    @forgetful  # perhaps the text of a key stands in the place of its ring or id
    def __init__(self, ring: KeyRing, *, naming: str | None = None) -> None:
        self._use(_naming_key(ring, naming))

    def _use(self, key: RingKey) -> None:
        from kvcodec.secrets.ring_keys import Deriver  # cryptography is imported by who encrypts

        self._key = key
        self._deriver = Deriver(key, _HIDDEN_LABEL)
        self.naming: str = key.id.hex()
        self._inner = PathKeys()
        self.prefix: str = self._inner.prefix

    @property
    def spelling(self) -> str:
        """What decides its raw keys: the key that they are made with."""
        return self.naming

    def _unbound_copy(self) -> Self:
        copy = type(self).__new__(type(self))
        copy._use(self._key)
        return copy

    def _hashed(self, name: bytes) -> bytes:
        return self._deriver.derive(length_prefixed(name))[:_HIDDEN_BYTES]

    def __repr__(self) -> str:
        try:
            return f"HiddenKeys(naming={self.naming})"
        except AttributeError:  # refused by its own constructor
            return "HiddenKeys(refused)"


def _naming_key(ring: Any, naming: str | None) -> RingKey:
    from kvcodec.secrets.keyring import KeyRing, keys_of

    if not isinstance(ring, KeyRing):
        raise ConfigError("HiddenKeys takes a KeyRing")
    keys = {key.id.hex(): key for key in keys_of(ring)}
    if naming is None and len(keys) > 1:
        raise ConfigError(
            "names do not change with the primary key: say which key of the ring they are made "
            f"with, naming= one of {list(keys)}"
        )
    chosen = keys.get(ring.primary if naming is None else naming)
    if chosen is None:
        raise ConfigError(f"naming= is no id of a key of the ring, which has {list(keys)}")
    return chosen


def _base32(data: bytes) -> str:
    # Lower case and digits: the same name on hosts that do not tell A from a.
    return base64.b32encode(data).decode().rstrip("=").lower()
