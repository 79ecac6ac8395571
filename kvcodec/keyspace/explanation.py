"""What stored bytes are, step by step, for people who look into a store."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from kvcodec.errors import DecodeError, KVCodecError, shorten
from kvcodec.format.envelope import CIPHERS, COMPRESSIONS, Header, Kind
from kvcodec.format.own import kind_said
from kvcodec.keyspace.declaration import Declaration, Older
from kvcodec.keyspace.opening import SHAPE_OF, other_shape, shape_error
from kvcodec.keyspace.pipeline import Pipeline

__all__ = [
    "Explanation",
    "Step",
    "explain",
    "explain_older",
    "has_secrets",
    "header_facts",
    "moment",
    "seals",
]

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


def explain(
    declared: Declaration[Any, Any],
    raw_key: str,
    data: bytes,
    *,
    show: bool,
    kind: Kind = "value",
) -> Explanation:
    """Take stored bytes apart. What goes wrong is the last step, and not raised.

    The value is named by its type; with ``show`` its text is there too, but never that of a
    sealed one. ``kind``: "head" of a log's, "manifest" of a file's and so on.
    """
    steps = [_stored(declared, data, show=show)]
    _take_steps(steps, declared, raw_key, data, show=show, kind=kind)
    return Explanation(declared.name, raw_key, tuple(steps))


def explain_older(
    declared: Declaration[Any, Any], older: Older, raw_key: str, data: bytes, *, show: bool
) -> Explanation:
    """Take apart what an older declaration stored under a name of its own, as ``explain``."""
    old = older.declaration
    shown = show and not has_secrets(declared)
    steps = [_stored(old, data, show=shown), _older(declared, older, data)]
    _take_steps(steps, old, raw_key, data, show=shown)
    return Explanation(declared.name, raw_key, tuple(steps))


def _stored(declared: Declaration[Any, Any], data: bytes, *, show: bool) -> Step:
    # Of an envelope, and of what may be shown: the first bytes of a PIN are the PIN.
    if data[:1] == b"\xc1" or (show and not has_secrets(declared)):
        return Step("stored", len(data), {"first bytes": data[:4].hex(" ")})
    return Step("stored", len(data), {})


def has_secrets(declared: Declaration[Any, Any]) -> bool:
    """Whether a value, or a field of it, is sealed in the keyspace's own form or an older one."""
    if seals(declared) or declared.pipeline.codec.secrets is not None:
        return True
    return any(has_secrets(older.declaration) for older in declared.older)


def seals(declared: Declaration[Any, Any]) -> bool:
    """Whether values of the keyspace are sealed, in its own form or in an older one."""
    if declared.pipeline.form.cipher is not None:
        return True
    return any(seals(older.declaration) for older in declared.older)


def _take_steps(
    steps: list[Step],
    declared: Declaration[Any, Any],
    raw_key: str,
    data: bytes,
    *,
    show: bool,
    kind: Kind = "value",
) -> None:
    try:
        if kind == "value":
            _take(steps, declared, raw_key, data, show=show and not seals(declared))
        else:
            _take_part(steps, declared, raw_key, data, kind)
    except KVCodecError as error:
        own = SHAPE_OF.get(kind)  # of what stands under a key's own name
        shape = None if own is None else other_shape(error, own, declared.pipeline, raw_key, data)
        said = error if shape is None else shape_error(shape)
        facts: dict[str, str | int] = {"stage": said.stage or "", "kind": type(said).__name__}
        steps.append(Step("error", None, facts | {"says": str(said.args[0])}))


def _is_of(kind: Kind, encoded: bytes) -> bool:
    """Whether bytes are a part of a kind; those of a chunk are the file's own."""
    return kind in ("chunk", kind_said(encoded))


def _is_part(declared: Declaration[Any, Any], raw_key: str, data: bytes, kind: Kind) -> bool:
    try:
        wrapping = declared.pipeline.part(kind)
        return _is_of(kind, wrapping.unwrap_any(raw_key, data).encoded)
    except KVCodecError:
        return False


