"""KVs that fail on purpose: ``FaultyKV`` around yours, and stand-ins with the habits of hosts.

    kv = FaultyKV(MemoryKV(), script=[None, Unknown(applied=True)])

The script has one entry per operation, in order: None lets it through, a fault befalls it; after
the script's end everything goes through. Hypothesis draws scripts with ``faults()``:

    @given(faults())
    def test_counting_survives_faults(script):
        store = Store(COUNTERS, FaultyKV(MemoryKV(), script))

Nothing sleeps: what takes time moves ``kv.clock``, which stands still otherwise; give it to the
store as well (``Store(KEYSPACE, kv, clock=kv.clock)``).
"""

from __future__ import annotations

from kvcodec.testing.faulty.faults import (
    Cut,
    ErrorAfter,
    ErrorBefore,
    OverQuota,
    Partial,
    Slow,
    Stale,
    Stop,
    Unknown,
    faults,
)
from kvcodec.testing.faulty.hosts import (
    LikeCache,
    LikeDify,
    LikeEventual,
    like_cache,
    like_dify,
    like_eventual,
)
from kvcodec.testing.faulty.twins import (
    AsyncFaultyKV,
    FaultyKV,
)
from kvcodec.testing.faulty.world import (
    Fault,
    ManualClock,
    Operation,
    Stopped,
)

__all__ = [
    "AsyncFaultyKV",
    "Cut",
    "ErrorAfter",
    "ErrorBefore",
    "Fault",
    "FaultyKV",
    "LikeCache",
    "LikeDify",
    "LikeEventual",
    "ManualClock",
    "Operation",
    "OverQuota",
    "Partial",
    "Slow",
    "Stale",
    "Stop",
    "Stopped",
    "Unknown",
    "faults",
    "like_cache",
    "like_dify",
    "like_eventual",
]
