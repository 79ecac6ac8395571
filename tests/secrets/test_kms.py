"""The guide's KeyWrapper, as it stands there, against a service that behaves like a KMS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kvcodec import KeyRing, Keyspace, MemoryKV, Subjects, Tampered, Unavailable, UnknownKey
from tests.kms import KMS, TOKEN
from tests.leaks import leaks
from tests.stores.subjects import adds_bob, known
from tests.test_docs import Block, blocks, run_block

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "kms.md"
RING = KeyRing.generate()
KEYS = Keyspace("subject-keys", bytes, cipher=RING)
NOTES = Keyspace("notes", str, cipher=RING)


def written(mark: str) -> list[Block]:
    """The guide's Python blocks that hold this text."""
    page = GUIDE.read_text(encoding="utf-8")
    return [block for block in blocks(page) if block.language == "python" and mark in block.text]


def guide() -> ModuleType:
    """The names that the guide's wrapper is written in, and the wrapper."""
    module = ModuleType("guide")
    (block,) = written("class HttpKMS")
    run_block(block, GUIDE, module)
    return module


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def service() -> Iterator[KMS]:
    """The service, listening."""
    with KMS() as kms:
        yield kms


class Slept(list[float]):
    """What the wrapper would have slept, in seconds."""


@pytest.fixture
def slept() -> Slept:
    """Nothing so far."""
    return Slept()


@pytest.fixture
def wrapper(service: KMS, slept: Slept) -> Any:
    """The guide's wrapper of the service."""
    return guide().HttpKMS(service.url, "app", TOKEN, sleep=slept.append)


