"""What a store must hold after a journal, and what it lost, doubled, tore or left behind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from kvcodec import DecodeError, Files, Log, Store
from kvcodec.protocols import KV
from tests.chaos.work import CLAIMS, COUNTS, FILES, HISTORY, LISTED, NOTES, Told, number_of


class Expected:
    """What may be stored, by a journal in which the lines of one owner are in their order.

    Of an operation whose outcome nobody knows (killed, cancelled, a lost answer) both ends are
    allowed, until another one on the same name is acknowledged.
    """

    def __init__(self) -> None:
        self.told = 0
        self.done = 0
        self.unknown = 0
        self._before: dict[tuple[str, str], set[Any]] = {}
        self._allowed: defaultdict[tuple[str, str], set[Any]] = defaultdict(lambda: {None})
        self._counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._claims: defaultdict[str, set[str]] = defaultdict(set)
        self._maybe_claims: defaultdict[str, set[str]] = defaultdict(set)
        self._sent: defaultdict[str, dict[str, list[str]]] = defaultdict(dict)
        self._certain: set[str] = set()
        self._refused: set[str] = set()

    def told_by(self, told: Told) -> None:
        """Take one line of the journal."""
        self.told += told.outcome == "begun"
        self.done += told.outcome == "done"
        self.unknown += told.outcome == "unknown"
        take: Callable[[Told], None] = {
            "count": self._count, "claim": self._claim, "message": self._message
        }.get(told.shape, self._value)  # fmt: skip
        take(told)

    def _value(self, told: Told) -> None:
        place = (told.shape.removesuffix(" gone"), told.name)
        if told.outcome == "begun":
            self._before[place] = set(self._allowed[place])
            self._allowed[place].add(told.value)
        elif told.outcome == "done":
            self._allowed[place] = {told.value}
        elif told.outcome == "refused":
            self._allowed[place] = self._before[place]

    def _count(self, told: Told) -> None:
        least_most = self._counts[told.name]
        least_most[0] += told.outcome == "done"
        least_most[1] += {"begun": 1, "refused": -1}.get(told.outcome, 0)

    def _claim(self, told: Told) -> None:
        if told.outcome == "begun":
            self._maybe_claims[told.name].add(told.value)
        elif told.outcome == "done":
            self._claims[told.name].add(told.value)
        elif told.outcome == "refused":
            self._maybe_claims[told.name].discard(told.value)

    def _message(self, told: Told) -> None:
        if told.outcome == "begun":
            self._sent[told.name].setdefault(told.owner, []).append(told.value)
        elif told.outcome == "done":
            self._certain.add(told.value)
        elif told.outcome == "refused":
            self._refused.add(told.value)

    # ------------------------------------------------------------------------------- verification

    def faults(self, kv: KV) -> list[str]:
        """Return what is wrong with ``kv``, in words; the store is empty afterwards."""
        found = [*self._values(kv), *self._counted(kv), *self._claimed(kv), *self._logged(kv)]
        return [*found, *_left(kv)]

    def _values(self, kv: KV) -> list[str]:
        notes, listed, files = Store(NOTES, kv), Store(LISTED, kv), Files(FILES, kv)
        names = set(listed.keys())
        readers: dict[str, Callable[[str], Any]] = {
            "note": lambda name: (notes.get(name) or {}).get("n"),
            "listed": listed.get,
            "file": lambda name: None if (data := files.get(name)) is None else number_of(data),
        }
        found: list[str] = []
        for (shape, name), allowed in self._allowed.items():
            try:
                value = readers[shape](name)
            except (DecodeError, ValueError) as error:
                found.append(f"torn: {shape} {name}: {error}")
                continue
            if value not in allowed:
                found.append(f"lost: {shape} {name} is {value}, not of {allowed}")
            if shape == "listed" and (name in names) != (value is not None):
                found.append(f"lost: {shape} {name} is {value}, and listed: {name in names}")
        return found

    def _counted(self, kv: KV) -> list[str]:
        counts = Store(COUNTS, kv)
        found: list[str] = []
        for name, (least, most) in self._counts.items():
            if not least <= (count := counts.get(name, 0)) <= most:
                fault = "lost" if count < least else "doubled"
                found.append(f"{fault}: the count {name} is {count}, not {least} to {most}")
        return found

    def _claimed(self, kv: KV) -> list[str]:
        claims = Store(CLAIMS, kv)
        found: list[str] = []
        for name, maybe in self._maybe_claims.items():
            certain, holder = self._claims[name], claims.get(name)
            if len(certain) > 1:
                found.append(f"doubled: the claim {name} is held by {certain}")
            elif certain and {holder} != certain:
                found.append(f"lost: the claim {name} is held by {holder}, not by {certain}")
            elif not certain and holder not in {None, *maybe}:
                found.append(f"doubled: the claim {name} is held by {holder}, not of {maybe}")
        return found

    def _logged(self, kv: KV) -> list[str]:
        log = Log(HISTORY, kv, segment_bytes=2_000)
        found: list[str] = []
        for name, by_owner in self._sent.items():
            try:
                messages = list(log.iterate(name))
            except DecodeError as error:
                found.append(f"torn: log {name}: {error}")
                continue
            there = Counter(messages)
            found += [f"doubled: message {text}" for text, times in there.items() if times > 1]
            sent = [text for texts in by_owner.values() for text in texts]
            found += [f"lost: message {text}" for text in sent
                      if text in self._certain and text not in there]  # fmt: skip
            found += [f"doubled: message {text}, which was refused" for text in there
                      if text in self._refused or text not in sent]  # fmt: skip
            for texts in by_owner.values():
                order = {text: place for place, text in enumerate(texts)}
                places = [order[text] for text in messages if text in order]
                if places != sorted(places):
                    found.append(f"torn: log {name} is not in the order of its writer")
        return found


def _left(kv: KV) -> list[str]:
    """Empty every keyspace, and return what is still there."""
    values: list[Any] = [NOTES, LISTED, COUNTS, CLAIMS]
    for keyspace in values:
        Store(keyspace, kv).clear()
    Log(HISTORY, kv).clear()
    Files(FILES, kv).clear()
    return [f"left: {name}" for name in kv.scan_keys("")]  # type: ignore[attr-defined]
