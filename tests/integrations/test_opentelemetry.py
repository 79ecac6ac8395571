"""Spans and metrics as the real SDK's exporters in memory have them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.requires import require_module

require_module("opentelemetry.sdk", install="pip install opentelemetry-sdk")

from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402 - after the skip
from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: E402
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: E402
    InMemorySpanExporter,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF  # noqa: E402
from opentelemetry.trace import (  # noqa: E402
    INVALID_SPAN,
    SpanKind,
    StatusCode,
    get_current_span,
)

from kvcodec import (  # noqa: E402
    AsyncMemoryKV,
    AsyncStore,
    AsyncWatchedKV,
    Keyspace,
    MemoryKV,
    OutcomeUnknown,
    Store,
    Unavailable,
    WatchedKV,
)
from kvcodec.integrations.opentelemetry import Telemetry  # noqa: E402
from kvcodec.protocols import KV, AsyncKV  # noqa: E402
from kvcodec.testing import AsyncKVConformance, KVConformance  # noqa: E402
from tests.leaks import CANARY  # noqa: E402

COUNTS = Keyspace("counts", int)
KEY = "key-of-ada"


class Recorded:
    """An SDK of its own, and what was exported."""

    def __init__(self, **options: Any) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracing = TracerProvider(**options)
        self.tracing.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.metering = MeterProvider(metric_readers=[self.reader])
        self.tracer = self.tracing.get_tracer("the user's")

    def telemetry(self, attributes: dict[str, str | int] | None = None) -> Telemetry:
        return Telemetry(
            "memory", attributes, tracer_provider=self.tracing, meter_provider=self.metering
        )

    def watched(self, kv: Any, *, names: bool = False) -> Any:
        kind: Any = AsyncWatchedKV if isinstance(kv, AsyncMemoryKV) else WatchedKV
        return kind(kv, self.telemetry(), names=names)

    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def tree(self) -> list[tuple[str, str | None]]:
        """Every span in the order of their ends, each with the name of the one that it is under."""
        names = {id_of(span): span.name for span in self.spans()}
        return [(s.name, names[s.parent.span_id] if s.parent else None) for s in self.spans()]

    def points(self, metric: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        assert data is not None
        metrics = data.resource_metrics[0].scope_metrics[0].metrics
        return [point for each in metrics if each.name == metric for point in each.data.data_points]


def id_of(span: ReadableSpan) -> int:
    """What its children name as their parent."""
    context = span.get_span_context()
    assert context is not None
    return context.span_id


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """An SDK that records everything; afterwards no span is current, as before."""
    yield Recorded()
    assert get_current_span() is INVALID_SPAN


class Client(MemoryKV):
    """A KV whose client has spans of its own: one for each call, one for each name of a listing."""

    def __init__(self, recorded: Recorded) -> None:
        super().__init__()
        self.recorded, self._plain_get = recorded, self.get
        self.get = self._traced_get

    def _traced_get(self, key: str, /) -> bytes | None:
        with self.recorded.tracer.start_as_current_span("client get"):
            return self._plain_get(key)

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterator[str]:
        for name in super().scan_keys(prefix, start_after):
            with self.recorded.tracer.start_as_current_span("client page"):
                pass
            yield name


class AsyncClient(AsyncMemoryKV):
    """The same for an async KV: other tasks run while it waits."""

    def __init__(self, recorded: Recorded) -> None:
        super().__init__()
        self.recorded = recorded

    async def get(self, key: str, /) -> bytes | None:
        await asyncio.sleep(0)
        with self.recorded.tracer.start_as_current_span(f"client {key}"):
            await asyncio.sleep(0)
            return await super().get(key)

    async def scan_keys(self, prefix: str, start_after: str = "", /) -> AsyncIterator[str]:
        async for name in super().scan_keys(prefix, start_after):
            await asyncio.sleep(0)
            with self.recorded.tracer.start_as_current_span("client page"):
                pass
            yield name


class Failing(MemoryKV):
    """Raises what it was given, with a message that names a key and a value."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def set(self, key: str, value: bytes, /) -> None:
        raise self.error


