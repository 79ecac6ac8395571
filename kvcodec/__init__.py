"""Typed storage on any raw bytes key-value handle.

Declare once what is stored (``Keyspace``), open it on the handle you have (``Store``, ``Value``,
and their async twins), and let ``KeyRing`` seal what is secret. Everything else is there when
you need it: key schemes, backends, errors.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kvcodec.errors import (
    BackendError,
    ConfigError,
    Conflict,
    DecodeError,
    EncodeError,
    Expired,
    KeyNameError,
    KVCodecError,
    LimitExceeded,
    MissingKey,
    NewerVersion,
    NotEncrypted,
    NotReplicated,
    OutcomeUnknown,
    QuotaExceeded,
    SchemaMismatch,
    Tampered,
    TooDeep,
    TooLarge,
    Unavailable,
    UnknownKey,
    Unsupported,
)
from kvcodec.explanation import Explanation
from kvcodec.keys import Ordered, PathKeys, TemplateKeys
from kvcodec.keyspace import Keyspace, Previous
from kvcodec.protocols import KV, AsyncKV, Cipher, Codec, KeyScheme, Limits
from kvcodec.report import Finding, Report
from kvcodec.secret import Secret
from kvcodec.store import Store
from kvcodec.store_async import AsyncStore
from kvcodec.value import AsyncValue, Value

if TYPE_CHECKING:
    from kvcodec.backends.dify import DifyKV
    from kvcodec.backends.handle import AsyncHandleKV, HandleKV
    from kvcodec.backends.mapping import AsyncMappingKV, MappingKV
    from kvcodec.backends.memory import AsyncMemoryKV, MemoryKV
    from kvcodec.backends.prefix import AsyncPrefixKV, PrefixKV
    from kvcodec.backends.sqlite import SQLiteKV
    from kvcodec.backends.sqlite_async import AsyncSQLiteKV
    from kvcodec.backends.url import open_async_kv, open_kv
    from kvcodec.cache import AsyncCache, Cache, CacheStats
    from kvcodec.crypto import AESGCMCipher, FernetCipher
    from kvcodec.files import AsyncFiles, FileInfo, Files
    from kvcodec.keyring import KeyRing
    from kvcodec.keys_hashed import HashedKeys, HiddenKeys
    from kvcodec.legacy import BigEndian, GzipJSON
    from kvcodec.log import AsyncLog, Log
    from kvcodec.subjects import AsyncSubjects, Subjects

__all__ = [
    "AESGCMCipher",
    "AsyncCache",
    "AsyncFiles",
    "AsyncHandleKV",
    "AsyncKV",
    "AsyncLog",
    "AsyncMappingKV",
    "AsyncMemoryKV",
    "AsyncPrefixKV",
    "AsyncSQLiteKV",
    "AsyncStore",
    "AsyncSubjects",
    "AsyncValue",
    "BackendError",
    "BigEndian",
    "Cache",
    "CacheStats",
    "Cipher",
    "Codec",
    "ConfigError",
    "Conflict",
    "DecodeError",
    "DifyKV",
    "EncodeError",
    "Expired",
    "Explanation",
    "FernetCipher",
    "FileInfo",
    "Files",
    "Finding",
    "GzipJSON",
    "HandleKV",
    "HashedKeys",
    "HiddenKeys",
    "KV",
    "KVCodecError",
    "KeyNameError",
    "KeyRing",
    "KeyScheme",
    "Keyspace",
    "LimitExceeded",
    "Limits",
    "Log",
    "MappingKV",
    "MemoryKV",
    "MissingKey",
    "NewerVersion",
    "NotEncrypted",
    "NotReplicated",
    "Ordered",
    "OutcomeUnknown",
    "PathKeys",
    "PrefixKV",
    "Previous",
    "QuotaExceeded",
    "Report",
    "SQLiteKV",
    "SchemaMismatch",
    "Secret",
    "Store",
    "Subjects",
    "Tampered",
    "TemplateKeys",
    "TooDeep",
    "TooLarge",
    "Unavailable",
    "UnknownKey",
    "Unsupported",
    "Value",
    "open_async_kv",
    "open_kv",
]

_LAZY = {
    "BigEndian": "kvcodec.legacy",
    "GzipJSON": "kvcodec.legacy",
    "AsyncCache": "kvcodec.cache",
    "Cache": "kvcodec.cache",
    "CacheStats": "kvcodec.cache",
    "AsyncSubjects": "kvcodec.subjects",
    "Subjects": "kvcodec.subjects",
    "AsyncFiles": "kvcodec.files",
    "FileInfo": "kvcodec.files",
    "Files": "kvcodec.files",
    "AsyncLog": "kvcodec.log",
    "Log": "kvcodec.log",
    "AESGCMCipher": "kvcodec.crypto",
    "AsyncHandleKV": "kvcodec.backends.handle",
    "AsyncMappingKV": "kvcodec.backends.mapping",
    "AsyncMemoryKV": "kvcodec.backends.memory",
    "AsyncPrefixKV": "kvcodec.backends.prefix",
    "AsyncSQLiteKV": "kvcodec.backends.sqlite_async",
    "DifyKV": "kvcodec.backends.dify",
    "FernetCipher": "kvcodec.crypto",
    "HandleKV": "kvcodec.backends.handle",
    "HashedKeys": "kvcodec.keys_hashed",
    "HiddenKeys": "kvcodec.keys_hashed",
    "KeyRing": "kvcodec.keyring",
    "MappingKV": "kvcodec.backends.mapping",
    "MemoryKV": "kvcodec.backends.memory",
    "PrefixKV": "kvcodec.backends.prefix",
    "SQLiteKV": "kvcodec.backends.sqlite",
    "open_async_kv": "kvcodec.backends.url",
    "open_kv": "kvcodec.backends.url",
}
"""What is imported when it is first asked for: cryptography, sqlite3 and asyncio take longer to
import than all the rest."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'kvcodec' has no attribute {name!r}")
    found = getattr(import_module(_LAZY[name]), name)
    globals()[name] = found  # the next look-up does not come here
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
