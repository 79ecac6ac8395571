"""Where keys come from: files that only their owner may touch, and passphrases."""

from __future__ import annotations

import asyncio
import base64
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf import argon2

from kvcodec import ConfigError, KeyRing, Keyspace, Tampered, UnknownKey
from kvcodec.secrets import passphrases
from tests.leaks import CANARY, leaks
from tests.stores.subjects import AsyncWrapper, Wrapper, known

ONE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TWO = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such bits")


def key_file(directory: Path, content: str, mode: int = 0o600) -> Path:
    """A key file with this content and mode."""
    path = directory / "app.keys"
    path.write_text(content, "utf-8")
    path.chmod(mode)
    return path


# ------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("text", [f"{ONE},{TWO}", f"{ONE}\n{TWO}\n", f"  {ONE}, {TWO}"])
def test_from_file_reads_primary_then_retired(text: str, tmp_path: Path) -> None:
    """The first key of a file is the primary one, the others are retired."""
    ring = KeyRing.from_file(key_file(tmp_path, text))
    assert (ring.primary, ring.retired) == (KeyRing(ONE).primary, (KeyRing(TWO).primary,))


def test_a_path_may_be_text(tmp_path: Path) -> None:
    """A str is a path as well."""
    assert KeyRing.from_file(str(key_file(tmp_path, ONE))).primary == KeyRing(ONE).primary


def test_create_file_makes_a_key_that_only_its_owner_may_read(tmp_path: Path) -> None:
    """The new file has mode 0600, and the next start reads the same key."""
    path = tmp_path / "app.keys"
    made = KeyRing.create_file(path)
    assert KeyRing.from_file(path).primary == made.primary
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix
def test_create_file_is_private_whatever_the_umask_says(tmp_path: Path) -> None:
    """A umask of 0 does not open the file to others, not even while it is written."""
    before = os.umask(0)
    try:
        KeyRing.create_file(tmp_path / "app.keys")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "app.keys").stat().st_mode) == 0o600


def test_create_file_overwrites_nothing(tmp_path: Path) -> None:
    """What is there already stays: a key file, an empty file, a link to nowhere."""
    path = key_file(tmp_path, ONE)
    with pytest.raises(ConfigError, match="something already"):
        KeyRing.create_file(path)
    assert path.read_text("utf-8") == ONE
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="something already"):
        KeyRing.create_file(dangling)
    assert not (tmp_path / "nowhere").exists()


def test_create_file_needs_its_directory(tmp_path: Path) -> None:
    """A directory that is not there is said, and not made."""
    with pytest.raises(ConfigError, match="cannot be made: ") as caught:
        KeyRing.create_file(tmp_path / "no" / "app.keys")
    assert not (tmp_path / "no").exists()
    assert "app.keys" in str(caught.value)


def test_a_key_that_could_not_be_written_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves nothing that looks like a key file."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left") as caught:
        KeyRing.create_file(tmp_path / "app.keys")
    assert list(tmp_path.iterdir()) == []
    assert caught.value.__cause__ is None


def refused_file(path: Any) -> ConfigError:
    """The error of a key file, which names the path and nothing that stands in it."""
    with pytest.raises(ConfigError) as caught:
        KeyRing.from_file(path)
    for secret in (ONE, TWO, CANARY):
        assert leaks(caught.value, secret) == []
    return caught.value


@posix
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o610, 0o620, 0o666, 0o777, 0o601])
def test_a_file_that_others_may_use_is_refused(mode: int, tmp_path: Path) -> None:
    """Any bit of the group or of others: the key may be known already."""
    path = key_file(tmp_path, ONE, mode)
    error = refused_file(path)
    assert "app.keys" in str(error)
    assert f"{mode:04o}" in str(error)


@posix
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_its_owner_alone_is_read(mode: int, tmp_path: Path) -> None:
    """Bits of the owner do not matter."""
    assert KeyRing.from_file(key_file(tmp_path, ONE, mode)).primary == KeyRing(ONE).primary


@posix
@pytest.mark.parametrize("kind", ["link", "link to nowhere", "directory", "pipe", "device"])
def test_what_is_no_regular_file_is_refused(kind: str, tmp_path: Path) -> None:
    """A symbolic link, a directory, a pipe (without waiting for its other end), a device."""
    path = tmp_path / "app"
    if kind == "link":
        path.symlink_to(key_file(tmp_path, ONE))
    elif kind == "link to nowhere":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "directory":
        path.mkdir(mode=0o700)
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    else:
        path = Path(os.devnull)
    error = str(refused_file(path))
    assert path.name in error
    assert "a symbolic link" in error or "no regular file" in error


