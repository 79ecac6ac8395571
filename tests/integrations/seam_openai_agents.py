"""What ``EncryptedSession`` of openai-agents accepts, over a SQLiteSession, and ``LogSession``."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.requires import require_module

require_module("agents", install="pip install 'kvcodec[openai-agents]'")

from agents import SQLiteSession  # noqa: E402 - after the skip
from agents.extensions.memory import EncryptedSession  # noqa: E402

from kvcodec import DecodeError, KeyRing  # noqa: E402
from kvcodec.integrations.openai_agents import LogSession  # noqa: E402
from tests.integrations.accepted import Outcome, Seam  # noqa: E402

ITEMS: list[Any] = [{"role": "user", "content": f"question {number}"} for number in range(3)]
TABLE = "agent_messages"
Attack = Callable[[sqlite3.Connection], object]


def _shipped(attack: Attack, key: str = "one key") -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sessions.db"
        return asyncio.run(_asked(path, attack, key))


async def _asked(path: Path, attack: Attack, key: str) -> Outcome:
    for name in ("a", "b"):
        inside = SQLiteSession(name, path)
        await EncryptedSession(name, inside, "one key").add_items(ITEMS)
        inside.close()
    connection = sqlite3.connect(path)
    attack(connection)
    connection.commit()
    connection.close()
    inside = SQLiteSession("a", path)
    found = await EncryptedSession("a", inside, key).get_items()
    inside.close()
    if len(found) < len(ITEMS):
        return "vanished"
    return "taken"


def _nothing(connection: sqlite3.Connection) -> None:
    del connection


def _copy(connection: sqlite3.Connection) -> None:
    """The first row once more, at the end."""
    connection.execute(
        f"INSERT INTO {TABLE} (session_id, message_data) SELECT session_id, message_data"  # noqa: S608 - a test's own
        f" FROM {TABLE} WHERE id = 1"
    )


def _plant(connection: sqlite3.Connection) -> None:
    """Plaintext in place of the first row."""
    planted = '{"role": "user", "content": "planted"}'
    connection.execute(f"UPDATE {TABLE} SET message_data = ? WHERE id = 1", (planted,))  # noqa: S608


def _damage(connection: sqlite3.Connection) -> None:
    """One bit of the first row's token."""
    (data,) = connection.execute(f"SELECT message_data FROM {TABLE} WHERE id = 1").fetchone()  # noqa: S608
    at = data.index('"payload"') + 40
    data = data[:at] + chr(ord(data[at]) ^ 1) + data[at + 1 :]
    connection.execute(f"UPDATE {TABLE} SET message_data = ? WHERE id = 1", (data,))  # noqa: S608


RING = KeyRing.generate()


def _ours(attack: Callable[[dict[str, bytes]], object], ring: KeyRing = RING) -> Outcome:
    async def attempt() -> Outcome:
        kv: dict[str, bytes] = {}
        for name in ("a", "b"):
            await LogSession(name, kv, cipher=RING).add_items(ITEMS)
        attack(kv)
        session = LogSession("a", kv, cipher=ring)
        try:
            found = await session.get_items()
        except DecodeError:
            return "refused"
        return "taken" if len(found) >= len(ITEMS) else "vanished"

    return asyncio.run(attempt())


HEAD = "agent-sessions/a"


def _turn(kv: dict[str, bytes]) -> None:
    kv[HEAD] = kv[HEAD][:-1] + bytes([kv[HEAD][-1] ^ 1])


SEAMS = [
    Seam(
        name="openai-agents EncryptedSession",
        package="openai-agents",
        version="0.24.0",
        shipped={
            "wrong key": (lambda: _shipped(_nothing, "another key"), "vanished"),
            "copied row": (lambda: _shipped(_copy), "taken"),
            "planted plaintext": (lambda: _shipped(_plant), "vanished"),
            "damaged row": (lambda: _shipped(_damage), "vanished"),
        },
        ours={
            "wrong key": lambda: _ours(lambda _: None, KeyRing.generate()),
            "copied row": lambda: _ours(lambda kv: kv.update({HEAD: kv["agent-sessions/b"]})),
            "planted plaintext": lambda: _ours(lambda kv: kv.update({HEAD: b'{"content":1}'})),
            "damaged row": lambda: _ours(_turn),
        },
        because={},
    )
]
