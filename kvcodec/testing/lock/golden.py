"""Golden values: drawn, chosen, written as text, and read again as a keyspace reads them."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy

from kvcodec.errors import KVCodecError
from kvcodec.format.envelope import Header
from kvcodec.format.plain import is_dict, is_list
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.pipeline import Pipeline
from kvcodec.keyspace.wrapping import Payload
from kvcodec.secrets.marks import MARK
from kvcodec.testing.strategies import members, values

__all__ = ["as_bytes", "as_text", "decoded", "entries", "golden_of", "samples", "shown", "upgraded"]

DRAWN = 200
"""Values that golden ones are chosen from: each member of an Enum of 20 is among them."""

OF_MEMBER = 2
"""Golden values of each member of each union: its smallest one is often among the others."""

GOLDEN = 60
"""Golden values of one version. With their views that is 10 to 100 kB of JSON for a keyspace."""

_SAME_MARK = b"kvo1." + 32 * b"0" + b"."
"""Stands for the mark that secrets have in an encoding: another one in each process, as long."""

_BASE64 = "base64:"


def golden_of(keyspace: Keyspace[Any, Any]) -> list[bytes]:
    """Return encodings of generated values, each kind and member of the type among them."""
    pipeline = keyspace.declaration.pipeline
    kind, encoding = keyspace.value_type, pipeline.codec.name
    drawn = samples(values(kind, encoding=encoding), DRAWN)
    chosen = _covering(_encoded(pipeline, drawn))
    for strategy in members(kind, encoding=encoding):
        # Whatever else is chosen: None, and each other member of a union, at each place.
        chosen += _encoded(pipeline, samples(strategy, OF_MEMBER))
    return chosen


def _encoded(pipeline: Pipeline[Any], drawn: Iterable[Any]) -> dict[bytes, Any]:
    """Values by their encodings, as plain data."""
    found: dict[bytes, Any] = {}
    for value in drawn:
        try:
            data = pipeline.encoding.encode(value)
        except KVCodecError:
            continue  # too deep, for one: never stored, so nothing that was promised
        if len(data) <= pipeline.form.max_bytes:
            found[data.replace(MARK.encode(), _SAME_MARK)] = pipeline.codec.to_plain(data)
    return found


def _covering(found: dict[bytes, Any]) -> list[bytes]:
    """A few of many values, in which everything is that is in several of the many."""
    features = {data: frozenset(_features(plain, ())) for data, plain in found.items()}
    often = Counter(feature for held in features.values() for feature in held)
    wanted = {feature for feature, times in often.items() if times > 2 or len(found) < GOLDEN}
    chosen: list[bytes] = []
    for data, held in features.items():
        if len(chosen) < GOLDEN and not wanted.isdisjoint(held):
            chosen.append(data)
            wanted -= held
    return chosen


def _features(plain: Any, path: tuple[Any, ...]) -> Iterator[Any]:
    """What is special about plain data: kinds, sizes, and values, of which some come up again."""
    yield path, type(plain).__name__
    if is_dict(plain) or is_list(plain):
        yield path, "items", min(len(plain), 3)
        for at, value in entries(plain):
            yield from _features(value, (*path, at if is_dict(plain) else "[]"))
    elif isinstance(plain, str | bytes):
        yield path, "length", min(len(plain), 8)
        yield path, "value", plain[:40]
    elif isinstance(plain, int | float):
        yield path, "value", repr(plain)
        yield path, "size", plain < 0, len(repr(plain)) // 3


def entries(plain: Any) -> Iterable[tuple[Any, Any]]:
    """Return the items of a dict or list, by key or position; none of anything else."""
    if is_dict(plain):
        return list(plain.items())
    return list(enumerate(plain)) if is_list(plain) else ()


def samples(strategy: SearchStrategy[Any], count: int) -> list[Any]:
    """Return the first ``count`` examples of a strategy, fewer if there are no more."""
    found: list[Any] = []

    # Derandomised: the same type gives the same samples, on every machine.
    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
        ],
    )
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    try:
        collect()
    except Unsatisfiable:
        pass  # a member of a union that nothing leads to
    return found


def as_text(data: bytes) -> str:
    """Return an encoding as text: readable where it is text, so that a diff of the file is."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = _BASE64
    return _BASE64 + base64.b64encode(data).decode() if text.startswith(_BASE64) else text


def as_bytes(text: str) -> bytes:
    """Return the encoding that ``as_text`` wrote, with today's mark of secrets."""
    data = (
        base64.b64decode(text.removeprefix(_BASE64)) if text.startswith(_BASE64) else text.encode()
    )
    return data.replace(_SAME_MARK, MARK.encode())


def shown(encoded: bytes) -> str:
    """Return an encoding as messages show it, without the mark of secrets."""
    return as_text(encoded.replace(MARK.encode(), b""))


def upgraded(pipeline: Pipeline[Any], version: int, encoded: bytes) -> bytes:
    """Return an encoding of this version in today's. Raises as a keyspace does."""
    header = Header(version=version)
    payload = Payload(header, encoded)
    if pipeline.fields is not None:
        contexts = pipeline.fields.contexts("", header)
        plain = pipeline.codec.to_plain(encoded)
        payload = Payload(header, pipeline.fields.seal_any(plain, contexts))
    return pipeline.upgraded("", payload)


def decoded(pipeline: Pipeline[Any], version: int, encoded: bytes) -> Any:
    """Return what an encoding of this version is read as. Raises as a keyspace does."""
    return pipeline.encoding.decode(upgraded(pipeline, version, encoded))
