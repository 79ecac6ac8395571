"""Clients that speak the protocols of kvcodec, one per file.

Beside them what is asked of any handle: what it is (``adapt``), what it can do and where it keeps
its values (``capabilities``). A client's file imports these, ``kvcodec.errors``,
``kvcodec.protocols`` and its own client. Nothing is imported here, so that whoever opens a dict
does not pay for sqlite3 or asyncio: import the file of the backend you use,
``from kvcodec.backends.memory import MemoryKV``.
"""
