"""window begins with the result of a cut-off call for the other call kinds of OpenAI's Responses."""
from typing import Any
from kvcodec import Keyspace, Log
from kvcodec import window
for call, result in (("function_call", "function_call_output"), ("custom_tool_call", "custom_tool_call_output"),
                     ("computer_call", "computer_call_output"), ("local_shell_call", "local_shell_call_output"),
                     ("shell_call", "shell_call_output"), ("apply_patch_call", "apply_patch_call_output")):
    log = Log(Keyspace("w", dict[str, Any]), {})
    log.extend("a", [{"role": "user", "content": "x"}, {"type": call, "call_id": "c1"}, {"type": result, "call_id": "c1"}, {"role": "assistant", "content": "y"}])
    print([m.get("type", m.get("role")) for m in window(log, "a", last=2)])  # right: ['assistant'] in all
