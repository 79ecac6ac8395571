"""export_lines of a MessagePack keyspace writes JSON that does not hold the message, without an error."""
import math
from typing import Any
from kvcodec import Keyspace, Log
from kvcodec import export_lines, import_lines
for typ, v in ((dict[str, float], {"score": math.nan}), (dict[str, float | None], {"score": math.inf}),
               (Any, {"data": b"\xff"}), (Any, {1: "a", "1": "b"})):
    log = Log(Keyspace("m", typ, encoding="msgpack"), {}); log.append("a", v)
    lines = list(export_lines(log, "a"))
    back = Log(Keyspace("n", typ, encoding="msgpack"), {})
    try: import_lines(back, "a", lines); got = back.tail("a", 1)
    except Exception as e: got = f"import: {type(e).__name__}"
    print(v, "->", lines, "->", got)                                # right: EncodeError, as the docstring says