# -------------------------------------------------------------------------------------- spans


def test_a_span_says_what_the_conventions_ask_for(recorded: Recorded) -> None:
    """System, operation, batch size and whatever the user added, under stable names."""
    kv = WatchedKV(MemoryKV(), recorded.telemetry({"db.namespace": "7", "server.port": 6379}))
    kv.set_many({"a": b"12", "b": b"345"})
    [span] = recorded.spans()
    assert (span.name, span.kind) == ("set_many 7", SpanKind.CLIENT)
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes == {
        "db.system.name": "memory",
        "db.operation.name": "set_many",
        "db.namespace": "7",
        "server.port": 6379,
        "db.operation.batch.size": 2,
        "kvcodec.operation.size": 5,
        "kvcodec.outcome": "done",
    }
    scope: Any = span.instrumentation_scope
    assert (scope.name, scope.schema_url) == ("kvcodec", "https://opentelemetry.io/schemas/1.33.0")


def test_one_key_is_no_batch_and_none_is(recorded: Recorded) -> None:
    """As the conventions say; a listing tells how many names it gave, a purge nothing."""
    kv = recorded.watched(MemoryKV())
    kv.get_many(["a"])
    kv.delete_many([])
    kv.set("a", b"1")
    list(kv.scan_keys(""))
    kv.purge()
    sizes = [
        (attributes.get("db.operation.batch.size"), attributes.get("db.response.returned_rows"))
        for attributes in (span.attributes or {} for span in recorded.spans())
    ]
    assert sizes == [(None, None), (0, None), (None, None), (None, 1), (None, None)]


def test_a_span_is_under_the_users_and_over_the_clients(recorded: Recorded) -> None:
    """One for each operation of a store; afterwards the user's is current again."""
    store = Store(COUNTS, recorded.watched(Client(recorded)))
    with recorded.tracer.start_as_current_span("request") as request:
        store.get("a")
        assert get_current_span() is request
        store.set("a", 1)
        store.update("a", lambda n: n + 1)
    assert recorded.tree() == [
        ("client get", "get"),
        ("get", "request"),
        ("set", "request"),
        ("get_versioned", "request"),
        ("set_if_version", "request"),
        ("request", None),
    ]
    outcomes = [(span.attributes or {}).get("kvcodec.outcome") for span in recorded.spans()]
    assert outcomes == [None, "missing", "done", "done", "done", None]


def test_gathered_operations_do_not_mix(recorded: Recorded) -> None:
    """Each is under the span of its own task, whatever runs in between."""
    store = AsyncStore(Keyspace("n", int), recorded.watched(AsyncClient(recorded)))

    async def request(name: str) -> None:
        with recorded.tracer.start_as_current_span(name) as span:
            await asyncio.gather(store.get(f"{name}1"), store.get(f"{name}2"))
            assert get_current_span() is span

    async def main() -> None:
        await asyncio.gather(request("a"), request("b"))

    asyncio.run(main())
    by_id = {id_of(span): span for span in recorded.spans()}
    above = {
        span.name: by_id[by_id[span.parent.span_id].parent.span_id].name  # type: ignore[union-attr]
        for span in recorded.spans()
        if span.parent and span.name.startswith("client")
    }
    assert above == {f"client n/{name}{i}": name for name in "ab" for i in (1, 2)}


def test_each_thread_has_its_own(recorded: Recorded) -> None:
    """One telemetry for all: spans are under those of their threads, and none is lost."""
    kv = recorded.watched(Client(recorded))

    def work(name: str) -> None:
        with recorded.tracer.start_as_current_span(name):
            for _ in range(20):
                kv.get("a")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tree = recorded.tree()
    assert tree.count(("client get", "get")) == 80
    assert [tree.count(("get", name)) for name in "abcd"] == [20] * 4
    assert sum(point.count for point in recorded.points("db.client.operation.duration")) == 80


