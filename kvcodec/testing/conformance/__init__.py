"""What every KV must do, as test classes that you point at yours.

    from kvcodec.testing import KVConformance

    class TestMyKV(KVConformance):
        def make_kv(self) -> MyKV:
            return MyKV()

Run it with plain ``pytest``. Each check opens a KV of its own with ``make_kv`` and closes it with
``close_kv``. The three methods are always checked; what a KV may offer beyond them is checked as
far as it claims it by having the method, and a claim that does not hold fails. A check of what is
not claimed is skipped and says so, which also shows a misspelt method.

Two hooks add checks: ``advance`` (let the KV's time pass) and ``reopen_kv`` (what is stored
outlives the handle). A check that a KV cannot pass, with a reason that its users can live with, is
taken out by name, ``test_... = None``, beside that reason.

The checks are written once, as coroutines over an ``AsyncKV``. For ``KVConformance`` a few lines
lift the methods of a sync KV to coroutines that never wait, which therefore need no event loop.
"""

from __future__ import annotations

from kvcodec.testing.conformance.twins import AsyncKVConformance, KVConformance

__all__ = ["AsyncKVConformance", "KVConformance"]