def _no_link(_: Path) -> bool:
    return False


@posix
def test_a_link_is_refused_by_the_opening_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that becomes a link after the look at its name is not followed either."""
    path = tmp_path / "app"
    path.symlink_to(key_file(tmp_path, ONE))
    monkeypatch.setattr(Path, "is_symlink", _no_link)
    assert "cannot be opened" in str(refused_file(path))


@posix
def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner could put another key into it at any time."""
    path = key_file(tmp_path, ONE)
    if os.getuid() == 0:
        os.chown(path, 12345, -1)  # root's own files are fine for everybody
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert "another user" in str(refused_file(path))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds no key"),
        (" \n,\n", "holds no key"),
        (CANARY, "44 base64url characters"),
        (ONE[:-1], "this one has 43"),
        (f"{ONE}\n{ONE}", "twice"),
        (f"{ONE} {CANARY}", "44 base64url characters"),
        ("A" * 43 + "=", "repeats one byte"),
        (f"APP_KEYS={ONE}", "44 base64url characters"),
        ("\n".join([ONE] * 300), "no key file"),
        (f"# my key\n{ONE}", "44 base64url characters"),
    ],
)
def test_a_file_with_anything_else_is_refused(content: str, says: str, tmp_path: Path) -> None:
    """The same strict parsing as everywhere; the message names the path and the fault."""
    error = refused_file(key_file(tmp_path, content))
    assert says in str(error)
    assert "app.keys" in str(error)


def test_a_file_with_other_bytes_is_refused(tmp_path: Path) -> None:
    """Bytes that are no text are no key."""
    path = tmp_path / "app.keys"
    path.write_bytes(bytes(range(128, 172)))
    path.chmod(0o600)
    refused_file(path)


def test_a_missing_file_is_never_made_up(tmp_path: Path) -> None:
    """What the lost key had sealed would be lost at every start."""
    error = refused_file(tmp_path / "app.keys")
    assert "create_file" in str(error)
    assert list(tmp_path.iterdir()) == []


def test_a_path_in_a_message_is_one_short_line(tmp_path: Path) -> None:
    """Line breaks in a path are escaped, and a long one is cut."""
    error = refused_file(tmp_path / ("x" * 200 + "\n\x1b[31m"))
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)
    assert len(str(error)) < 300


def test_a_path_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    """A NUL in a path is a configuration error like any other."""
    assert "cannot be" in str(refused_file(str(tmp_path / "a\0b")))


# ------------------------------------------------------------------------------- passphrases

