"""Golden bytes of versions and compression: what was stored once is read by every later version."""

# Stores stand behind one face here, so that what their callbacks take is Any.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kvcodec import KeyRing, NewerVersion
from tests.keyspace.test_versions import First, Second, Third, listed, people, split
from tests.requires import require_module

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors/golden-v1-versions.json").read_text("utf-8")
)
NOW: int = GOLDEN["now"]
RING = KeyRing(GOLDEN["key"])
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "msgpack": {"encoding": "msgpack"},
    "sealed": {"cipher": RING},
    "ttl": {"ttl": 3600},
    "checksum": {"checksum": True},
    "zlib": {"compress": "zlib"},
    "zlib ttl checksum": {"compress": "zlib", "ttl": 3600, "checksum": True},
    "zlib sealed": {"compress": "zlib", "cipher": RING, "compress_secrets": True},
    "zstd": {"compress": "zstd"},
    "msgpack sealed ttl": {"encoding": "msgpack", "cipher": RING, "ttl": 3600},
}
EXACT = ("plain", "msgpack", "ttl", "checksum")
"""Forms of which equal values have equal bytes: no random bytes, no library's compressor."""

VECTORS = [
    pytest.param(vector, id=f"{at} {vector['form']} v{vector['version']}")
    for at, vector in enumerate(GOLDEN["vectors"])
]


def value_of(vector: dict[str, Any], version: int) -> Any:
    """The value that a vector stands for, in a version's type."""
    plain: Any = {"name": vector["name"]}
    for step in (split, listed)[: version - 1]:
        plain = step(plain)
    return msgspec.convert(plain, {1: First, 2: Second, 3: Third}[version])


def form_of(vector: dict[str, Any]) -> dict[str, Any]:
    """The options it was stored with."""
    if vector["form"] == "zstd" and sys.version_info < (3, 14):
        require_module("zstandard", install="pip install zstandard")
    return FORMS[vector["form"]]


@pytest.mark.parametrize("vector", VECTORS)
def test_every_later_version_reads_it(vector: dict[str, Any]) -> None:
    """Today's code of each version reads the bytes, or says that they are newer."""
    form, data = form_of(vector), bytes.fromhex(vector["stored"])
    for version in (1, 2, 3):
        space = people(version, **form)
        if version < vector["version"]:
            with pytest.raises(NewerVersion):
                space.unpack(vector["raw_key"], data, now=NOW)
        else:
            found = space.unpack(vector["raw_key"], data, now=NOW)
            assert found == value_of(vector, version)


@pytest.mark.parametrize("vector", VECTORS)
def test_todays_code_writes_the_same(vector: dict[str, Any]) -> None:
    """The header is the one of before; where nothing is random, so is every byte."""
    version = vector["version"]
    space = people(version, **form_of(vector))
    raw_key, data = space.pack("ada", value_of(vector, version), now=NOW)
    stored = bytes.fromhex(vector["stored"])
    assert raw_key == vector["raw_key"]
    if vector["form"] in EXACT:
        assert data == stored
    elif "checksum" not in vector["form"]:
        assert data[: 3 + data[2]] == stored[: 3 + stored[2]]


def test_they_hold_versions_and_compression() -> None:
    """Tags 1 and 4 of the header are in them, alone and beside others."""
    heads = {
        bytes.fromhex(vector["stored"])[3]
        for vector in GOLDEN["vectors"]
        if "c1" in vector["stored"][:2]
    }
    assert {1, 4} <= heads
    compressed = [vector for vector in GOLDEN["vectors"] if vector["form"].startswith("z")]
    sizes = {len(vector["name"]) > 100: len(vector["stored"]) // 2 for vector in compressed}
    assert sizes[True] < 300  # 360 characters of name
