"""What langchain-core's own stores, histories and caches accept, all in memory, and kvcodec's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

from tests.requires import require_module

require_module("langchain_core", install="pip install 'kvcodec[langchain]'")

from langchain_core._api import LangChainDeprecationWarning  # noqa: E402 - after the skip
from langchain_core.caches import InMemoryCache  # noqa: E402
from langchain_core.chat_history import InMemoryChatMessageHistory  # noqa: E402
from langchain_core.messages import BaseMessage, HumanMessage  # noqa: E402
from langchain_core.outputs import Generation  # noqa: E402
from langchain_core.stores import InMemoryByteStore  # noqa: E402

from kvcodec import DecodeError, KeyRing, Keyspace  # noqa: E402
from kvcodec.integrations.langchain import (  # noqa: E402
    ChatHistory,
    KeyspaceStore,
    KVCache,
    MessageCodec,
)
from tests.integrations.accepted import Attempt, Outcome, Seam  # noqa: E402

RING = KeyRing.generate()


def _not_possible() -> Outcome:
    return "not possible"


def _their_cache(attack: Callable[[Any, Any], Any]) -> Attempt:
    def attempt() -> Outcome:
        cache = InMemoryCache()
        for prompt in ("mine", "yours"):
            cache.update(prompt, "m", [Generation(text=prompt)])
        raw = cache._cache  # its storage: there is no other
        raw["mine", "m"] = attack(raw["mine", "m"], raw["yours", "m"])
        return "taken" if cache.lookup("mine", "m") else "vanished"

    return attempt


def _their_store(attack: Callable[[bytes, bytes], bytes]) -> Attempt:
    def attempt() -> Outcome:
        store = InMemoryByteStore()
        store.mset([("mine", b"mine"), ("yours", b"yours")])
        store.store["mine"] = attack(store.store["mine"], store.store["yours"])
        return "taken" if store.mget(["mine"]) != [None] else "vanished"

    return attempt


Attack: TypeAlias = Callable[[bytes, bytes], bytes]
Attacked: TypeAlias = Callable[[Attack, KeyRing], Attempt]


def _read(kv: dict[str, bytes], attack: Attack, read: Callable[[], object]) -> Outcome:
    mine, yours = kv
    kv[mine] = attack(kv[mine], kv[yours])
    try:
        return "taken" if read() else "vanished"
    except DecodeError:
        return "refused"


def _our_cache(attack: Attack, ring: KeyRing) -> Attempt:
    def attempt() -> Outcome:
        kv: dict[str, bytes] = {}
        for prompt in ("mine", "yours"):
            KVCache(kv, cipher=RING).update(prompt, "m", [Generation(text=prompt)])
        return _read(kv, attack, lambda: KVCache(kv, cipher=ring).lookup("mine", "m"))

    return attempt


def _our_store(attack: Attack, ring: KeyRing) -> Attempt:
    def attempt() -> Outcome:
        kv: dict[str, bytes] = {}

        def store(sealed: KeyRing) -> KeyspaceStore[bytes]:
            return KeyspaceStore(Keyspace("embeddings", bytes, cipher=sealed), kv)

        store(RING).mset([("mine", b"mine"), ("yours", b"yours")])
        return _read(kv, attack, lambda: store(ring).mget(["mine"]) != [None])

    return attempt


def _our_history(attack: Attack, ring: KeyRing) -> Attempt:
    def attempt() -> Outcome:
        kv: dict[str, bytes] = {}

        def history(session: str, sealed: KeyRing) -> ChatHistory:
            chats = Keyspace("chats", BaseMessage, encoding=MessageCodec(), cipher=sealed)
            return ChatHistory(kv, session, keyspace=chats)

        for session in ("mine", "yours"):
            history(session, RING).add_messages([HumanMessage(session)])
        return _read(kv, attack, lambda: history("mine", ring).messages)

    return attempt


def _ours(attempt_of: Attacked) -> Any:
    return {
        "wrong key": attempt_of(lambda mine, _: mine, KeyRing.generate()),
        "copied row": attempt_of(lambda _, yours: yours, RING),
        "planted plaintext": attempt_of(lambda _, __: b"[]", RING),
        "damaged row": attempt_of(lambda mine, _: mine[:-1] + bytes([mine[-1] ^ 1]), RING),
    }


def _history_store(attack: Callable[[Any, Any], Any]) -> Attempt:
    def attempt() -> Outcome:
        with warnings.catch_warnings(action="ignore", category=LangChainDeprecationWarning):
            mine, yours = InMemoryChatMessageHistory(), InMemoryChatMessageHistory()  # for 2.0
        mine.add_messages([HumanMessage("mine")])
        yours.add_messages([HumanMessage("yours")])
        mine.messages = attack(mine.messages, yours.messages)
        return "taken" if mine.messages else "vanished"

    return attempt


BECAUSE: Any = {"wrong key": "the shipped one has no key: it is in memory, in plain"}

SEAMS = [
    Seam(
        name="langchain-core InMemoryByteStore",
        package="langchain-core",
        version="1.8.3",
        shipped={
            "wrong key": (_not_possible, "not possible"),
            "copied row": (_their_store(lambda _, yours: yours), "taken"),
            "planted plaintext": (_their_store(lambda _, __: b"planted"), "taken"),
            "damaged row": (_their_store(lambda _, __: b"minf"), "taken"),
        },
        ours=_ours(_our_store),
        because=BECAUSE,
    ),
    Seam(
        name="langchain-core InMemoryChatMessageHistory",
        package="langchain-core",
        version="1.8.3",
        shipped={
            "wrong key": (_not_possible, "not possible"),
            "copied row": (_history_store(lambda _, yours: yours), "taken"),
            "planted plaintext": (_history_store(lambda _, __: [HumanMessage("planted")]), "taken"),
            "damaged row": (_history_store(lambda _, __: [HumanMessage("minf")]), "taken"),
        },
        ours=_ours(_our_history),
        because=BECAUSE,
    ),
    Seam(
        name="langchain-core InMemoryCache",
        package="langchain-core",
        version="1.8.3",
        shipped={
            "wrong key": (_not_possible, "not possible"),
            "copied row": (_their_cache(lambda _, yours: yours), "taken"),
            "planted plaintext": (
                _their_cache(lambda _, __: [Generation(text="planted")]),
                "taken",
            ),
            "damaged row": (_their_cache(lambda _, __: [Generation(text="minf")]), "taken"),
        },
        ours=_ours(_our_cache),
        because=BECAUSE,
    ),
]