def _take_part(
    steps: list[Step], declared: Declaration[Any, Any], raw_key: str, data: bytes, kind: Kind
) -> None:
    if not _is_part(declared, raw_key, data, kind):
        for older in declared.older:
            if _is_part(older.declaration, raw_key, data, kind):
                steps.append(_older(declared, older, data))
                _take_part(steps, older.declaration, raw_key, data, kind)
                return
    pipeline = declared.pipeline
    wrapping = pipeline.part(kind)
    form = wrapping.form
    if not (form.is_plain or form.bare):
        steps.append(Step("envelope", len(data), header_facts(wrapping.header(data))))
    payload = wrapping.unwrap_any(raw_key, data)
    if not form.is_plain:
        name = "payload" if form.cipher is None else "decrypt"
        steps.append(Step(name, len(payload.encoded), _form_facts(pipeline, payload.header)))
    if not _is_of(kind, payload.encoded):
        raise DecodeError(f"no {kind}, as kvcodec writes one here", stage="decode")
    steps.append(Step("decode", len(payload.encoded), {"part": kind}))


def _older(declared: Declaration[Any, Any], older: Older, data: bytes) -> Step:
    at = [one is older for one in declared.older].index(True)
    facts: dict[str, str | int] = {"previous": at, "keyspace": older.declaration.name}
    if older.until is not None:
        facts["refused from"] = moment(math.floor(older.until * 1000))
    return Step("older form", len(data), facts)


def _take(
    steps: list[Step], declared: Declaration[Any, Any], raw_key: str, data: bytes, *, show: bool
) -> None:
    pipeline = declared.pipeline
    # At the time of writing: an explanation of what has expired is an explanation all the same.
    older = declared.older_form(raw_key, data, 0.0)
    if older is not None:
        steps.append(_older(declared, older, data))
        # What is a Secret field today, and masked, may be plain text in the older type.
        shown = show and declared.pipeline.codec.secrets is None
        _take(steps, older.declaration, raw_key, data, show=shown)
        return
    header = pipeline.wrapping.header(data)
    if not (pipeline.form.is_plain or pipeline.form.bare):
        steps.append(Step("envelope", len(data), header_facts(header)))
    payload = pipeline.wrapping.unwrap(raw_key, data, (header.written_ms or 0) / 1000)
    name = "decrypt" if pipeline.form.cipher is not None else "payload"
    if not pipeline.form.is_plain:
        steps.append(Step(name, len(payload.encoded), _form_facts(pipeline, header)))
    encoded = pipeline.upgraded(raw_key, payload)
    if header.version < pipeline.form.version:
        facts: dict[str, str | int] = {"from": header.version, "to": pipeline.form.version}
        steps.append(Step("upgrade", len(encoded), facts))
    steps.append(_decoded(pipeline, encoded, pipeline.encoding.decode(encoded), show=show))


def _decoded(pipeline: Pipeline[Any], encoded: bytes, value: Any, *, show: bool) -> Step:
    facts: dict[str, str | int] = {"codec": pipeline.codec.name, "type": type(value).__name__}
    if pipeline.form.cipher is not None:
        facts["value"] = "sealed, not shown"
    elif show:
        facts["value"] = shorten(repr(value), _SHOWN_CHARS)
    return Step("decode", len(encoded), facts)


def header_facts(header: Header) -> dict[str, str | int]:
    """What a header says, by name."""
    facts: dict[str, str | int] = {"format": 1, "version": header.version}
    if header.written_ms is not None:
        facts["written"] = moment(header.written_ms)
    if header.expires_ms is not None:
        facts["expires"] = moment(header.expires_ms)
    if header.compression:
        facts["compression"] = COMPRESSIONS.get(header.compression, header.compression)
    if header.cipher:
        facts["cipher"] = CIPHERS.get(header.cipher, header.cipher)
        facts["key id"] = header.key_id.hex()
    return facts


def _form_facts(pipeline: Pipeline[Any], header: Header) -> dict[str, str | int]:
    return (
        {"compressed": "yes" if header.compression else "no"} if pipeline.form.compression else {}
    )


def moment(milliseconds: int) -> str:
    """A moment of a header, for people and programs: ISO 8601, UTC."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError):
        return f"{milliseconds} ms"
