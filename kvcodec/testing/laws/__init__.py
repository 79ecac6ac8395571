"""The laws of a keyspace, checked with whatever values, keys and bytes Hypothesis thinks of.

    check_keyspace(PREFERENCES)

or, one test per law, as a class that pytest collects:

    class TestPreferences(KeyspaceLaws):
        keyspace = PREFERENCES

A failing example is the smallest that Hypothesis finds: a key, a value, the bytes or the place
where they were changed. Nothing is read from or written to a KV of yours; laws that need one use
a KV in memory.
"""

from __future__ import annotations

from kvcodec.testing.laws.golden import Golden
from kvcodec.testing.laws.suite import KeyspaceLaws, check_keyspace

__all__ = ["Golden", "KeyspaceLaws", "check_keyspace"]
