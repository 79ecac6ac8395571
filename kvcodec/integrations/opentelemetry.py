"""OpenTelemetry's spans and metrics for each operation of a KV, by the conventions for databases.

store = Store(PREFERENCES, WatchedKV(RedisKV(client), Telemetry("redis")))
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from typing import Final, TypeAlias

try:
    from opentelemetry.context import Context, attach, detach
    from opentelemetry.metrics import Histogram, MeterProvider, get_meter
    from opentelemetry.trace import (
        Span,
        SpanKind,
        StatusCode,
        TracerProvider,
        get_tracer,
        set_span_in_context,
    )
except ModuleNotFoundError as _error:
    what = (
        "kvcodec.integrations.opentelemetry needs opentelemetry-api: "
        "pip install 'kvcodec[opentelemetry]'"
    )
    raise ModuleNotFoundError(what, name=_error.name) from _error

from kvcodec.backends.watched import Observed, Watch, Watcher

__all__ = ["Telemetry"]

_CONVENTIONS: Final = "https://opentelemetry.io/schemas/1.33.0"
"""The first with the stable conventions for clients of databases."""

_SECONDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""The buckets that the conventions advise."""

Attributes: TypeAlias = Mapping[str, str | int]


class Telemetry(Watcher):
    """What a ``WatchedKV`` or ``AsyncWatchedKV`` tells, as spans and metrics of OpenTelemetry.

    Around the KV of an engine::

        kv = WatchedKV(RedisKV(client), Telemetry("redis", {"server.address": "cache-1"}))

    ``system``: what stores it, as in ``db.system.name``: ``"redis"``, ``"postgresql"``,
    ``"sqlite"``. ``attributes``: what else is to be on every span and metric, of few values, such
    as ``db.namespace`` or ``server.address``. The providers are by default the global ones, also
    if those are set later; without an SDK nothing is recorded.

    A span stands below the one that is current where the operation begins, and is itself current
    while the KV works: what its client traces stands below it. It is named ``get``, or ``get`` and
    the ``db.collection.name`` or ``db.namespace``. An error is told by its class
    (``error.type``), never by its message; what is ``missing`` or ``refused``
    (``kvcodec.outcome``) is none. The span of a listing lasts until its reader is done; its
    duration in the metric is the KV's alone.

    Metrics: ``db.client.operation.duration`` in seconds, ``kvcodec.operation.size`` in bytes of
    values. Never a value; the raw keys, as ``kvcodec.keys`` of spans, only if the KV is watched
    with ``names=True``. One may serve several KVs, threads and event loops.
    """

    def __init__(
        self,
        system: str,
        attributes: Attributes | None = None,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._common = {**(attributes or {}), "db.system.name": system}
        target = self._common.get("db.collection.name", self._common.get("db.namespace"))
        self._suffix = "" if target is None else f" {target}"
        self._tracer = get_tracer("kvcodec", None, tracer_provider, _CONVENTIONS)
        meter = get_meter("kvcodec", "", meter_provider, _CONVENTIONS)
        self._seconds = meter.create_histogram(
            "db.client.operation.duration",
            "s",
            "Duration of database client operations.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._bytes = meter.create_histogram(
            "kvcodec.operation.size", "By", "Bytes of the values that were sent and received."
        )

    def begin(self, method: str, /) -> Watch:
        """Begin the span of one operation."""
        attributes = {**self._common, "db.operation.name": method}
        span = self._tracer.start_span(
            method + self._suffix, kind=SpanKind.CLIENT, attributes=attributes
        )
        return _Traced(span, attributes, self._seconds, self._bytes)


class _Traced(Watch):
    """One operation, with its span and the attributes of both signals."""

    __slots__ = ("_attributes", "_bytes", "_seconds", "_span", "_token")

    def __init__(
        self, span: Span, attributes: dict[str, str | int], seconds: Histogram, size: Histogram
    ) -> None:
        self._span, self._attributes = span, attributes
        self._seconds, self._bytes = seconds, size

    def enter(self) -> None:
        self._token: Token[Context] = attach(set_span_in_context(self._span))

    def leave(self) -> None:
        detach(self._token)

    def end(self, observed: Observed, /) -> None:
        ended = {"kvcodec.outcome": str(observed.outcome)}
        if observed.error is not None:
            ended["error.type"] = observed.error
        attributes = {**self._attributes, **ended}
        context = set_span_in_context(self._span)  # a point of the metric leads to its span
        self._seconds.record(observed.seconds, attributes, context)
        self._bytes.record(observed.bytes, attributes, context)
        if self._span.is_recording():
            self._span.set_attributes({**ended, **_described(observed)})
            if observed.error is not None:
                self._span.set_status(StatusCode.ERROR)
        self._span.end()


def _described(observed: Observed) -> dict[str, int | tuple[str, ...]]:
    """Return what is told of spans only: numbers, and the keys if they were asked for."""
    told: dict[str, int | tuple[str, ...]] = {"kvcodec.operation.size": observed.bytes}
    if observed.method == "scan_keys":
        told["db.response.returned_rows"] = observed.items
    elif (
        "_many" in observed.method and observed.items != 1
    ):  # one alone is no batch, whatever the method
        told["db.operation.batch.size"] = observed.items
    if observed.keys is not None:
        told["kvcodec.keys"] = observed.keys
    return told
