"""The attacker's hands: everything that is stored, read and written as bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kvcodec import AESGCMCipher, DecodeError, FernetCipher, KeyRing, MappingKV, SQLiteKV

__all__ = [
    "CIPHERS",
    "PADDED",
    "KEY",
    "RING",
    "Store_",
    "ThreeMethods",
    "dump",
    "opens",
    "put",
    "restore",
]

KEY = KeyRing.generate_key()
RING = KeyRing(KEY)
CIPHERS: dict[str, Any] = {"fernet": RING, "aes-gcm": AESGCMCipher(RING)}
PADDED: dict[str, Any] = {
    "fernet, padded": FernetCipher(RING, pad_to=64),
    "aes-gcm, padded": AESGCMCipher(RING, pad_to=64),
}

Store_ = MappingKV | SQLiteKV


class ThreeMethods:
    """A store that cannot list, so that an index is kept in it."""

    def __init__(self, kv: Store_) -> None:
        self.get, self.set, self.delete = kv.get, kv.set, kv.delete


def dump(kv: Store_) -> dict[str, bytes]:
    """Everything that is stored."""
    names = sorted(kv.scan_keys(""))
    if isinstance(kv, SQLiteKV):  # in some statements, and not in as many as there are names
        return {name: bytes(data) for name, data in sorted(kv.get_many(names).items())}
    return {name: bytes(kv.get(name) or b"") for name in names}


def put(kv: Store_, name: str, data: bytes | None) -> None:
    """Write one name, or remove it."""
    if data is None:
        kv.delete(name)
    else:
        kv.set(name, data)


def restore(kv: Store_, state: dict[str, bytes]) -> None:
    """Put back an old state, whole."""
    now = dump(kv)
    for name in now.keys() - state.keys():
        kv.delete(name)
    for name, data in state.items():
        if now.get(name) != data:
            kv.set(name, data)


def opens(act: Callable[[], Any]) -> bool:
    """Whether an operation returns without an error that tells of what is stored."""
    try:
        act()
    except DecodeError:
        return False
    return True
