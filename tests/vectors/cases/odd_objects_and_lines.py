"""Exceptions that are none of kvcodec's: an object whose __getattr__ raises KeyError; a line with a lone surrogate."""
from typing import Any
from kvcodec import Keyspace, Log, Store
from kvcodec import import_lines
class Odd:
    def __getattr__(self, name): raise KeyError(name)
for what in (lambda: Store(Keyspace("o", Any), {}).set("a", {"a": Odd()}), lambda: import_lines(Log(Keyspace("l", str), {}), "a", ['"fine"', '"secret-\udce9"'])):
    try: what()
    except Exception as error: print(type(error).__name__, getattr(error, "object", ""))      # right: EncodeError, DecodeError with the line's number, without the line
