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
from kvcodec.keys.parts import Ordered
from kvcodec.keys.paths import PathKeys
from kvcodec.keyspace.explanation import Explanation
from kvcodec.keyspace.keyspace import Keyspace, Previous
from kvcodec.plans.report import Finding, Report
from kvcodec.protocols import KV, AsyncKV, Cipher, Codec, KeyScheme, Limits
from kvcodec.secrets.secret import Secret
from kvcodec.stores.store import Store
from kvcodec.stores.store_async import AsyncStore
from kvcodec.stores.value import AsyncValue, Value

if TYPE_CHECKING:
    from kvcodec.backends.dify import DifyKV
    from kvcodec.backends.handle import AsyncHandleKV, HandleKV
    from kvcodec.backends.mapping import AsyncMappingKV, MappingKV
    from kvcodec.backends.memory import AsyncMemoryKV, MemoryKV
    from kvcodec.backends.prefix import AsyncPrefixKV, PrefixKV
    from kvcodec.backends.sqlite import SQLiteKV
    from kvcodec.backends.sqlite_async import AsyncSQLiteKV
    from kvcodec.backends.url import open_async_kv, open_kv
    from kvcodec.codecs.legacy import BigEndian, GzipJSON
    from kvcodec.keys.hashed import HashedKeys, HiddenKeys
    from kvcodec.keys.templates import TemplateKeys
    from kvcodec.secrets.ciphers import AESGCMCipher, FernetCipher
    from kvcodec.secrets.keyring import KeyRing
    from kvcodec.stores.cache import AsyncCache, Cache, CacheStats
    from kvcodec.stores.files import AsyncFiles, FileInfo, Files
    from kvcodec.stores.log import AsyncLog, Log
    from kvcodec.stores.subjects import AsyncSubjects, Subjects

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
    "BigEndian": "kvcodec.codecs.legacy",
    "GzipJSON": "kvcodec.codecs.legacy",
    "AsyncCache": "kvcodec.stores.cache",
    "Cache": "kvcodec.stores.cache",
    "CacheStats": "kvcodec.stores.cache",
    "AsyncSubjects": "kvcodec.stores.subjects",
    "Subjects": "kvcodec.stores.subjects",
    "AsyncFiles": "kvcodec.stores.files",
    "FileInfo": "kvcodec.stores.files",
    "Files": "kvcodec.stores.files",
    "AsyncLog": "kvcodec.stores.log",
    "Log": "kvcodec.stores.log",
    "AESGCMCipher": "kvcodec.secrets.ciphers",
    "AsyncHandleKV": "kvcodec.backends.handle",
    "AsyncMappingKV": "kvcodec.backends.mapping",
    "AsyncMemoryKV": "kvcodec.backends.memory",
    "AsyncPrefixKV": "kvcodec.backends.prefix",
    "AsyncSQLiteKV": "kvcodec.backends.sqlite_async",
    "DifyKV": "kvcodec.backends.dify",
    "FernetCipher": "kvcodec.secrets.ciphers",
    "HandleKV": "kvcodec.backends.handle",
    "HashedKeys": "kvcodec.keys.hashed",
    "HiddenKeys": "kvcodec.keys.hashed",
    "KeyRing": "kvcodec.secrets.keyring",
    "MappingKV": "kvcodec.backends.mapping",
    "MemoryKV": "kvcodec.backends.memory",
    "PrefixKV": "kvcodec.backends.prefix",
    "SQLiteKV": "kvcodec.backends.sqlite",
    "TemplateKeys": "kvcodec.keys.templates",
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
