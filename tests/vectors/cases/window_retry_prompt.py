"""window: a pydantic-ai retry prompt that answers no tool call makes it drop everything before."""
from typing import Any
from kvcodec import Keyspace, Log
from kvcodec import window
log = Log(Keyspace("w", dict[str, Any]), {})
log.extend("a", [
    {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "q1"}]},
    {"kind": "response", "parts": [{"part_kind": "text", "content": "not what the output type wants"}]},
    {"kind": "request", "parts": [{"part_kind": "retry-prompt", "tool_name": None, "tool_call_id": "pyd_ai_1", "content": "fix it"}]},
    {"kind": "response", "parts": [{"part_kind": "text", "content": "good"}]},
])
print([m["parts"][0]["content"] for m in window(log, "a", last=10)])  # right: all four
