"""Tests of kvcodec/keys/."""
