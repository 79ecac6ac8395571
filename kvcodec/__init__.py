"""Typed storage on any raw bytes key-value handle.

Declare once what is stored (``Keyspace``), open it on the handle you have (``Store``, ``Value``,
and their async twins), and let ``KeyRing`` seal what is secret. Everything else is there when
you need it: key schemes, backends, errors.
"""

from __future__ import annotations

from importlib import import_module
from sys import modules
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

if TYPE_CHECKING:
    from kvcodec.backends.dify import DifyKV
    from kvcodec.backends.handle import AsyncHandleKV, HandleKV
    from kvcodec.backends.mapping import AsyncMappingKV, MappingKV
    from kvcodec.backends.memory import AsyncMemoryKV, MemoryKV
    from kvcodec.backends.nats import NatsKV
    from kvcodec.backends.object import ObjectKV
    from kvcodec.backends.object_async import AsyncObjectKV
    from kvcodec.backends.object_check import check_atomic
    from kvcodec.backends.postgres import PostgresKV
    from kvcodec.backends.postgres_async import AsyncPostgresKV
    from kvcodec.backends.prefix import AsyncPrefixKV, PrefixKV
    from kvcodec.backends.read_only import AsyncReadOnlyKV, ReadOnlyKV
    from kvcodec.backends.redis import RedisKV
    from kvcodec.backends.redis_async import AsyncRedisKV
    from kvcodec.backends.retry import AsyncRetryKV, RetryKV
    from kvcodec.backends.sqlite import SQLiteKV
    from kvcodec.backends.sqlite_async import AsyncSQLiteKV
    from kvcodec.backends.tiered import AsyncTieredKV, TieredKV
    from kvcodec.backends.url import open_async_kv, open_kv
    from kvcodec.backends.watched import AsyncWatchedKV, Counters, Observed, WatchedKV
    from kvcodec.codecs.legacy import GzipJSON
    from kvcodec.codecs.packed import Packed
    from kvcodec.keys.hashed import HashedKeys, HiddenKeys
    from kvcodec.keys.templates import TemplateKeys
    from kvcodec.secrets.ciphers import AESGCMCipher, FernetCipher
    from kvcodec.secrets.keyring import KeyRing
    from kvcodec.secrets.wrapped import AsyncKeyWrapper, KeyWrapper
    from kvcodec.stores.cache import AsyncCache, Cache, CacheStats
    from kvcodec.stores.conversation import (
        aexport_lines,
        aimport_lines,
        awindow,
        export_lines,
        import_lines,
        window,
    )
    from kvcodec.stores.file_readers import AsyncFileReader, FileReader
    from kvcodec.stores.files import AsyncFiles, FileInfo, Files
    from kvcodec.stores.log import AsyncLog, Log
    from kvcodec.stores.store_async import AsyncStore
    from kvcodec.stores.subjects import AsyncSubjects, Subjects
    from kvcodec.stores.tool_links import ToolLinks, tool_links
    from kvcodec.stores.value import AsyncValue, Value

__version__ = "0.1.0"
"""The version of kvcodec, as its package has it."""

__all__ = [
    "AESGCMCipher",
    "AsyncCache",
    "AsyncFileReader",
    "AsyncFiles",
    "AsyncHandleKV",
    "AsyncKV",
    "AsyncKeyWrapper",
    "AsyncLog",
    "AsyncMappingKV",
    "AsyncMemoryKV",
    "AsyncObjectKV",
    "AsyncPostgresKV",
    "AsyncPrefixKV",
    "AsyncReadOnlyKV",
    "AsyncRedisKV",
    "AsyncRetryKV",
    "AsyncSQLiteKV",
    "AsyncStore",
    "AsyncSubjects",
    "AsyncTieredKV",
    "AsyncValue",
    "AsyncWatchedKV",
    "BackendError",
    "Cache",
    "CacheStats",
    "Cipher",
    "Codec",
    "ConfigError",
    "Conflict",
    "Counters",
    "DecodeError",
    "DifyKV",
    "EncodeError",
    "Expired",
    "Explanation",
    "FernetCipher",
    "FileInfo",
    "FileReader",
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
    "KeyWrapper",
    "Keyspace",
    "LimitExceeded",
    "Limits",
    "Log",
    "MappingKV",
    "MemoryKV",
    "MissingKey",
    "NatsKV",
    "NewerVersion",
    "NotEncrypted",
    "NotReplicated",
    "ObjectKV",
    "Observed",
    "Ordered",
    "OutcomeUnknown",
    "Packed",
    "PathKeys",
    "PostgresKV",
    "PrefixKV",
    "Previous",
    "QuotaExceeded",
    "ReadOnlyKV",
    "RedisKV",
    "Report",
    "RetryKV",
    "SQLiteKV",
    "SchemaMismatch",
    "Secret",
    "Store",
    "Subjects",
    "Tampered",
    "TemplateKeys",
    "TieredKV",
    "TooDeep",
    "TooLarge",
    "ToolLinks",
    "Unavailable",
    "UnknownKey",
    "Unsupported",
    "Value",
    "WatchedKV",
    "aexport_lines",
    "aimport_lines",
    "awindow",
    "check_atomic",
    "export_lines",
    "import_lines",
    "open_async_kv",
    "open_kv",
    "tool_links",
    "window",
]

