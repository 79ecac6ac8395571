"""LangGraph: what a checkpointer accepts that somebody else has written into its rows."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeAlias

from tests.requires import require_module

require_module("langgraph.checkpoint.sqlite", install="pip install langgraph-checkpoint-sqlite")

from cryptography.exceptions import InvalidTag  # noqa: E402
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint  # noqa: E402
from langgraph.checkpoint.base.id import uuid6  # noqa: E402
from langgraph.checkpoint.serde.base import CipherProtocol, SerializerProtocol  # noqa: E402
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer  # noqa: E402
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer  # noqa: E402
from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: E402

from kvcodec import DecodeError, KeyRing  # noqa: E402
from kvcodec.integrations.langgraph import KVSaver, SealedSerializer  # noqa: E402
from tests.integrations.accepted import Attack, Attempt, Outcome, Seam  # noqa: E402

SAID = "what ada said"
PLANTED = "what nobody said"

Saver: TypeAlias = BaseCheckpointSaver[Any]


class Cipher(CipherProtocol):
    """AES-GCM for LangGraph's own serializer, which comes with one that needs pycryptodome."""

    def __init__(self) -> None:
        self._key = AESGCM(AESGCM.generate_key(256))

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """Return the cipher's name and the sealed bytes."""
        nonce = os.urandom(12)
        return "aes", nonce + self._key.encrypt(nonce, plaintext, None)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """Return what was sealed."""
        return self._key.decrypt(ciphertext[:12], ciphertext[12:], None)


def config_of(thread: str) -> Any:
    """Return the config that names a thread."""
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}


def put(saver: Saver, thread: str, said: str, checkpoint: str = "") -> str:
    """Store a checkpoint; return its id."""
    made = empty_checkpoint()
    made["id"] = checkpoint or str(uuid6())
    made["channel_values"] = {"messages": [said]}
    saver.put(config_of(thread), made, {"source": "input", "step": 0}, {})
    return made["id"]


def outcome(saver: Saver, thread: str, wanted: str) -> Outcome:
    """Read a thread back through the saver."""
    try:
        found = saver.get_tuple(config_of(thread))
    except (DecodeError, InvalidTag):
        return "refused"
    if found is None:
        return "vanished"
    assert found.checkpoint["channel_values"] == {"messages": [wanted]}
    return "taken"


def damaged(data: bytes) -> bytes:
    """Return the same with one bit turned, in the middle."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


# ------------------------------------------------------------------------------- in SqliteSaver


Made: TypeAlias = Callable[[], SerializerProtocol]


def shipped_serde() -> SerializerProtocol:
    """LangGraph's own encryption, under a key of its own."""
    return EncryptedSerializer(Cipher())


def sealed_serde() -> SerializerProtocol:
    """The same of kvcodec."""
    return SealedSerializer(KeyRing.generate())


def in_sqlite(made: Made, attack: Callable[[SqliteSaver], tuple[SqliteSaver, str, str]]) -> Outcome:
    """Attack the rows of a SqliteSaver."""
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        saver = SqliteSaver(connection, serde=made())
        put(saver, "ada", SAID)
        put(saver, "bob", "what bob said")
        return outcome(*attack(saver))


def write(saver: SqliteSaver, kind: str, data: bytes) -> tuple[SqliteSaver, str, str]:
    """Put bytes into the row of ada's thread."""
    saver.conn.execute(
        "UPDATE checkpoints SET type = ?, checkpoint = ? WHERE thread_id = 'ada'", (kind, data)
    )
    return saver, "ada", SAID


def row(saver: SqliteSaver, thread: str) -> tuple[str, bytes]:
    """Return the row of a thread."""
    select = "SELECT type, checkpoint FROM checkpoints WHERE thread_id = ?"
    kind, data = saver.conn.execute(select, (thread,)).fetchone()
    return kind, data


def sqlite_attempts(made: Made) -> dict[Attack, Attempt]:
    """Return each attack on a SqliteSaver whose serializer is made so."""

    def wrong_key(saver: SqliteSaver) -> tuple[SqliteSaver, str, str]:
        return SqliteSaver(saver.conn, serde=made()), "ada", SAID

    def copied(saver: SqliteSaver) -> tuple[SqliteSaver, str, str]:
        return *write(saver, *row(saver, "bob"))[:2], "what bob said"

    def planted(saver: SqliteSaver) -> tuple[SqliteSaver, str, str]:
        checkpoint = {**empty_checkpoint(), "channel_values": {"messages": [PLANTED]}}
        return *write(saver, *JsonPlusSerializer().dumps_typed(checkpoint))[:2], PLANTED

    def changed(saver: SqliteSaver) -> tuple[SqliteSaver, str, str]:
        kind, data = row(saver, "ada")
        return write(saver, kind, damaged(data))

    return {
        "wrong key": lambda: in_sqlite(made, wrong_key),
        "copied row": lambda: in_sqlite(made, copied),
        "planted plaintext": lambda: in_sqlite(made, planted),
        "damaged row": lambda: in_sqlite(made, changed),
    }


# ----------------------------------------------------------------------------------- in a KVSaver


def attack_kv(attack: Attack) -> Outcome:
    """Attack the rows of a KVSaver; both threads have a checkpoint of one name."""
    rows: dict[str, bytes] = {}
    ring = KeyRing.generate()
    saver = KVSaver(rows, cipher=ring)
    checkpoint = put(saver, "ada", SAID)
    put(saver, "bob", "what bob said", checkpoint)
    name, other = (f"langgraph-checkpoints/{thread}/~/{checkpoint}" for thread in ("ada", "bob"))
    if attack == "wrong key":
        return outcome(KVSaver(rows, cipher=KeyRing.generate()), "ada", SAID)
    if attack == "copied row":
        rows[name] = rows[other]
        return outcome(saver, "ada", "what bob said")
    if attack == "damaged row":
        rows[name] = damaged(rows[name])
        return outcome(saver, "ada", SAID)
    plain: dict[str, bytes] = {}
    put(KVSaver(plain), "ada", PLANTED, checkpoint)
    rows[name] = plain[name]
    return outcome(saver, "ada", PLANTED)


SHIPPED: dict[Attack, Outcome] = {
    "wrong key": "refused",
    "copied row": "taken",
    "planted plaintext": "taken",
    "damaged row": "refused",
}
_shipped: dict[Attack, tuple[Attempt, Outcome]] = {
    attack: (attempt, SHIPPED[attack]) for attack, attempt in sqlite_attempts(shipped_serde).items()
}

SEAMS: list[Seam] = [
    Seam(
        name="langgraph EncryptedSerializer, SealedSerializer",
        package="langgraph-checkpoint",
        version="4.3.2",
        shipped=_shipped,
        ours=sqlite_attempts(sealed_serde),
        because={"copied row": "a saver does not tell its serializer which row it reads"},
    ),
    Seam(
        name="langgraph EncryptedSerializer, KVSaver",
        package="langgraph-checkpoint",
        version="4.3.2",
        shipped=_shipped,
        ours={
            "wrong key": lambda: attack_kv("wrong key"),
            "copied row": lambda: attack_kv("copied row"),
            "planted plaintext": lambda: attack_kv("planted plaintext"),
            "damaged row": lambda: attack_kv("damaged row"),
        },
        because={},
    ),
]
