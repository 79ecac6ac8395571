"""Tests of kvcodec/keyspace/."""
