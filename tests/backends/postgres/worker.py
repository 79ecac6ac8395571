"""What tests of PostgresKV run in processes of their own: ``python -m ... URL TABLE NAME``."""

from __future__ import annotations

import sys

from kvcodec import Keyspace, Log, PostgresKV, Store

COUNTS = Keyspace("counts", int)
CLAIMS = Keyspace("claims", str)
NOTES = Keyspace("notes", str)

ROUNDS = 40


def main(url: str, table: str, name: str) -> None:
    """Count, claim and append, from the table's first use on; say how many claims were won."""
    with PostgresKV.from_url(url, table=table) as kv:
        counts, claims, notes = Store(COUNTS, kv), Store(CLAIMS, kv), Log(NOTES, kv)
        won = 0
        for number in range(ROUNDS):
            counts.update("all", lambda count: count + 1, default=0)
            won += claims.add(str(number), name)
            notes.append("all", f"{name}-{number}")
        sys.stdout.write(str(won))


if __name__ == "__main__":
    main(*sys.argv[1:])