def test_a_listing_is_current_only_while_it_works(recorded: Recorded) -> None:
    """It stays under the span where it began; what its reader does is not under it."""
    kv = recorded.watched(Client(recorded))
    kv.set_many({"a": b"", "b": b""})
    with recorded.tracer.start_as_current_span("begun"):
        names = iter(kv.scan_keys(""))
        next(names)
    with recorded.tracer.start_as_current_span("reader") as reader:
        next(names)
        assert get_current_span() is reader
        names.close()
    assert recorded.tree()[1:] == [
        ("client page", "scan_keys"),
        ("begun", None),
        ("client page", "scan_keys"),
        ("scan_keys", "begun"),
        ("reader", None),
    ]


def test_the_twins_listing_too(recorded: Recorded) -> None:
    """Also if its steps are taken in different tasks, each with a context of its own."""
    kv = recorded.watched(AsyncClient(recorded))

    async def step(names: Any, name: str) -> None:
        with recorded.tracer.start_as_current_span(name) as span:
            await anext(names)
            assert get_current_span() is span

    async def main() -> None:
        await kv.set_many({"a": b"", "b": b""})
        names = kv.scan_keys("")
        await asyncio.create_task(step(names, "first"))
        await asyncio.create_task(step(names, "second"))
        await names.aclose()

    asyncio.run(main())
    assert recorded.tree()[1:] == [
        ("client page", "scan_keys"),
        ("first", None),
        ("client page", "scan_keys"),
        ("second", None),
        ("scan_keys", "first"),
    ]


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (Unavailable, "failed"),
        (OutcomeUnknown, "unknown"),
        (ConnectionResetError, "unknown"),
        (KeyboardInterrupt, "unknown"),
    ],
)
def test_an_error_is_told_by_its_class_alone(
    recorded: Recorded, kind: type[BaseException], outcome: str
) -> None:
    """No message, no event with a traceback: they may name keys. It is raised on as it was."""
    error = kind(f"{KEY} {CANARY}")
    kv = recorded.watched(Failing(error))
    with recorded.tracer.start_as_current_span("request"), pytest.raises(kind) as raised:
        kv.set(KEY, CANARY.encode())
    assert raised.value is error
    span = recorded.spans()[0]
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    told = span.attributes or {}
    assert (told["error.type"], told["kvcodec.outcome"]) == (kind.__name__, outcome)
    [point] = recorded.points("db.client.operation.duration")
    assert point.attributes["error.type"] == kind.__name__
    assert not span.events


