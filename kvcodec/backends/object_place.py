"""What an obstore store is: where it leads to, what it takes, and what it does atomically."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, S3Store, from_url

from kvcodec.backends.object_faults import number_of
from kvcodec.errors import ConfigError
from kvcodec.protocols import Limits

__all__ = ["Place", "opened", "place_of", "see_that_threads_live"]

_MOST: Final = 5000 * 2**20
"""Bytes of an object that is written in one request: Azure takes 5,000 MiB, S3 and Google 5 GiB."""

_CHUNK: Final = 2**20
"""Bytes of a chunk of a file: through SeaweedFS 64 MiB write 1.2 times as fast as by 256 KiB."""

_FILE_NAME: Final = 250
"""Bytes of a segment that is a file's name: 255, less what obstore adds while it writes it."""

_ENDPOINTS: Final = ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
"""Variables by which a store that is told no endpoint leads elsewhere than to AWS."""

_IN_USE: Final[set[int]] = set()
"""The process in which obstore has been asked for something, and so has its threads."""

_OF_CLIENTS: Final = frozenset(
    (
        *("allow_http", "allow_invalid_certificates", "connect_timeout", "default_content_type"),
        *("http1_only", "http2_keep_alive_interval", "http2_keep_alive_timeout"),
        *("http2_keep_alive_while_idle", "http2_max_frame_size", "http2_only"),
        *("pool_idle_timeout", "pool_max_idle_per_host", "proxy_ca_certificate", "proxy_excludes"),
        *("proxy_url", "randomize_addresses", "read_timeout", "timeout", "user_agent"),
    )
)
"""Options of obstore's ClientConfig: it panics where they stand among those of a store."""

_OWN_RETRIES: Final = {"max_retries": 5, "retry_timeout": timedelta(seconds=15)}


class Place(NamedTuple):
    """What is known of a store without asking it."""

    identity: Hashable
    prefix: str
    """Before each name, with its slash."""
    limits: Limits
    version_of: Literal["write", "bytes"]
    claims: bool
    """Whether of many who create an object one is told so."""
    swaps: bool
    """Whether a write can depend on what was read."""
    bulk: bool
    """Whether it deletes many in one request, and misses none."""
    parallel: int
    """How many requests to have under way at once."""
    once: Any
    """The store again, by a client that sends each request once."""
    shown: str


def place_of(store: Any, *, conditional: bool | None) -> Place:
    """Look at a store, without any I/O. Raises ConfigError for what is none, or an HTTPStore.

    ``conditional``: whether it does atomically what depends on what is stored; None: as is known.
    """
    if isinstance(store, MemoryStore):
        limits = Limits(value_bytes=_MOST, chunk_bytes=_CHUNK)
        can = conditional is not False
        return Place(
            identity=("memory", id(store)),
            prefix="",
            limits=limits,
            version_of="write",
            claims=can,
            swaps=can,
            bulk=True,
            parallel=1,
            once=store,
            shown="memory",
        )
    if isinstance(store, LocalStore):
        return _local(store, claims=conditional is not False)
    if isinstance(store, S3Store):
        return _s3(store, conditional=conditional)
    if isinstance(store, GCSStore):
        return _gcs(store, conditional=conditional)
    if isinstance(store, AzureStore):
        return _azure(store, conditional=conditional)
    raise ConfigError(
        "ObjectKV takes a store of obstore: an S3Store, GCSStore, AzureStore, LocalStore or "
        "MemoryStore"
    )


def _local(store: LocalStore, *, claims: bool) -> Place:
    folder = str(Path(store.prefix or "/").resolve())
    limits = Limits(part_bytes=_FILE_NAME, value_bytes=_MOST, chunk_bytes=_CHUNK)
    return Place(
        identity=("file",),
        prefix=f"{folder}/",
        limits=limits,
        version_of="write",
        claims=claims,
        swaps=False,
        bulk=False,
        parallel=1,
        once=store,
        shown="files",
    )


def _s3(store: S3Store, *, conditional: bool | None) -> Place:
    config = cast("Mapping[str, str]", store.config)
    endpoint = config.get("endpoint") or next(filter(None, map(os.environ.get, _ENDPOINTS)), None)
    aws = endpoint is None or _host(endpoint).endswith(".amazonaws.com")
    can = aws if conditional is None else conditional
    can = can and config.get("conditional_put", "etag") != "disabled"
    where = None if aws or endpoint is None else endpoint.rstrip("/")
    identity = ("s3", where, config.get("bucket"))
    # Others keep objects as files, whose names are shorter.
    part = None if aws else 255
    return _remote(S3Store, store, identity, part, version_of="bytes", can=can, bulk=True)


