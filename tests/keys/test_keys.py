"""Key schemes by example: what each key is called, what is refused, and when."""

from __future__ import annotations

import enum
import unicodedata
from datetime import date, datetime
from typing import Annotated, Any, NamedTuple, NewType
from uuid import UUID

import msgspec
import pytest

from kvcodec import (
    ConfigError,
    KeyNameError,
    Keyspace,
    Ordered,
    PathKeys,
    Store,
    TemplateKeys,
)


class Color(enum.Enum):
    RED = "red"
    LATE = "a/b"
    TWO = 2


class Channel(enum.StrEnum):
    SMS = "sms"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Route(NamedTuple):
    phone: str
    account: str


class Chat(NamedTuple):
    user: str
    number: Annotated[int, Ordered()]


class Room(msgspec.Struct, frozen=True):
    house: UUID
    floor: int


class Named(msgspec.Struct, kw_only=True):
    first: str
    last: str = "x"


UserId = NewType("UserId", str)
AdminId = NewType("AdminId", UserId)
Number = NewType("Number", int)
NumberOfTen = NewType("NumberOfTen", Number)

ID = UUID("12345678-1234-5678-1234-567812345678")


def declared(key: Any = str, **options: Any) -> Keyspace[bytes, Any]:
    """A keyspace of bytes with keys of any type."""
    keyspace: Keyspace[bytes, Any] = Keyspace("k", bytes, key=key, **options)
    return keyspace


NAMES: list[tuple[Any, Any, str]] = [
    (str, "ada", "k/ada"),
    (str, "a.b-c_d~e", "k/a.b-c_d~e"),
    (str, "a b", "k/a%20b"),
    (str, "a:b", "k/a%3Ab"),
    (str, "a/b", "k/a%2Fb"),
    (str, "%3A", "k/%253A"),
    (str, "../x", "k/%2E%2E%2Fx"),
    (str, "a..b", "k/a%2E%2Eb"),
    (str, ".", "k/%2E"),
    (str, "..", "k/%2E%2E"),
    (str, ".hidden", "k/.hidden"),
    (str, "x.", "k/x."),
    (str, "\x00", "k/%00"),
    (str, "\u00e9", "k/%C3%A9"),
    (str, "\u0430", "k/%D0%B0"),
    (str, "\U0001f600", "k/%F0%9F%98%80"),
    (str, "!", "k/%21"),
    (str, Channel.SMS, "k/sms"),
    (UserId, "ada", "k/ada"),
    (AdminId, "ada", "k/ada"),
    (tuple[AdminId, NumberOfTen], ("ada", 7), "k/ada/7"),
    (int, 0, "k/0"),
    (int, -12, "k/-12"),
    (int, 10**30, f"k/{10**30}"),
    (UUID, ID, f"k/{ID}"),
    (date, date(2025, 1, 31), "k/2025-01-31"),
    (Color, Color.RED, "k/red"),
    (Color, Color.LATE, "k/a%2Fb"),
    (Color, Color.TWO, "k/2"),
    (Access, Access.WRITE, "k/2"),
    (tuple[str, str], ("a", "b:c"), "k/a/b%3Ac"),
    (tuple[str, int], ("a", 1), "k/a/1"),
    (tuple[Route, int], (Route("a", "b"), 1), "k/a/b/1"),
    (Route, Route("+31", "x"), "k/%2B31/x"),
    (Chat, Chat("ada", 7), "k/ada/p0000000000000000007"),
    (Chat, Chat("ada", -7), "k/ada/n9999999999999999993"),
    (Chat, Chat("ada", 2**63 - 1), "k/ada/p9223372036854775807"),
    (Chat, Chat("ada", -(2**63)), "k/ada/n0776627963145224192"),
    (Room, Room(ID, 2), f"k/{ID}/2"),
    (Named, Named(first="a", last="b"), "k/a/b"),
    (None, None, "k"),
]


@pytest.mark.parametrize(("key_type", "key", "raw_key"), NAMES)
def test_a_key_and_its_name(key_type: Any, key: Any, raw_key: str) -> None:
    """One table, read in both directions."""
    keyspace = declared(key_type)
    assert keyspace.raw_key(key) == raw_key
    back = keyspace.key(raw_key)
    assert back == key
    assert type(back) is type(key) or key_type is str


