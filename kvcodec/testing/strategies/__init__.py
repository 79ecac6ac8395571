"""Hypothesis strategies made from types: ``values(T)`` and ``keys(keyspace)``.

What they draw is what ``set`` accepts: within the declared bounds, of the declared form, and with
nothing in it that the encoding cannot hold (no NaN in JSON, no lone surrogate, no dict whose keys
meet once they are text). Types are taken apart by ``msgspec.inspect``, pydantic models by their
own fields. Smaller examples come first: the first member of a union or an Enum, declared defaults,
empty collections.
"""

from __future__ import annotations

from kvcodec.testing.strategies.keys import keys
from kvcodec.testing.strategies.registry import register
from kvcodec.testing.strategies.values import members, values

__all__ = ["keys", "members", "register", "values"]
