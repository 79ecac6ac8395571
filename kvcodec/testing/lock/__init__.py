"""A lock on what was promised: today's code still reads what older code stored.

One line in a test::

    def test_schema_lock():
        SchemaLock("kvcodec.lock.json").check(PREFERENCES, TOKENS, HISTORY)

The file is committed with the code. It holds, for each keyspace, its declaration as text, its
form, sample raw keys, and golden encodings of each version, made from generated values. Stored
data outlives code: what the file holds is what is in somebody's database.
"""

from __future__ import annotations

from kvcodec.testing.lock.file import LockBroken, SchemaLock

__all__ = ["LockBroken", "SchemaLock"]