SALT = bytes(range(16))
PHRASE = CANARY
ARGON2ID = "tPOZ_zQihmORGcWixsXe90wh-TI2ICPQN3N9X-8lb8Q="
"""By argon2-cffi 25.1: ``hash_secret_raw(phrase, salt, 3, 65536, 4, 32, Type.ID)``."""
SCRYPT = "Ci-MzGjXuEmQQKEyLcaXlXfvmiPb6Emi-JGngh4e398="
"""By hashlib: ``scrypt(phrase, salt=salt, n=2**17, r=8, p=1, maxmem=2**28, dklen=32)``."""


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both functions at the least cost: for what is the same at any."""
    monkeypatch.setattr(passphrases, "_ARGON2ID_KIB", 32)
    monkeypatch.setattr(passphrases, "_SCRYPT_N", 2)


def test_a_passphrase_gives_the_key_of_the_declared_function() -> None:
    """Argon2id and scrypt with their fixed costs, as other libraries compute them."""
    assert KeyRing.key_from_passphrase(PHRASE, salt=SALT) == ARGON2ID
    assert KeyRing.key_from_passphrase(PHRASE, salt=SALT, kdf="scrypt") == SCRYPT


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("kdf", ["argon2id", "scrypt"])
def test_a_ring_of_a_passphrase_has_its_key(kdf: Any) -> None:
    """Text is its UTF-8; argon2id is what is meant where nothing is said."""
    key = KeyRing.key_from_passphrase(PHRASE, salt=SALT, kdf=kdf)
    said: dict[str, Any] = {} if kdf == "argon2id" else {"kdf": kdf}
    for phrase in (PHRASE, PHRASE.encode()):
        assert KeyRing.from_passphrase(phrase, salt=SALT, **said).primary == KeyRing(key).primary


@pytest.mark.usefixtures("cheap")
def test_what_a_passphrase_sealed_opens_at_the_next_start() -> None:
    """The same phrase and salt open it; another phrase, another salt, and the other kdf do not."""
    ring = KeyRing.from_passphrase("open sesame", salt=SALT)
    raw_key, data = Keyspace("k", str, cipher=ring).pack("a", "v", now=0.0)
    again = KeyRing.from_passphrase("open sesame", salt=SALT, kdf="argon2id")
    assert Keyspace("k", str, cipher=again).unpack(raw_key, data, now=0.0) == "v"
    others = [
        KeyRing.from_passphrase("open Sesame", salt=SALT),
        KeyRing.from_passphrase("open sesame", salt=SALT[::-1]),
        KeyRing.from_passphrase("open sesame", salt=SALT, kdf="scrypt"),
    ]
    assert len({ring.primary, *(other.primary for other in others)}) == 4


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("phrase", ["8 chars.", b"8 chars.", "äöüäöüäö", "a b c d e"])
def test_a_passphrase_of_8_characters_is_taken(phrase: Any) -> None:
    """Counted as what is typed, not as bytes; and the salt still counts."""
    assert KeyRing.from_passphrase(phrase, salt=SALT).retired == ()


BAD_PHRASES: dict[str, tuple[Any, Any, Any]] = {
    "empty": ("", SALT, "argon2id"),
    "blank": (" \n\t", SALT, "argon2id"),
    "empty bytes": (b"", SALT, "scrypt"),
    "one letter": ("x", SALT, "argon2id"),
    "7 characters": ("seven c", SALT, "argon2id"),
    "7 characters of 14 bytes": ("äöüäöüä", SALT, "scrypt"),
    "7 bytes": (b"1234567", SALT, "argon2id"),
    "white space around 7": ("  1234567\n", SALT, "argon2id"),
    "one letter repeated": ("a" * 40, SALT, "argon2id"),
    "missing": (None, SALT, "argon2id"),
    "a number": (12345678, SALT, "argon2id"),
    "a lone surrogate": (CANARY + "\ud800", SALT, "argon2id"),
    "no salt": (CANARY, b"", "argon2id"),
    "15 bytes of salt": (CANARY, SALT[:15], "argon2id"),
    "15 characters of salt": (CANARY, "abcdefghijklmno", "scrypt"),
    "a salt of zeros": (CANARY, bytes(16), "argon2id"),
    "salt missing": (CANARY, None, "argon2id"),
    "salt a number": (CANARY, 16, "argon2id"),
    "another kdf": (CANARY, SALT, "pbkdf2"),
    "no kdf": (CANARY, SALT, None),
}


@pytest.mark.parametrize("case", BAD_PHRASES)
@pytest.mark.parametrize("make", [KeyRing.from_passphrase, KeyRing.key_from_passphrase])
def test_a_passphrase_that_protects_nothing_is_refused(case: str, make: Any) -> None:
    """Empty phrases, short salts and unknown functions: ConfigErrors that show neither."""
    phrase, salt, kdf = BAD_PHRASES[case]
    with pytest.raises(ConfigError) as caught:
        make(phrase, salt=salt, kdf=kdf)
    assert leaks(caught.value) == []


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("fault", [UnsupportedAlgorithm("no argon2id"), ImportError("too old")])
def test_without_argon2id_nothing_else_takes_its_place(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another function would give another key: the way out is said, and not taken."""

    def missing(**_: Any) -> Any:
        raise fault

    monkeypatch.setattr(argon2, "Argon2id", missing)
    with pytest.raises(ConfigError, match='kdf="scrypt"') as caught:
        KeyRing.from_passphrase(CANARY, salt=SALT)
    assert leaks(caught.value) == []
    assert KeyRing.from_passphrase(CANARY, salt=SALT, kdf="scrypt").retired == ()


@pytest.mark.usefixtures("cheap")
def test_a_passphrase_can_be_retired() -> None:
    """Its key takes a place in a ring like any other."""
    old = KeyRing.key_from_passphrase("open sesame", salt=SALT)
    ring = KeyRing(ONE, retired=[old])
    assert ring.retired == (KeyRing(old).primary,)