def test_the_guide_as_it_stands(service: KMS, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its blocks run: a ring from the configuration, a person who comes, rotates and goes."""
    for name in ("KMS_URL", "KMS_TOKEN", "APP_WRAPPED_KEYS"):
        monkeypatch.setenv(name, {"KMS_URL": service.url, "KMS_TOKEN": TOKEN}.get(name, ""))
    module, kv = guide(), MemoryKV()
    module.__dict__["kv"] = kv
    uses = [*written("KMS_URL"), *written("wrapper=kms")]
    assert len(uses) == 2
    for block in uses:
        run_block(block, GUIDE, module)
    assert [what for what, _ in service.asked[:3]] == ["encrypt", "decrypt", "encrypt"]
    assert service.asked[0][1] == service.asked[1][1] == "kvcodec key ring"
    assert service.asked[2][1] == '["kvcodec subject","subject-keys","","subject-keys/ada"]'
    assert list(kv.scan_keys("")) == ["tokens/ada"]
    with pytest.raises(UnknownKey):
        module.__dict__["subjects"].ring("ada")


def test_a_ring_asks_once(service: KMS, wrapper: Any) -> None:
    """At the start, per key; each in its context, and with what the constructor checks."""
    text = ",".join(KeyRing.generate_wrapped_key(wrapper) for _ in range(2))
    calls: list[int] = []
    service.latency = lambda: calls.append(1)
    ring = KeyRing.from_wrapped(text, wrapper)
    raw_key, data = Keyspace("k", str, cipher=ring).pack("a", "v", now=0.0)
    again = KeyRing.from_wrapped(text.replace(",", " \n"), wrapper)
    assert Keyspace("k", str, cipher=again).unpack(raw_key, data, now=0.0) == "v"
    assert len(ring.retired) == 1
    assert len(calls) == 4
    with pytest.raises(Tampered, match="does not unwrap"):
        KeyRing.from_wrapped(text, wrapper, context="staging")


def test_what_an_older_key_of_the_kms_wrapped_is_unwrapped(service: KMS, slept: Slept) -> None:
    """The guide's wrapper names its key to wrap and not to unwrap: then it would be refused."""
    old, new = (guide().HttpKMS(service.url, key, TOKEN, sleep=slept.append) for key in "ab")
    kv = MemoryKV()
    text = KeyRing.generate_wrapped_key(old)
    Subjects(KEYS, kv, wrapper=old).add("ada")
    KeyRing.from_wrapped(text, new)
    people = Subjects(KEYS, kv, wrapper=new)
    people.ring("ada")
    people.rotate("ada")
    assert set(service.keys) == {"a", "b"}
    wrapped = new.wrap(b"x" * 32, "c")
    assert new.unwrap(wrapped, "c") == old.unwrap(wrapped, "c") == b"x" * 32
    assert new._ask("decrypt", {"key": "b"}, wrapped, "c") == b"x" * 32
    with pytest.raises(Tampered, match="does not unwrap"):
        new._ask("decrypt", {"key": "a"}, wrapped, "c")


@pytest.mark.parametrize("busy", [1, 3])
def test_throttling_is_waited_for(busy: int, service: KMS, wrapper: Any, slept: Slept) -> None:
    """A few times, longer each time."""
    service.answers.extend([429] * busy)
    KeyRing.generate_wrapped_key(wrapper)
    assert slept == [0.1, 0.2, 0.4][:busy]
    assert len(service.asked) == busy + 1


@pytest.mark.parametrize("status", [429, 503])
def test_waiting_is_bounded(status: int, service: KMS, wrapper: Any, slept: Slept) -> None:
    """Then it is Unavailable, which is neither "missing" nor "refused", and leaves things alone."""
    kv = MemoryKV()
    people = Subjects(KEYS, kv, wrapper=wrapper)
    people.add("ada")
    before = kv.get("subject-keys/ada")
    for act in (people.ring, people.rotate, adds_bob(people)):
        service.answers.extend([status] * 4)
        with pytest.raises(Unavailable, match=f"status {status}, after 4 tries") as caught:
            act("ada")
        assert caught.value.keyspace == "subject-keys"
        assert not service.answers
    assert sum(slept) == pytest.approx(3 * 0.7)
    assert kv.get("subject-keys/ada") == before
    assert not people.exists("bob")
    assert people.ring("ada").retired == ()


def test_a_refused_token_is_not_tried_again(service: KMS, slept: Slept) -> None:
    """Who may not ask hears so at once."""
    stranger = guide().HttpKMS(service.url, "app", "another", sleep=slept.append)
    with pytest.raises(Unavailable, match="status 403, after 1 tries"):
        KeyRing.generate_wrapped_key(stranger)
    assert slept == []


def test_nobody_there(slept: Slept) -> None:
    """A service that is gone is Unavailable too, and a person is not missing for it."""
    with KMS() as service:
        wrapper: Any = guide().HttpKMS(service.url, "app", TOKEN, sleep=slept.append)
        kv = MemoryKV()
        Subjects(KEYS, kv, wrapper=wrapper).add("ada")
        text = KeyRing.generate_wrapped_key(wrapper)
    acts: list[Callable[[], KeyRing]] = [
        lambda: Subjects(KEYS, kv, wrapper=wrapper).ring("ada"),
        lambda: KeyRing.from_wrapped(text, wrapper),
    ]
    for act in acts:
        with pytest.raises(Unavailable, match="status 0"):
            act()


def test_a_record_in_another_place_is_refused_by_the_kms(service: KMS, wrapper: Any) -> None:
    """Whoever has the ring seals what they like; the context they cannot change."""
    kv = MemoryKV()
    people = Subjects(KEYS, kv, wrapper=wrapper)
    people.add("ada")
    records = people._records.keyspace.declaration.pipeline.wrapping
    data = kv.get("subject-keys/ada")
    assert data is not None
    inside = records.unwrap("subject-keys/ada", data, 0.0).encoded
    kv.set("subject-keys/eve", records.wrap("subject-keys/eve", inside, 0.0))
    with pytest.raises(Tampered, match="does not unwrap") as caught:
        people.ring("eve")
    assert caught.value.raw_key == "subject-keys/eve"


def test_a_slow_kms_holds_nobody_else_up(service: KMS, wrapper: Any) -> None:
    """While one person's key is unwrapped, another's cached ring is at hand."""
    kv = MemoryKV()
    people = Subjects(KEYS, kv, wrapper=wrapper)
    for name in ("ada", "bob"):
        people.add(name)
    people.ring("bob")
    asked, go = threading.Event(), threading.Event()

    def slow() -> None:
        asked.set()
        assert go.wait(20)

    service.latency = slow
    one = threading.Thread(target=people.ring, args=("ada",))
    one.start()
    assert asked.wait(20)
    assert people.ring("bob").retired == ()
    go.set()
    one.join()


def test_no_key_leaves_by_an_error(
    service: KMS, wrapper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a person's, nor a ring's: in no message, and no frame of kvcodec's."""
    monkeypatch.setattr("os.urandom", known)
    kv = MemoryKV()
    people = Subjects(KEYS, kv, wrapper=wrapper)
    people.add("ada")
    acts: list[tuple[Callable[[], object], list[int]]] = [
        (lambda: people.rotate("ada"), [503] * 4),
        (lambda: people.rotate("ada"), [200, *[503] * 4]),  # its key is unwrapped by then
        (lambda: people.add("bob"), [503] * 4),
        (lambda: KeyRing.generate_wrapped_key(wrapper), [503] * 4),
    ]
    for act, answers in acts:
        service.answers.extend(answers)
        with pytest.raises(Unavailable) as caught:
            act()
        assert leaks(caught.value) == []
