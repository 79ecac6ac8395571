"""``crash_everywhere``: it stops everywhere, and names the operation at fault."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import suppress
from typing import Any

import pytest

from kvcodec import AsyncStore, Keyspace, MemoryKV, Store
from kvcodec.testing import CrashReport, acrash_everywhere, crash_everywhere

ORDERS = Keyspace("orders", bool)
INVOICES = Keyspace("invoices", bool)


def invoice_last(kv: Any) -> None:
    """Pay, then write the invoice: whatever happens, an invoice is of a paid order."""
    Store(ORDERS, kv).set("1", value=True)
    Store(INVOICES, kv).set("1", value=True)


def invoice_first(kv: Any) -> None:
    """Write the invoice before the order is paid."""
    Store(INVOICES, kv).set("1", value=True)
    Store(ORDERS, kv).set("1", value=True)


def check(kv: Any) -> None:
    """Every invoice is of a paid order."""
    if Store(INVOICES, kv).get("1"):
        assert Store(ORDERS, kv).get("1"), "an invoice without an order"


async def acheck(kv: Any) -> None:
    """Every invoice is of a paid order."""
    if await AsyncStore(INVOICES, kv).get("1"):
        assert await AsyncStore(ORDERS, kv).get("1"), "an invoice without an order"


def test_every_place_is_tried() -> None:
    """Two operations are stopped before and after each, and the report has their names."""
    report = crash_everywhere(invoice_last, check)
    assert isinstance(report, CrashReport)
    assert [operation.method for operation in report.operations] == ["set", "set"]
    assert report.stops == 4


def test_the_operation_at_fault_is_named() -> None:
    """The error says where it was stopped, and what the check said."""
    with pytest.raises(
        AssertionError, match=r"after operation 1 of 2, set\('invoices/1'\)"
    ) as caught:
        crash_everywhere(invoice_first, check)
    assert "an invoice without an order" in str(caught.value)
    assert isinstance(caught.value.__cause__, AssertionError)


def test_a_write_of_many_has_a_middle() -> None:
    """``set_many`` is stopped between two of its items, too."""

    def both_at_once(kv: Any) -> None:
        kv.set_many({"a": b"", "b": b""})

    def both_or_none(kv: Any) -> None:
        assert (kv.get("a") is None) == (kv.get("b") is None)

    with pytest.raises(AssertionError, match="stopped during operation 1 of 1"):
        crash_everywhere(both_at_once, both_or_none)


def test_a_rerun_has_to_complete() -> None:
    """What a first run left must not stop the second."""

    def only_once(kv: Any) -> None:
        assert Store(ORDERS, kv).add("1", value=True), "somebody was faster"

    with pytest.raises(AssertionError, match="run again, it does not run to its end"):
        crash_everywhere(only_once, lambda _: None)


def test_an_empty_store_is_checked() -> None:
    """The check has to hold where nothing has been done yet."""

    def impossible(kv: Any) -> None:
        assert kv.get("orders/1") is not None

    with pytest.raises(AssertionError, match="before anything is done"):
        crash_everywhere(invoice_last, impossible)


def test_swallowing_the_stop_is_seen() -> None:
    """An application that catches BaseException cannot be stopped, which is said."""

    def unstoppable(kv: Any) -> None:
        with suppress(BaseException):
            kv.set("key", b"value")

    with pytest.raises(AssertionError, match="catches BaseException"):
        crash_everywhere(unstoppable, lambda _: None)


def test_each_stop_has_a_kv_of_its_own() -> None:
    """One KV for the complete run, and one for each stop."""
    made: list[MemoryKV] = []

    def make_kv() -> MemoryKV:
        made.append(MemoryKV())
        return made[-1]

    crash_everywhere(invoice_last, check, make_kv=make_kv)
    assert len(made) == 5


def test_the_async_twin() -> None:
    """The same for coroutines: every place, and the operation at fault."""

    async def last(kv: Any) -> None:
        await AsyncStore(ORDERS, kv).set("1", value=True)
        await AsyncStore(INVOICES, kv).set("1", value=True)

    async def first(kv: Any) -> None:
        await AsyncStore(INVOICES, kv).set("1", value=True)
        await AsyncStore(ORDERS, kv).set("1", value=True)

    assert asyncio.run(acrash_everywhere(last, acheck)).stops == 4
    with pytest.raises(AssertionError, match=r"after operation 1 of 2, set\('invoices/1'\)"):
        asyncio.run(acrash_everywhere(first, acheck))


def test_the_twins_take_the_same() -> None:
    """The same parameters, in the same order."""
    one, two = map(inspect.signature, (crash_everywhere, acrash_everywhere))
    assert list(one.parameters) == list(two.parameters)
