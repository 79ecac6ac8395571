"""Tests of kvcodec/stores/."""
