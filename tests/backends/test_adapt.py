"""What a handle is: looked at per handle, never remembered by its class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kvcodec import AsyncStore, ConfigError, Keyspace, Store
from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.backends.dify import DifyKV
from kvcodec.backends.mapping import AsyncMappingKV, MappingKV
from kvcodec.backends.memory import AsyncMemoryKV, MemoryKV
from kvcodec.backends.prefix import AsyncPrefixKV, PrefixKV
from kvcodec.testing import like_dify
from tests.backends.test_capabilities import Client, Traced


class Posing:
    """A proxy that poses as what is inside, as wrapt's do."""

    def __init__(self, inner: object) -> None:
        self._inner = inner

    @property  # type: ignore[misc] # it is not set, here and for pyright
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self._inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("kinds", [(Client, like_dify), (like_dify, Client)])
@pytest.mark.parametrize("proxy", [Traced, Posing])
def test_proxies_of_one_class_around_two_kinds_of_client(
    proxy: Callable[[Any], Any], kinds: tuple[Callable[[], Any], ...]
) -> None:
    """Each is what its client is, in whichever order they come.

    What the first one was got remembered by the class of the proxy, for all that followed.
    """
    keyspace = Keyspace("n", int)
    for _ in range(2):
        for kind in kinds:
            handle = proxy(kind())
            assert isinstance(as_kv(handle), DifyKV) is (kind is like_dify)
            assert Store(keyspace, handle).get("x") is None


def test_a_proxy_that_poses_as_a_mapping_is_one() -> None:
    """And its neighbour around a client is a client, sync and async."""
    for _ in range(2):
        assert isinstance(as_kv(Posing({})), MappingKV)
        assert isinstance(as_async_kv(Posing({})), AsyncMappingKV)
        client: Any = Posing(Client())
        assert as_kv(client) is client
        assert as_async_kv(client) is client


def test_kvcodec_s_own_are_taken_as_they_are() -> None:
    """Nothing is asked of them: a part's ``__getattr__`` would be for each name."""
    for kv in (MemoryKV(), MappingKV({}), PrefixKV({}, "a/"), DifyKV(like_dify())):
        assert as_kv(kv) is kv
    for twin in (AsyncMemoryKV(), AsyncMappingKV({}), AsyncPrefixKV({}, "a/")):
        assert as_async_kv(twin) is twin


@pytest.mark.parametrize("handle", [None, 5, "text", object(), MemoryKV, dict, Traced(object())])
@pytest.mark.parametrize("opened", [Store, AsyncStore])
def test_what_is_no_kv_is_refused(opened: Any, handle: Any) -> None:
    """ConfigError when the store is opened, though another object of its class may be a KV."""
    as_kv(Traced(Client()))
    with pytest.raises(ConfigError, match=r"no KV|is a class"):
        opened(Keyspace("n", int), handle)