def _gcs(store: GCSStore, *, conditional: bool | None) -> Place:
    config = cast("Mapping[str, str]", store.config)
    can = conditional is not False
    identity = ("gs", config.get("bucket"))
    return _remote(GCSStore, store, identity, None, version_of="write", can=can, bulk=False)


def _azure(store: AzureStore, *, conditional: bool | None) -> Place:
    config = cast("Mapping[str, str]", store.config)
    can = conditional is not False
    account = config.get("account_name") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    identity = ("az", account, config.get("endpoint"), config.get("container_name"))
    return _remote(AzureStore, store, identity, None, version_of="write", can=can, bulk=False)


def _remote(
    kind: Any,
    store: Any,
    identity: tuple[Hashable, ...],
    part_bytes: int | None,
    *,
    version_of: Literal["write", "bytes"],
    can: bool,
    bulk: bool,
) -> Place:
    prefix = f"{store.prefix}/" if store.prefix else ""
    limits = Limits(
        key_bytes=1024 - len(prefix.encode()),
        part_bytes=part_bytes,
        value_bytes=_MOST,
        chunk_bytes=_CHUNK,
    )
    # obstore repeats a conditional write whose answer was lost, and takes the refusal of the
    # second one, which is due to the first one, for its outcome.
    once = kind(
        config=store.config,
        prefix=store.prefix,
        client_options=store.client_options,
        retry_config={**(store.retry_config or {}), "max_retries": 0},
        credential_provider=store.credential_provider,
    )
    shown = f"{identity[0]} {identity[-1]}"
    return Place(identity, prefix, limits, version_of, can, can, bulk, 16, once, shown)


def _host(endpoint: str) -> str:
    return urlsplit(endpoint).hostname or ""


def see_that_threads_live() -> None:
    """Raise ConfigError in a child that was forked after obstore was in use.

    obstore has one set of threads for all of a process. No thread lives on in such a child, and
    what is asked there is never answered.
    """
    here = os.getpid()
    if not _IN_USE:
        _IN_USE.add(here)
    elif here not in _IN_USE:
        raise ConfigError(
            "obstore was in use before this process was forked, and answers nothing here: start "
            "processes by spawn or forkserver, or ask for nothing before the fork",
            stage="store",
        )


# -------------------------------------------------------------------------------------- by URL


def opened(url: str) -> Any:
    """Return the store of a URL, whose options are those of obstore's configuration.

    Raises ConfigError, without the URL, for one that is none.
    """
    place, _, query = url.partition("?")
    scheme, _, rest = place.partition("://")
    config = dict(parse_qsl(query, keep_blank_values=True))
    if scheme.lower() == "file":
        if config or not rest.startswith("/"):
            raise ConfigError("a file: URL is file:///absolute/folder, without options")
        return _files(unquote(rest))
    if scheme.lower() not in ("s3", "gs", "az") or not rest.strip("/"):
        raise ConfigError(
            "an object store's URL is s3://bucket/prefix, gs://bucket/prefix, "
            "az://container/prefix or file:///folder"
        )
    options: Any = {name: config.pop(name) for name in [*config] if name.lower() in _OF_CLIENTS}
    if config.get("endpoint", "").startswith("http:"):
        options = {"allow_http": True, **options}
    try:
        opening: Any = from_url
        return opening(place, config=config, client_options=options, retry_config=_OWN_RETRIES)
    except (BaseError, ValueError):  # its words may hold what the URL holds
        pass
    raise ConfigError(
        "obstore does not take this URL: its options are those of obstore's S3Config, GCSConfig or "
        "AzureConfig (endpoint, region, access_key_id ...), and of its ClientConfig (timeout ...)"
    )


def _files(folder: str) -> LocalStore:
    try:
        return LocalStore(folder, mkdir=True, automatic_cleanup=True)
    except (BaseError, OSError, ValueError) as error:
        number = number_of(error)
    why = os.strerror(number) if number is not None else "no name of a folder"
    raise ConfigError(f"the folder of this file: URL cannot be made or used: {why}")
