"""Tests that users run on their own backends; needs the extra ``kvcodec[testing]``.

hypothesis and pytest are imported here and nowhere else in kvcodec.
"""

from kvcodec.testing.conformance import AsyncKVConformance, KVConformance

__all__ = ["AsyncKVConformance", "KVConformance"]