@pytest.mark.parametrize("take", [KeyRing.from_env, KeyRing.from_file, KeyRing.create_file])
def test_a_key_in_the_place_of_its_source_is_not_shown(
    take: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``from_env(os.environ["KEYS"])``: the message, and its frames, held the whole key.

    In quotes, cut, with its name, or of another alphabet too: there it was still shown.
    """
    monkeypatch.chdir(tmp_path)
    key = KeyRing.generate_key()
    cut, hexadecimal = key.rstrip("="), base64.urlsafe_b64decode(key).hex()
    mangled = (cut, f'"{key}"', f"'{cut}'", f"APP_KEYS={key}", hexadecimal, hexadecimal.upper())
    plain = "A7b" + "c/+d" * 10 + "="
    for given in (key, f"{KeyRing.generate_key()},{key}", *mangled, plain):
        with pytest.raises(ConfigError, match="given a key") as caught:
            take(given)
        assert [leaks(caught.value, each) for each in (cut, given)] == [[], []]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["MY_APPLICATION_KEYS_OF_THE_2ND_ENVIRONMENT_PRODUCTION", "/nix/store/" + "Ab1" * 12 + "/keys"],
    ids=["variable", "path"],
)
def test_a_long_name_is_no_key(name: str) -> None:
    """Names have one case, paths begin with a slash: they are named by their message."""
    for take in (KeyRing.from_env, KeyRing.from_file):
        with pytest.raises(ConfigError) as caught:
            take(name)
        assert "given a key" not in str(caught.value)


def test_which_variable_and_which_key_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name and position; nothing of the key."""
    monkeypatch.setenv("APP_KEYS", f"{KeyRing.generate_key()},hunter2")
    with pytest.raises(ConfigError, match="variable APP_KEYS: key 2 of 2: a key has 44") as caught:
        KeyRing.from_env("APP_KEYS")
    assert leaks(caught.value, "hunter2") == []


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("kdf", ["argon2id", "scrypt"])
def test_a_passphrase_that_cannot_be_stretched_is_not_shown(
    error: type[BaseException], kdf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of memory, or interrupted meanwhile: no frame holds the phrase."""

    class Failing:
        def __init__(self, **_: object) -> None: ...

        def derive(self, _: bytes) -> bytes:
            raise error

    module = "argon2.Argon2id" if kdf == "argon2id" else "scrypt.Scrypt"
    monkeypatch.setattr(f"cryptography.hazmat.primitives.kdf.{module}", Failing)
    phrase = "correct horse battery staple"
    wanted = ConfigError if error is MemoryError else error
    with pytest.raises(wanted) as caught:
        KeyRing.from_passphrase(phrase, salt=bytes(range(16)), kdf=kdf)
    assert leaks(caught.value, phrase) == []


# ---------------------------------------------------------------------- of other programs, of a KMS


@pytest.mark.parametrize("given", [b"\xfb" * 31 + b"\x00", b"\xff" * 31 + b"\x00"])
def test_a_key_of_another_alphabet_says_what_makes_one(
    given: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``openssl rand -base64 32``: the message names ``generate_key``, and nothing of the key."""
    key = base64.b64encode(given).decode()
    assert "+" in key or "/" in key
    monkeypatch.setenv("APP_KEYS", key)
    makers: list[Callable[[], KeyRing]] = [
        lambda: KeyRing(key),
        lambda: KeyRing.from_env("APP_KEYS"),
    ]
    for make in makers:
        with pytest.raises(ConfigError, match=r"generate_key\(\)") as caught:
            make()
        assert leaks(caught.value, key[:8]) == []


def test_a_key_that_the_ring_lacks_may_be_of_another_ring() -> None:
    """The advice names both: a retired key that is missing, and a ring that is the wrong one."""
    raw_key, data = Keyspace("k", str, cipher=KeyRing(ONE)).pack("a", "v", now=0.0)
    with pytest.raises(
        UnknownKey, match=r"lacks: another ring\? Else KeyRing\(primary, retired="
    ) as caught:
        Keyspace("k", str, cipher=KeyRing(TWO)).unpack(raw_key, data, now=0.0)
    assert caught.value.key_id == KeyRing(ONE).primary
    assert len(str(caught.value)) < 200


def test_wrapped_keys_make_a_ring() -> None:
    """The first is primary; the twin that is awaited makes the same one."""
    wrapper = Wrapper()
    texts = [KeyRing.generate_wrapped_key(wrapper) for _ in range(2)]
    ring = KeyRing.from_wrapped(" ".join(texts), wrapper)
    assert ring.primary == KeyRing.from_wrapped(texts[0], wrapper).primary
    assert ring.retired == (KeyRing.from_wrapped(texts[1], wrapper).primary,)

    async def awaited() -> None:
        twin = AsyncWrapper(wrapper)
        again = await KeyRing.afrom_wrapped(",".join(texts), twin)
        assert (again.primary, again.retired) == (ring.primary, ring.retired)
        third = await KeyRing.agenerate_wrapped_key(twin, context="staging")
        assert (await KeyRing.afrom_wrapped(third, twin, context="staging")).retired == ()
        with pytest.raises(Tampered):
            await KeyRing.afrom_wrapped(third, twin)

    asyncio.run(awaited())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no wrapped key"),
        (" ,\n", "no wrapped key"),
        ("YXBw", "refused"),
        ("YXB", "wrapped key 1 of 1"),
        ("YXBw YXA", "wrapped key 2 of 2"),
        ("YX+w", "wrapped key 1 of 1"),
        ("hünter2", "wrapped key 1 of 1"),
        (b"YXBw", "text, not bytes"),
        (None, "text, not NoneType"),
    ],
)
def test_text_that_holds_no_wrapped_key_is_refused(text: Any, says: str) -> None:
    """Strictly, before the KMS is asked; and never with what stood there."""
    with pytest.raises((ConfigError, Tampered), match=says) as caught:
        KeyRing.from_wrapped(text, Wrapper())
    if text:
        assert leaks(caught.value, str(text)) == []


