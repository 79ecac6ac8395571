"""Names in a bucket: every key has one of its own, which NATS takes, and it comes back."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvcodec import KeyNameError, LimitExceeded, NatsKV
from kvcodec.backends.nats_names import KEY_BYTES, key_of, name_of, subjects_under
from tests.servers.nats import NatsServer

VALID = re.compile(r"[-/_=A-Za-z0-9]+(?:\.[-/_=A-Za-z0-9]+)*")
"""What NATS takes: no dot at an end, no two that meet."""

KEYS = st.text(st.sampled_from("ab/.=z%!~:é\0 *>$") | st.characters(exclude_categories=["Cs"]))


@given(KEYS)
def test_every_key_has_a_name_that_nats_takes(key: str) -> None:
    """And comes back from it; hence no two keys have one name."""
    name = name_of(key)
    assert VALID.fullmatch(name)
    assert key_of(name) == key


@given(st.text("ab/.=z%pC3A9é"))
def test_a_name_has_one_key_or_none(name: str) -> None:
    """What others wrote into the bucket is never taken for another key's."""
    key = key_of(name)
    assert key is None or name_of(key) == name


@given(KEYS, KEYS)
def test_a_prefix_finds_all_that_begin_with_it(prefix: str, rest: str) -> None:
    """Its pattern matches every name of such a key."""
    pattern, name = subjects_under(prefix), name_of(prefix + rest)
    assert pattern[-1] == ">"
    assert name.startswith(pattern[:-1])
    assert len(name) > len(pattern[:-1])


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("users/ada.l/a%40b!1", "users.ada/l.a=p40b=e1"),
        ("a:b~c=d", "a=cb=tc==d"),
        ("é", "=C3=A9"),
        ("", "=z"),
        ("/a//b/", "=z.a.=z.b.=z"),
    ],
)
def test_names_stay_as_they_are(key: str, name: str) -> None:
    """What was stored under them is found again by every later release."""
    assert name_of(key) == name


@pytest.mark.parametrize("name", ["", ".", "a..b", "=x", "=c3=a9", "=C3", "=41", "a=", "a b"])
def test_what_is_no_key(name: str) -> None:
    """Names of others."""
    assert key_of(name) is None


@pytest.mark.parametrize("char", ["k", "é", "/", " "])
def test_the_longest_key_fits_whatever_it_is_made_of(char: str) -> None:
    """With the longest name of a bucket, and what else stands in a line of the protocol."""
    key = char * (KEY_BYTES // len(char.encode()))
    assert len(name_of(key)) <= 4_096 - 255 - 200
    with pytest.raises(LimitExceeded, match="NATS takes 1200"):
        name_of(key + char)


def test_a_lone_surrogate_is_refused() -> None:
    """By name, before anything is sent; in a prefix, too."""
    for ask in (name_of, subjects_under):
        with pytest.raises(KeyNameError):
            ask("a\ud800/b")


def test_listings_beside_a_dict(nats_server: NatsServer, bucket: str) -> None:
    """Keys that NATS would refuse, or take for others: each is itself, by whatever prefix."""
    ends = [
        "",
        "/",
        "//",
        "a",
        "a/",
        "/a",
        ".",
        "..",
        "=",
        "=z",
        "=e",
        "*",
        ">",
        " ",
        "%",
        "é",
        "\0",
    ]
    keys = sorted({f"{one}{other}" for one in ends for other in ends} - {""})

    async def use() -> None:
        async with NatsKV.from_url(f"{nats_server.url}/{bucket}", create=True) as kv:
            await kv.set_many({key: key.encode() for key in keys})
            assert await kv.get_many(keys) == {key: key.encode() for key in keys}
            for prefix in ends:
                found = sorted([key async for key in kv.scan_keys(prefix)])
                assert found == [key for key in keys if key.startswith(prefix)]

    asyncio.run(use())