_LAZY = {
    "AESGCMCipher": "kvcodec.secrets.ciphers",
    "AsyncCache": "kvcodec.stores.cache",
    "AsyncFileReader": "kvcodec.stores.file_readers",
    "AsyncFiles": "kvcodec.stores.files",
    "AsyncHandleKV": "kvcodec.backends.handle",
    "AsyncKeyWrapper": "kvcodec.secrets.wrapped",
    "AsyncLog": "kvcodec.stores.log",
    "AsyncMappingKV": "kvcodec.backends.mapping",
    "AsyncMemoryKV": "kvcodec.backends.memory",
    "AsyncObjectKV": "kvcodec.backends.object_async",
    "AsyncPostgresKV": "kvcodec.backends.postgres_async",
    "AsyncPrefixKV": "kvcodec.backends.prefix",
    "AsyncReadOnlyKV": "kvcodec.backends.read_only",
    "AsyncRedisKV": "kvcodec.backends.redis_async",
    "AsyncRetryKV": "kvcodec.backends.retry",
    "AsyncSQLiteKV": "kvcodec.backends.sqlite_async",
    "AsyncStore": "kvcodec.stores.store_async",
    "AsyncSubjects": "kvcodec.stores.subjects",
    "AsyncTieredKV": "kvcodec.backends.tiered",
    "AsyncValue": "kvcodec.stores.value",
    "AsyncWatchedKV": "kvcodec.backends.watched",
    "Cache": "kvcodec.stores.cache",
    "CacheStats": "kvcodec.stores.cache",
    "Counters": "kvcodec.backends.watched",
    "DifyKV": "kvcodec.backends.dify",
    "FernetCipher": "kvcodec.secrets.ciphers",
    "FileInfo": "kvcodec.stores.files",
    "FileReader": "kvcodec.stores.file_readers",
    "Files": "kvcodec.stores.files",
    "GzipJSON": "kvcodec.codecs.legacy",
    "HandleKV": "kvcodec.backends.handle",
    "HashedKeys": "kvcodec.keys.hashed",
    "HiddenKeys": "kvcodec.keys.hashed",
    "KeyRing": "kvcodec.secrets.keyring",
    "KeyWrapper": "kvcodec.secrets.wrapped",
    "Log": "kvcodec.stores.log",
    "MappingKV": "kvcodec.backends.mapping",
    "MemoryKV": "kvcodec.backends.memory",
    "NatsKV": "kvcodec.backends.nats",
    "ObjectKV": "kvcodec.backends.object",
    "Observed": "kvcodec.backends.watched",
    "Packed": "kvcodec.codecs.packed",
    "PostgresKV": "kvcodec.backends.postgres",
    "PrefixKV": "kvcodec.backends.prefix",
    "ReadOnlyKV": "kvcodec.backends.read_only",
    "RedisKV": "kvcodec.backends.redis",
    "RetryKV": "kvcodec.backends.retry",
    "SQLiteKV": "kvcodec.backends.sqlite",
    "Subjects": "kvcodec.stores.subjects",
    "TemplateKeys": "kvcodec.keys.templates",
    "TieredKV": "kvcodec.backends.tiered",
    "ToolLinks": "kvcodec.stores.tool_links",
    "Value": "kvcodec.stores.value",
    "WatchedKV": "kvcodec.backends.watched",
    "aexport_lines": "kvcodec.stores.conversation",
    "aimport_lines": "kvcodec.stores.conversation",
    "awindow": "kvcodec.stores.conversation",
    "check_atomic": "kvcodec.backends.object_check",
    "export_lines": "kvcodec.stores.conversation",
    "import_lines": "kvcodec.stores.conversation",
    "open_async_kv": "kvcodec.backends.url",
    "open_kv": "kvcodec.backends.url",
    "tool_links": "kvcodec.stores.tool_links",
    "window": "kvcodec.stores.conversation",
}
"""What is imported when it is first asked for. A Store on a dict needs none of it; cryptography,
sqlite3 and asyncio take longer to import than all the rest."""

_EXTRAS = {
    "nats": "nats",
    "obstore": "s3",
    "psycopg": "postgres",
    "psycopg_pool": "postgres",
    "redis": "redis",
}
"""By the module of a client, what installs it."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'kvcodec' has no attribute {name!r}")
    try:
        found = getattr(import_module(_LAZY[name]), name)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        what = f"{name} needs the client of its server: pip install 'kvcodec[{extra}]'"
        raise ModuleNotFoundError(what, name=error.name) from error
    globals()[name] = found  # the next look-up does not come here
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if f"{__name__}.{name}" in modules)})