REFUSED_KEYS: list[tuple[Any, Any]] = [
    (str, ""),
    (str, None),
    (str, 1),
    (str, b"a"),
    (str, "\ud800"),
    (int, True),
    (int, 1.0),
    (int, "1"),
    (int, 10**5000),
    (int, [1]),
    (UUID, str(ID)),
    (date, datetime(2025, 1, 31)),  # noqa: DTZ001 - the point: it would lose its time
    (date, "2025-01-31"),
    (Color, "red"),
    (Color, Access.READ),
    (Access, Access.READ | Access.WRITE),
    (tuple[str, str], ("a",)),
    (tuple[str, str], ("a", "")),
    (tuple[str, str], ("a", None)),
    (tuple[str, str], "ab"),
    (tuple[str, int], ("a", "1")),
    (Route, ("a", "b", "c")),
    (Chat, Chat("ada", 2**63)),
    (Chat, Chat("ada", bool(1))),
    (Room, (ID, 2)),
    (None, "a"),
]


@pytest.mark.parametrize(("key_type", "key"), REFUSED_KEYS, ids=range(len(REFUSED_KEYS)))
def test_what_is_no_key_is_refused(key_type: Any, key: Any) -> None:
    """A key of another type, empty or None raises KeyNameError, before any I/O."""
    with pytest.raises(KeyNameError) as caught:
        Store(declared(key_type), {}).set(key, b"")
    assert caught.value.stage == "name"
    assert caught.value.keyspace == "k"
    assert caught.value.raw_key is not None


@pytest.mark.parametrize(
    ("key_type", "raw_key"),
    [
        (str, ""),
        (str, "k"),
        (str, "k/"),
        (str, "k/a/b"),
        (str, "kk/a"),
        (str, "K/a"),
        (str, "k/a!0"),
        (str, "k/a b"),
        (str, "k/%"),
        (str, "k/%2"),
        (str, "k/%2f"),
        (str, "k/%2F%2E"[:6] + "x%"),
        (str, "k/%61"),
        (str, "k/%FF"),
        (str, "k/%ED%A0%80"),
        (str, "k/.."),
        (str, "k/a\n"),
        (str, "k/\u0661"),
        (int, "k/01"),
        (int, "k/-0"),
        (int, "k/+1"),
        (int, "k/--1"),
        (int, "k/1_0"),
        (int, "k/\u0661"),
        (int, "k/" + "1" * 5000),
        (UUID, f"k/{ID}".upper()),
        (UUID, f"k/{ID.hex}"),
        (date, "k/20250131"),
        (date, "k/2025-02-30"),
        (Color, "k/green"),
        (Chat, "k/ada/7"),
        (Chat, "k/ada/p9999999999999999999"),
        (Chat, "k/ada/n0000000000000000000"),
        (None, "k/"),
    ],
)
def test_a_foreign_name_is_refused(key_type: Any, raw_key: str) -> None:
    """A name that ``raw_key`` does not make belongs to nobody, however near it is."""
    with pytest.raises(KeyNameError):
        declared(key_type).key(raw_key)


def test_only_exact_text_is_the_same_key() -> None:
    """No normalising and no folding: composed and decomposed, Latin and Cyrillic, both cases."""
    keys = ["\u00e9", "e\u0301", "a", "\u0430", "A", "K", "\u212a", "ss", "\u00df"]
    assert unicodedata.normalize("NFC", keys[1]) == keys[0]
    assert len({declared().raw_key(key) for key in keys}) == len(keys)


