"""Tests of kvcodec/codecs/."""
