"""A disk that is really full: nothing is lost, the error says what to free, and freeing helps.

    python -m tests.chaos.full_disk FOLDER MIB

fills the folder, which is a small file system with a file ``ballast`` on it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from kvcodec import QuotaExceeded, SQLiteKV


def refused(call: Callable[[], object]) -> str | None:
    """Return what is wrong with the refusal of ``call``, or None."""
    try:
        call()
    except QuotaExceeded as error:
        return None if "free some MiB" in str(error) else f"the message: {error}"
    return "a write on a full disk was acknowledged"


def filled(place: Path) -> tuple[int, list[str]]:
    """Fill the disk, delete once there is room, and say what was wrong."""
    kv, there = SQLiteKV(place / "a.db"), dict[str, bytes]()

    def fill() -> None:
        while True:
            name = f"k{len(there)}"
            kv.set(name, name.encode() * 500)
            there[name] = name.encode() * 500

    wrong = [refused(fill), refused(lambda: kv.delete("k0"))]
    wrong.append(refused(lambda: SQLiteKV(place / "new.db")))
    if (place / "new.db").exists():
        wrong.append("left: an empty file")
    if kv.get_many(list(there)) != there:
        wrong.append("lost: an acknowledged value")
    count = len(there)
    (place / "ballast").unlink()
    kv.delete("k0")
    del there["k0"]
    kv.set("k1", b"again")
    there["k1"] = b"again"
    kv.close()
    with SQLiteKV(place / "a.db") as again:
        if again.get_many(["k0", *there]) != there:
            wrong.append("lost: after room was made")
    return count, [text for text in wrong if text is not None]


if __name__ == "__main__":
    print(json.dumps(filled(Path(sys.argv[1]))))  # noqa: T201 - its answer
