"""py-key-value-aio: its PydanticAdapter on its MemoryStore, by its own API and defaults.

The same six fields, as a pydantic model. Its API is async, and every call is awaited in one
task, so that nothing of the event loop is counted. Beside it both of ours: ``Store`` on a dict,
which is what the table of speeds means, and ``AsyncStore`` on a dict, like for like.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any, Literal

import msgspec

from kvcodec import AsyncStore, Store
from tests.benchmarks.data import KEYS_IN_USE, PREFERENCES, fresh_keys, pairs_of
from tests.benchmarks.registry import Setting, at_least, row
from tests.benchmarks.rows.stores.plain import CHECKED, filled
from tests.benchmarks.timing import Race, Round, awaited_one, awaited_two, each_one, each_two

ADAPTER = "PydanticAdapter on its MemoryStore"
NEEDS = ("key_value.aio.stores.memory", "key_value.aio.adapters.pydantic")

CALLS = 50


def model_of_preferences() -> Any:
    """The same fields as a pydantic model; pydantic is imported by who measures it."""
    from pydantic import BaseModel

    class PreferencesModel(BaseModel):
        theme: Literal["light", "dark"] = "light"
        language: str = "en"
        timezone: str = "UTC"
        page_size: int = 25
        notifications: bool = True
        compact: bool = False

    return PreferencesModel


def adapter_of(model: Any, store: Any = None) -> Any:
    """Their adapter with their defaults, on a store of theirs in memory if none is given."""
    stores, adapters = map(import_module, NEEDS)
    return adapters.PydanticAdapter(stores.MemoryStore() if store is None else store, model)


def their_get(runner: asyncio.Runner) -> Round:
    """Their ``get`` of stored models."""
    model = model_of_preferences()
    adapter = adapter_of(model)
    value = model(**msgspec.to_builtins(PREFERENCES))

    async def fill() -> None:
        for key in fresh_keys(KEYS_IN_USE):
            await adapter.put(key, value)
        assert await adapter.get("user-0") == value

    runner.run(fill())
    return awaited_one(runner, adapter.get, fresh_keys)


def their_put(runner: asyncio.Runner) -> Round:
    """Their ``put`` of a model."""
    model = model_of_preferences()
    value = model(**msgspec.to_builtins(PREFERENCES))
    return awaited_two(runner, adapter_of(model).put, pairs_of(value))


def runner_of(setting: Setting) -> asyncio.Runner:
    """An event loop that ends with the row."""
    return setting.stack.enter_context(asyncio.Runner())


@row("plain get, beside py-key-value-aio", beside=ADAPTER, target=at_least(40), needs=NEEDS)
def get_beside_adapter(setting: Setting) -> Race:
    """``Store`` on a dict."""
    ours = each_one(Store(CHECKED, filled(KEYS_IN_USE)).get, fresh_keys)
    return Race(ours, their_get(runner_of(setting)), CALLS)


@row("plain set, beside py-key-value-aio", beside=ADAPTER, target=at_least(40), needs=NEEDS)
def set_beside_adapter(setting: Setting) -> Race:
    """``Store`` on a dict, validating, as theirs does not."""
    ours = each_two(Store(CHECKED, {}).set, pairs_of(PREFERENCES))
    return Race(ours, their_put(runner_of(setting)), CALLS)


@row("AsyncStore get, beside py-key-value-aio", beside=ADAPTER, needs=NEEDS)
def async_get_beside_adapter(setting: Setting) -> Race:
    """Both awaited."""
    runner = runner_of(setting)
    store = AsyncStore(CHECKED, filled(KEYS_IN_USE))
    return Race(awaited_one(runner, store.get, fresh_keys), their_get(runner), CALLS)


@row("AsyncStore set, beside py-key-value-aio", beside=ADAPTER, needs=NEEDS)
def async_set_beside_adapter(setting: Setting) -> Race:
    """Both awaited."""
    runner = runner_of(setting)
    store = AsyncStore(CHECKED, {})
    return Race(awaited_two(runner, store.set, pairs_of(PREFERENCES)), their_put(runner), CALLS)
