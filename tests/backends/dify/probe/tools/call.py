"""Calls one method of the SDK's storage, or of a DifyKV on it, and tells what came of it."""

from __future__ import annotations

import binascii
import json
from typing import TYPE_CHECKING, Any

from dify_plugin import Tool

from kvcodec.backends.dify import DifyKV

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from dify_plugin.entities.tool import ToolInvokeMessage

_KINDS: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "str": bytes.decode,
    "int": len,
}


class Call(Tool):
    """``target``: raw (the SDK's object), kv, or old (a KV on an SDK before 0.2.0)."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage, None, None]:
        report = _call(self.session.storage, tool_parameters)
        yield self.create_text_message(json.dumps(report))


class _OldStorage:
    """The storage of an SDK before 0.2.0: the real one without ``exist``."""

    def __init__(self, storage: Any) -> None:
        self.get, self.set, self.delete = storage.get, storage.set, storage.delete


def _call(storage: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    key = bytes.fromhex(parameters["key"]).decode("utf-8", "surrogatepass")
    value = _value(parameters)
    arguments = [key] if value is None else [key, value]
    try:
        target = _target(storage, parameters["target"])
        result = getattr(target, parameters["operation"])(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is, the test is told
        return _report(error, value)
    return {"result": result.hex() if isinstance(result, bytes) else result}


def _target(storage: Any, name: str) -> Any:
    if name == "raw":
        return storage
    wrapped: Any = storage if name == "kv" else _OldStorage(storage)
    return DifyKV(wrapped)


def _value(parameters: dict[str, Any]) -> Any:
    if "value" not in parameters:
        return None
    data = bytes.fromhex(parameters["value"]) * parameters["times"]
    return _KINDS[parameters["kind"]](data)


def _report(error: Exception, value: Any) -> dict[str, Any]:
    names = ("possibly_stored", "limit", "found", "raw_key", "stage")
    return {
        "error": type(error).__name__,
        "text": str(error),
        "chained": error.__cause__ is not None or error.__context__ is not None,
        "leaks": [] if value is None else list(_leaks(error, value)),
        **{name: getattr(error, name) for name in names if hasattr(error, name)},
    }


def _leaks(error: BaseException, value: Any) -> Iterator[str]:
    """Name the places of ``error`` where ``value`` is to be seen, the probe's own frames aside."""
    if _shows(value, str(error)) or _shows(value, repr(error.args)):
        yield "message"
    trace = error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        if frame.f_globals["__name__"] != __name__:
            yield from (
                f"{frame.f_code.co_qualname}: {name}"
                for name, local in frame.f_locals.items()
                if local is value or _shows(value, repr(local))
            )
    for chained in (error.__cause__, error.__context__):
        if chained is not None:
            yield from _leaks(chained, value)


def _shows(value: Any, text: str) -> bool:
    if not isinstance(value, bytes) or len(value) < 8:
        return False
    return repr(value)[2:-1] in text or binascii.hexlify(value).decode() in text