@pytest.mark.parametrize("given", [object(), None, Wrapper], ids=["object", "None", "class"])
def test_what_is_no_wrapper_is_said(given: Any) -> None:
    """It raised an AttributeError, or a TypeError for a class."""
    calls: list[Callable[[], object]] = [
        lambda: KeyRing.from_wrapped("YXBw", given),
        lambda: KeyRing.generate_wrapped_key(given),
        lambda: asyncio.run(KeyRing.afrom_wrapped("YXBw", given)),
        lambda: asyncio.run(KeyRing.agenerate_wrapped_key(given)),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match="an object with wrap, unwrap and key_id"):
            call()


def test_what_is_unwrapped_is_a_key_of_the_ring() -> None:
    """With the constructor's own checks: twice the same, one byte repeated, another length."""
    wrapper = Wrapper()
    text = KeyRing.generate_wrapped_key(wrapper)
    with pytest.raises(ConfigError, match="twice"):
        KeyRing.from_wrapped(f"{text} {text}", wrapper)
    for key, kind in {bytes(32): ConfigError, bytes(31): Tampered, b"": Tampered}.items():
        wrapper.unwrap = lambda *_, key=key: key  # type: ignore[method-assign]
        with pytest.raises(kind):
            KeyRing.from_wrapped(text, wrapper)


def test_an_async_wrapper_is_awaited_by_its_own_methods() -> None:
    """The others say so, and leave nothing that was never awaited."""
    wrapper: Any = AsyncWrapper(Wrapper())
    with pytest.raises(ConfigError, match="gave coroutine, not bytes: an async one"):
        KeyRing.generate_wrapped_key(wrapper)
    with pytest.raises(ConfigError, match="gave coroutine, not bytes: an async one"):
        KeyRing.from_wrapped("YXBw", wrapper)


def test_a_wrapped_key_is_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A KMS that is away passes through as it is, with no key in any frame of kvcodec's."""
    monkeypatch.setattr("os.urandom", known)
    wrapper = Wrapper()
    text = KeyRing.generate_wrapped_key(wrapper)
    wrapper.fails = ConnectionError("away")
    for act in (
        lambda: KeyRing.generate_wrapped_key(wrapper),
        lambda: KeyRing.from_wrapped(text, wrapper),
        lambda: asyncio.run(KeyRing.agenerate_wrapped_key(AsyncWrapper(wrapper))),
        lambda: asyncio.run(KeyRing.afrom_wrapped(text, AsyncWrapper(wrapper))),
    ):
        with pytest.raises(ConnectionError) as caught:
            act()
        assert caught.value is wrapper.fails
        assert leaks(caught.value) == []