def test_a_cancelled_operation_ends_its_span(recorded: Recorded) -> None:
    """With what is known of it."""

    async def main() -> None:
        task = asyncio.ensure_future(recorded.watched(AsyncClient(recorded)).get("a"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    [span] = recorded.spans()
    assert (span.attributes or {})["error.type"] == "CancelledError"


@pytest.mark.parametrize("names", [False, True])
def test_keys_are_told_only_if_they_are_asked_for(
    recorded: Recorded,
    names: bool,  # noqa: FBT001 - a parameter of a test
) -> None:
    """On spans, never on a metric. A value is told nowhere."""
    kv = recorded.watched(MemoryKV(), names=names)
    kv.set(KEY, CANARY.encode())
    kv.get(KEY)
    kv.set_many({KEY: CANARY.encode()})
    list(kv.scan_keys(KEY[:5]))
    spans = "".join(span.to_json() for span in recorded.spans())
    data = recorded.reader.get_metrics_data()
    assert data is not None
    metrics = data.to_json()
    assert (KEY in spans) is names
    assert ('"key-o"' in spans) is names
    assert CANARY not in spans + metrics
    assert KEY not in metrics


def test_what_is_not_sampled_is_not_described() -> None:
    """And the KV's client knows: what it would trace belongs to a trace that is left out."""
    recorded = Recorded(sampler=ALWAYS_OFF)
    seen: list[Any] = []

    class Looking(MemoryKV):
        def exists(self, key: str, /) -> bool:
            seen.append(get_current_span().get_span_context())
            return super().exists(key)

    recorded.watched(Looking()).exists("a")
    assert recorded.spans() == []
    assert (seen[0].is_valid, seen[0].trace_flags.sampled) == (True, False)
    assert recorded.points("db.client.operation.duration")[0].count == 1


# ------------------------------------------------------------------------------------ metrics


def test_durations_and_sizes_are_histograms(recorded: Recorded) -> None:
    """In the buckets of the conventions, by operation and outcome, in seconds and bytes."""
    ticks = iter([1.0, 1.02, 2.0, 2.03, 3.0, 3.25])
    kv = WatchedKV(MemoryKV(), recorded.telemetry(), clock=lambda: next(ticks))
    kv.set("a", b"123")
    kv.get("a")
    kv.get("b")
    points = {
        (point.attributes["db.operation.name"], point.attributes["kvcodec.outcome"]): point
        for point in recorded.points("db.client.operation.duration")
    }
    assert {name: round(point.sum, 9) for name, point in points.items()} == {
        ("set", "done"): 0.02,
        ("get", "done"): 0.03,
        ("get", "missing"): 0.25,
    }
    bounds = points["get", "done"].explicit_bounds
    assert tuple(bounds) == (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
    sizes = [point.sum for point in recorded.points("kvcodec.operation.size")]
    assert sorted(sizes) == [0, 3, 3]


def test_a_point_leads_to_its_span(recorded: Recorded) -> None:
    """The exemplar of a duration is the operation, not the request around it."""
    with recorded.tracer.start_as_current_span("request"):
        recorded.watched(MemoryKV()).get("a")
    [point] = recorded.points("db.client.operation.duration")
    [exemplar] = point.exemplars
    assert exemplar.span_id == id_of(recorded.spans()[0])


# ------------------------------------------------------------------------- without, and later

_ALONE = """
import sys
sys.modules["opentelemetry.sdk"] = None
from kvcodec import MemoryKV, WatchedKV
from kvcodec.integrations.opentelemetry import Telemetry
kv = WatchedKV(MemoryKV(), Telemetry("memory"))
kv.set("a", b"1")
assert kv.get("a") == b"1"
assert list(kv.scan_keys("")) == ["a"]
print("nothing told")
"""

_LATER = """
from kvcodec import MemoryKV, WatchedKV
from kvcodec.integrations.opentelemetry import Telemetry
kv = WatchedKV(MemoryKV(), Telemetry("memory"))
kv.get("a")
from opentelemetry import metrics, trace
from tests.integrations.test_opentelemetry import Recorded
recorded = Recorded()
trace.set_tracer_provider(recorded.tracing)
metrics.set_meter_provider(recorded.metering)
kv.get("b")
print(len(recorded.spans()), recorded.points("db.client.operation.duration")[0].count)
"""


@pytest.mark.parametrize(
    ("program", "said"), [(_ALONE, "nothing told"), (_LATER, "1 1")], ids=["alone", "later"]
)
def test_the_providers_are_the_programs(program: str, said: str) -> None:
    """Without an SDK nothing is told and all works; one that is set later is told from then on."""
    command = [sys.executable, "-W", "error", "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.stderr, ran.stdout.strip()) == ("", said)


class TestTraced(KVConformance):
    """A traced KV is the KV that it wraps."""

    examples = 30
    rounds = 20

    def make_kv(self) -> KV:
        """An empty one."""
        return WatchedKV(MemoryKV(), Recorded().telemetry())


class TestAsyncTraced(AsyncKVConformance):
    """So is the twin."""

    examples = 30
    rounds = 20

    async def make_kv(self) -> AsyncKV:
        """An empty one."""
        return AsyncWatchedKV(AsyncMemoryKV(), Recorded().telemetry())
