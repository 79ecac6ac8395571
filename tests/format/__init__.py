"""Tests of kvcodec/format/."""
