"""Runs one row of the forty bad inputs on the SDK's storage, in the plugin's own process."""

from __future__ import annotations

import traceback
from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.tool import ToolInvokeMessage

from tests.bad_input import ROWS, Backend


class Row(Tool):
    """``number``: of the row."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage, None, None]:
        storage = self.session.storage
        [row] = [each for each in ROWS if each.number == int(tool_parameters["number"])]
        try:
            row.check(Backend(storage, _Stored(storage), largest=400_000))
        except BaseException:  # noqa: BLE001 - whatever it is, the test is told
            yield self.create_text_message(traceback.format_exc())
        else:
            yield self.create_text_message("as it should be")


class _Stored:
    """The storage's own way to its values."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self.set = storage.set

    def get(self, key: str) -> bytes | None:
        if not self._storage.exist(key):
            return None
        data: bytes = self._storage.get(key)
        return data
