"""What is secret and was given to the program in a wrong place: refused, and never repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvcodec.cli.app import run
from kvcodec.cli.places import opened
from kvcodec.errors import ConfigError

SECRET = "hunter2"
KEY = "pGi0gVeKFs1nQ9sTzj4rUCKiIQMuyzr2WS1lUmK5oY8="

URLS = [
    f"redis://:{SECRET}@localhost",
    f"redis://user:{SECRET}@localhost/0",
    f"REDIS://user:{SECRET}@one,two/0",
    f"redis://:{SECRET}/x@localhost/0",
    f"redis://:{SECRET}?x@localhost/0",
    f"redis://:{SECRET}#x@localhost/0",
    f"redis://:{SECRET}[x@localhost/0",
    f"postgresql://user:{SECRET}@[::1],[::2]/app",
    f"redis://localhost?password={SECRET}",
    f"redis://localhost?p%61ssword={SECRET}",
    f"postgresql://localhost/app?sslpassword={SECRET}",
    f"nats://{SECRET}@localhost/bucket",
    f"s3://bucket/?endpoint=http://user:{SECRET}@localhost:9000",
    f"s3://bucket/?endpoint=http%3A%2F%2Fuser%3A{SECRET}%40localhost",
    f"s3://bucket/?sse_customer_key_base64={SECRET}",
    f"az://container/?access_key={SECRET}",
    f"az://container/?sas_key={SECRET}",
]


@pytest.mark.parametrize("url", URLS)
def test_a_secret_in_a_url_is_refused_as_an_argument(url: str) -> None:
    """By every form of it, with slips too."""
    with pytest.raises(ConfigError, match="holds a secret") as raised, opened(url):
        pass
    assert SECRET not in str(raised.value)


SLIPS = [
    f"env:redis://:{SECRET}@localhost",
    f"env:{SECRET}@localhost",
    f"redis:/:{SECRET}@localhost",
    f"redis:{SECRET}@localhost/0",
    f" redis://:{SECRET}@localhost",
    f"{SECRET}@localhost:5432/app",
    f"postgresql//user:{SECRET}@localhost/app",
    f"{SECRET}/x",
]


@pytest.mark.parametrize("place", SLIPS)
@pytest.mark.parametrize("command", ["ls", "verify"])
def test_a_url_with_a_slip_in_it_is_not_repeated(
    command: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the store, and as the declarations."""
    assert run([command, place, *(["json"] if command == "verify" else [])]) == 2
    assert run(["verify", "memory:", place]) == 2
    captured = capsys.readouterr()
    assert SECRET not in captured.out + captured.err


HARMLESS = [
    "postgresql://user@localhost:1/app?sslkey=client.key&sslmode=disable&connect_timeout=1",
    "redis://user@localhost:1/0?socket_keepalive=yes",
    "redis://user:@localhost:1/0?ssl_keyfile=x",
    "s3://bucket/x?access_key_id=me&endpoint=http://localhost:1&sse_bucket_key_enabled=true",
    "sqlite:///a:b@c.db?table=kv",
]


@pytest.mark.parametrize("url", HARMLESS)
def test_no_other_url_is_refused_so(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of files, ids and hosts are none."""
    monkeypatch.chdir(tmp_path)
    said = ""
    try:
        with opened(url, create=True):
            pass
    except ConfigError as error:
        said = str(error)
    assert "holds a secret" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("keygen", KEY),
        ("ls", "memory:", "x", KEY),
        ("verify", "memory:", "stored", KEY),
        ("verify", "memory:", "stored", "--limit", KEY),
        ("ls", "memory:", "x", f"redis://:{KEY}@localhost"),
        (KEY,),
        ("verify", f"--{KEY}"),
    ],
    ids=range(7),
)
def test_what_is_too_much_is_not_repeated(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a key, or a URL with a password, is among what is not understood."""
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.err
    assert KEY not in "".join((said.out + said.err).split())


def test_what_else_is_too_much_is_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """So that whoever typed it sees it."""
    assert run(["ls", "memory:", "x", "[/red]"]) == 2
    assert "Unused Tokens: ['[/red]']" in capsys.readouterr().err
