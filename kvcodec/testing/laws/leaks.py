"""The law of silence: no error about a value holds a part of it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from kvcodec.errors import KVCodecError
from kvcodec.testing.expect import expect
from kvcodec.testing.laws.base import NOW, POSITION, Laws
from kvcodec.testing.laws.changed import changed

__all__ = ["LeakLaws"]

_MARK: Final = "CANARY-7f3a"


class LeakLaws(Laws):
    """Of values that are refused, and of bytes that are."""

    def test_errors_hold_no_value(self) -> None:
        """No error about a value, stored or refused, holds a part of it."""

        def silent(key: Any, value: Any, which: int) -> None:
            raw_key = self.keyspace.raw_key(key)
            choices = [*itertools.islice(_marked(value), 64)]
            bad = choices[which % len(choices)]
            try:
                data = self._wrapped(key, _marked_bytes(self._codec.name, which))
            except (KVCodecError, msgspec.MsgspecError):  # no encoding: its secrets are not found
                data = b""
            for attempt in (
                functools.partial(self._unpack, raw_key, data),
                functools.partial(self.keyspace.pack, key, bad, now=NOW),
            ):
                try:
                    attempt()
                except KVCodecError as error:
                    _expect_silent(error)

        self._run(silent, key=self._keys, value=self._values, which=POSITION)


def _marked(value: Any) -> Iterator[Any]:
    """Values that hold the mark, and that an encoder refuses."""
    yield from changed(value, lambda part: (f"{_MARK}\ud800", {_MARK: {1}}, {_MARK: [part]}))


def _marked_bytes(codec: str, which: int) -> bytes:
    """Encodings that hold the mark; not all of them are well-formed."""
    plain: list[Any] = [_MARK, {_MARK: 1}, {"type": _MARK}, [_MARK], {"a": {_MARK: _MARK}}]
    form: Any = msgspec.msgpack if codec == "msgpack" else msgspec.json
    payloads: list[bytes] = [*map(form.encode, plain), f'{{"{_MARK}'.encode()]
    payloads.append(b"\xff" + _MARK.encode())
    return payloads[which % len(payloads)]


def _expect_silent(error: BaseException) -> None:
    for part, text in _said(error):
        expect(_MARK not in text, f"{type(error).__name__}: its {part} holds a part of the value")


def _said(error: BaseException | None) -> Iterator[tuple[str, str]]:
    """Whatever an error shows to loggers and crash reporters, in words."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield "message", f"{error} {error!r} {error.args!r} {vars(error)!r}"
        frame = error.__traceback__
        while frame is not None:
            module = str(frame.tb_frame.f_globals.get("__name__", ""))
            if module.startswith("kvcodec.") and not module.startswith("kvcodec.testing"):
                yield f"traceback ({module})", repr(frame.tb_frame.f_locals)
            frame = frame.tb_next
        error = error.__cause__ or error.__context__
