"""What stored bytes are, step by step, for people who look into a store. Floor 2: no I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from kvcodec.envelope import Header
from kvcodec.errors import KVCodecError, shorten

if TYPE_CHECKING:
    from kvcodec.keyspace import Keyspace
    from kvcodec.pipeline import Pipeline

__all__ = ["Explanation", "Step"]

_SHOWN_CHARS = 200
"""Of a value that is shown: enough to know it again."""


class Step(Struct, frozen=True):
    """One step of the way from stored bytes to a value."""

    name: str
    """``stored``, ``envelope``, ``decrypt``, ``decompress``, ``upgrade``, ``decode``, ``older
    form`` or ``error``."""
    size: int | None
    """Bytes after the step; None where there are none."""
    facts: dict[str, str | int]

    def __str__(self) -> str:
        size = "" if self.size is None else f"{self.size} bytes"
        facts = ", ".join(f"{name} {value}" for name, value in self.facts.items())
        return f"{self.name:<11} {size:>12}  {facts}".rstrip()


class Explanation(Struct, frozen=True):
    """The steps of a stored value. ``str()`` gives them as text, a line each."""

    keyspace: str
    raw_key: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        head = f"keyspace {self.keyspace}, key {shorten(self.raw_key, 80)}"
        return "\n".join([head, *map(str, self.steps)])


def explain(keyspace: Keyspace[Any, Any], raw_key: str, data: bytes, *, show: bool) -> Explanation:
    """Take stored bytes apart. What goes wrong is the last step, and not raised.

    The value is named by its type; with ``show`` its text is there too, but never that of a
    sealed one.
    """
    steps = [Step("stored", len(data), {"first bytes": data[:4].hex(" ")})]
    try:
        _take_steps(steps, keyspace, raw_key, data, show=show)
    except KVCodecError as error:
        facts: dict[str, str | int] = {"stage": error.stage or "", "kind": type(error).__name__}
        steps.append(Step("error", None, facts | {"says": str(error.args[0])}))
    return Explanation(keyspace.name, raw_key, tuple(steps))


def _take_steps(
    steps: list[Step], keyspace: Keyspace[Any, Any], raw_key: str, data: bytes, *, show: bool
) -> None:
    pipeline = keyspace._pipeline
    if keyspace.previous and not pipeline.recognises(data):
        # As it is read: `unpack` tries each of them in turn, at no particular moment.
        steps.append(Step("older form", len(data), {"one of": len(keyspace.previous)}))
        value = keyspace._open(raw_key, data, 0.0)
        steps.append(_decoded(pipeline, data, value, show=show))
        return
    header = pipeline.header(data)
    if not pipeline.form.is_plain:
        steps.append(Step("envelope", len(data), _facts(header)))
    payload = pipeline.unwrap(raw_key, data, (header.written_ms or 0) / 1000)
    name = "decrypt" if pipeline.form.cipher is not None else "payload"
    if not pipeline.form.is_plain:
        steps.append(Step(name, len(payload.encoded), _form_facts(pipeline, header)))
    encoded = pipeline.upgraded(payload)
    if encoded is not payload.encoded:
        facts: dict[str, str | int] = {"from": header.version, "to": keyspace.version}
        steps.append(Step("upgrade", len(encoded), facts))
    steps.append(_decoded(pipeline, encoded, pipeline.decode(encoded), show=show))


def _decoded(pipeline: Pipeline[Any], encoded: bytes, value: Any, *, show: bool) -> Step:
    facts: dict[str, str | int] = {"codec": pipeline.codec.name, "type": type(value).__name__}
    if pipeline.form.cipher is not None:
        facts["value"] = "sealed, not shown"
    elif show:
        facts["value"] = shorten(repr(value), _SHOWN_CHARS)
    return Step("decode", len(encoded), facts)


def _facts(header: Header) -> dict[str, str | int]:
    facts: dict[str, str | int] = {"format": 1, "version": header.version}
    if header.written_ms is not None:
        facts["written"] = _moment(header.written_ms)
    if header.expires_ms is not None:
        facts["expires"] = _moment(header.expires_ms)
    if header.compression:
        facts["compression"] = {1: "zlib", 2: "zstd"}.get(header.compression, header.compression)
    if header.cipher:
        facts["cipher"] = {1: "fernet", 2: "aes-gcm"}.get(header.cipher, header.cipher)
        facts["key id"] = header.key_id.hex()
    return facts


def _form_facts(pipeline: Pipeline[Any], header: Header) -> dict[str, str | int]:
    return (
        {"compressed": "yes" if header.compression else "no"} if pipeline.form.compression else {}
    )


def _moment(milliseconds: int) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError):
        return f"{milliseconds} ms"