NASTY = [
    *("undefined", "null", "nil", "NaN", "-1", "0x0", "1E+02", "../../etc/passwd", "CON", "AUX"),
    *("' OR 1=1 --", "<script>alert(1)</script>", "{{7*7}}", "${jndi:ldap://x}", "$(touch x)"),
    *("%s%n%x", "{0.__class__}", "\\\\server\\share", "C:\\x", "a\tb\r\nc", "\x1b[31mred\x1b[0m"),
    *("\x7f", "\x85", "\u2028", "\u200b", "\ufeff", "\u202eevil", "\ufffe", "\uffff", "\U0010ffff"),
    *("e\u0301" * 20, "\u0928\u093f", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u0000a"),
    *(".", "..", "...", "....", ". .", "/", "//", "a//b", "a/", "/a", "!", "a!0", "~", "~root"),
    *("%", "%%", "%2F", "%252F", "%00", "+", "a+b", "&", "?", "#", "a=b", "*", "|", '"', "`"),
    *("x" * 300, "\u00e9" * 300, " ", "\t", "\u00a0", "\u3000", ":", "::", "a:b:c"),
]


@pytest.mark.parametrize("key", NASTY)
def test_no_text_is_refused_for_its_characters(key: str) -> None:
    """Strings that break other programs are keys like any other, alone and beside each other."""
    keyspace, pairs = declared(), declared(tuple[str, str])
    assert keyspace.key(keyspace.raw_key(key)) == key
    assert pairs.key(pairs.raw_key((key, "x"))) == (key, "x")
    assert pairs.raw_key((key, "x")) != pairs.raw_key(("x", key))


def test_nasty_strings_have_different_names() -> None:
    """No two of them meet."""
    assert len({declared().raw_key(key) for key in NASTY}) == len(set(NASTY))


@pytest.mark.parametrize(
    "key_type",
    [
        *(float, bytes, datetime, object, Any, list, dict, tuple, tuple[str, ...], tuple[()]),
        *(list[str], str | int, str | None, tuple[str, float], Annotated[str, Ordered()]),
    ],
)
def test_what_can_be_no_key_type_is_refused_when_declared(key_type: Any) -> None:
    """A type without names of its own is refused at once, with what to use in its place."""
    with pytest.raises(ConfigError):
        declared(key_type)


def test_enums_that_meet_are_refused_when_declared() -> None:
    """Two members with the same text would be one key."""
    twice = enum.Enum("twice", {"A": 1, "B": "1"})
    with pytest.raises(ConfigError):
        declared(twice)


@pytest.mark.parametrize("name", ["", "\ud800", None, 5])
def test_a_name_that_cannot_begin_a_raw_key_is_refused(name: Any) -> None:
    """A keyspace needs a name that has UTF-8."""
    with pytest.raises(ConfigError):
        Keyspace(name, bytes)


def test_a_keyspace_name_is_encoded_as_a_part_is() -> None:
    """A name with a slash stays one part, so that no other keyspace's names lie below it."""
    assert Keyspace("a/b", bytes).raw_key("x") == "a%2Fb/x"
    assert Keyspace("..", bytes, key=None).raw_key(None) == "%2E%2E"


def test_equal_keys_of_other_types_are_not_remembered() -> None:
    """1 == True and hash alike, and yet True is refused after 1 was used."""
    keyspace = declared(int)
    assert keyspace.raw_key(1) == "k/1"
    with pytest.raises(KeyNameError):
        keyspace.raw_key(bool(1))


def test_names_stay_right_beyond_those_remembered() -> None:
    """However many keys were used before, each has its own name."""
    keyspace = declared()
    for _ in range(2):
        assert [keyspace.raw_key(f"{n}") for n in range(3000)] == [f"k/{n}" for n in range(3000)]


# --------------------------------------------------------------------------------- templates

PLUGINS: list[tuple[TemplateKeys[Any], Any, str]] = [
    (
        TemplateKeys("whatsapp:{phone}:{account}", Route),
        Route("31612345678", "acc_1"),
        "whatsapp:31612345678:acc_1",
    ),
    (
        TemplateKeys("whatsapp:{phone}:{account}", Route),
        Route("+31:6", "a/b"),
        "whatsapp:%2B31%3A6:a%2Fb",
    ),
    (TemplateKeys("wecom_msg_{message_id}"), "7423_xyz", "wecom_msg_7423_xyz"),
    (
        TemplateKeys("gmail:{subscription}:history_checkpoint"),
        "sub-1",
        "gmail:sub-1:history_checkpoint",
    ),
    (TemplateKeys("x:oauth_state:{digest}"), "0a1b", "x:oauth_state:0a1b"),
    (TemplateKeys("{account}@{phone}", Route), Route("p", "a"), "a@p"),
    (TemplateKeys("v{n}.json", int), -3, "v-3.json"),
    (TemplateKeys("{a}/{b}", tuple[str, str]), ("x", "y"), "x/y"),
    (TemplateKeys("{id}"), "x", "x"),
    (TemplateKeys("settings", None), None, "settings"),
    (TemplateKeys("{c}:", Color), Color.RED, "red:"),
    (TemplateKeys("a.{x}.b"), ".c.", "a.%2Ec%2E.b"),
]


@pytest.mark.parametrize(("scheme", "key", "raw_key"), PLUGINS)
def test_names_in_use_are_kept(scheme: TemplateKeys[Any], key: Any, raw_key: str) -> None:
    """The names that plugins use today are written as they are, and split back."""
    keyspace: Keyspace[bytes, Any] = Keyspace("plugin", bytes, keys=scheme)
    assert keyspace.raw_key(key) == raw_key
    assert keyspace.key(raw_key) == key
    assert raw_key.startswith(keyspace.prefix)


def test_a_template_reads_what_a_plugin_stored() -> None:
    """A value that hand-written code stored under its f-string is found."""
    kv = {f"whatsapp:{31612345678}:{'acc_1'}": b'"conversation-1"'}
    routes = Keyspace("routes", str, keys=TemplateKeys("whatsapp:{phone}:{account}", Route))
    assert Store(routes, kv)[Route("31612345678", "acc_1")] == '"conversation-1"'


@pytest.mark.parametrize(
    "split",
    [
        *("whatsapp:1", "whatsapp:1:2:3", "whatsapp::2", "whatsapp:1:", "WhatsApp:1:2"),
        *("whatsapp:1:2\n", "whatsapp:%31:2", " whatsapp:1:2", "whatsapp:a b:2"),
    ],
)
def test_a_template_refuses_foreign_names(split: str) -> None:
    """What the template does not make belongs to no key."""
    with pytest.raises(KeyNameError):
        TemplateKeys("whatsapp:{phone}:{account}", Route).split(split)


@pytest.mark.parametrize(
    ("template", "key_type"),
    [
        ("{a}{b}", tuple[str, str]),
        ("{a}-{b}", tuple[str, str]),
        ("{a}_x_{b}", tuple[str, str]),
        ("{a}.{b}", tuple[str, str]),
        ("{a}%{b}", tuple[str, str]),
        ("{a}-{b}", tuple[int, int]),
        ("{a}0{b}", tuple[int, str]),
        ("{a}a{b}", tuple[UUID, str]),
        ("{a}:{b}", str),
        ("{a}", tuple[str, str]),
        ("{a}:{a}", tuple[str, str]),
        ("{phone}:{other}", Route),
        ("x", str),
        ("{a}", None),
        ("", None),
        (".", None),
        ("..", None),
        ("a//{b}", str),
        ("/{a}", str),
        ("{a}/", str),
        ("a/../{b}", str),
        ("a/./{b}", str),
        ("a..{b}", str),
        ("a\\{b}", str),
        ("a\n{b}", str),
        ("a\x85{b}", str),
        ("a\ud800{b}", str),
        ("{a", str),
        ("a}", str),
        ("{}", str),
        ("{0}", str),
        ("{a.b}", str),
        ("{a!r}", str),
        ("{a:>9}", str),
        ("{{a}}", str),
        ("a!{b}", str),
        ("{a}!s0", str),
        ("a!b", None),
    ],
)
def test_a_template_that_cannot_work_is_refused_when_declared(template: str, key_type: Any) -> None:
    """Ambiguous, not like the key, or of a shape that hosts clean away: ConfigError at once."""
    with pytest.raises(ConfigError):
        TemplateKeys(template, key_type)


def test_a_template_knows_its_key_type() -> None:
    """The keyspace may repeat the type, and may not contradict it."""
    scheme = TemplateKeys("w:{phone}:{account}", Route)
    assert Keyspace("k", bytes, key=Route, keys=scheme).raw_key(Route("1", "2")) == "w:1:2"
    with pytest.raises(ConfigError):
        Keyspace("k", bytes, key=Chat, keys=scheme)  # type: ignore[misc]


def test_path_keys_can_be_named() -> None:
    """``PathKeys()`` takes name and key type from its keyspace."""
    keyspace: Keyspace[bytes, Any] = Keyspace("k", bytes, key=Route, keys=PathKeys())
    assert keyspace.raw_key(Route("a", "b")) == "k/a/b"


def test_a_scheme_of_ones_own() -> None:
    """Anything with prefix, join and split is a key scheme."""

    class Shouting:
        prefix = "K:"

        def join(self, key: str, /) -> str:
            return f"K:{key.upper()}"

        def split(self, raw_key: str, /) -> str:
            return raw_key[2:].lower()

    keyspace = Keyspace("k", bytes, keys=Shouting())
    assert keyspace.raw_key("a") == "K:A"
    assert keyspace.key("K:A") == "a"
    assert keyspace.prefix == "K:"
    assert keyspace.key_type is str


def test_the_key_type_is_that_of_the_template() -> None:
    """Whether or not ``key=`` repeats it."""
    templates: list[tuple[str, Any]] = [("{phone}:{account}", Route), ("{n}", int), ("one", None)]
    for template, key_type in templates:
        scheme = TemplateKeys(template, key_type)
        keyspace: Keyspace[bytes, Any] = Keyspace("k", bytes, keys=scheme)
        assert keyspace.key_type is key_type


def test_an_enum_whose_text_cannot_stand_in_a_name_is_refused_when_declared() -> None:
    """The message names the member, and not the keyspace's name."""

    class Language(enum.Enum):
        NONE = ""
        DE = "de"

    with pytest.raises(ConfigError, match=r"Language.NONE cannot stand in a name.*empty"):
        declared(Language)


def test_annotations_that_cannot_be_resolved_are_refused_when_declared() -> None:
    """With the field and the way out."""

    class Kind(enum.Enum):
        A = "a"

    class Local(NamedTuple):
        number: int
        kind: Kind

    class Locals(msgspec.Struct):
        number: int
        kind: Kind

    for key_type in (Local, Locals, tuple[Local, str]):
        with pytest.raises(ConfigError, match=r"'kind: Kind' cannot be resolved.*module"):
            declared(key_type)
