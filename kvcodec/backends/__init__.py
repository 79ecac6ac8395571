"""Clients that speak the protocols of kvcodec, one per file.

Floor 1: each imports ``kvcodec.errors`` and ``kvcodec.protocols``, and its own client only. Nothing
is imported here, so that whoever opens a dict does not pay for sqlite3 or asyncio: import the file
of the backend you use, ``from kvcodec.backends.memory import MemoryKV``.
"""
