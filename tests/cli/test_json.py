"""``--json``: each line is a Struct of its command's, and the guide has their fields."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from msgspec import inspect

from kvcodec import KeyRing, SQLiteKV
from kvcodec.cli.commands.bench import Measured
from kvcodec.cli.commands.copy import Copied, Problem
from kvcodec.cli.commands.explain import Explained
from kvcodec.cli.commands.file import Listed
from kvcodec.cli.commands.get import Got
from kvcodec.cli.commands.key_id import KeyId
from kvcodec.cli.commands.keygen import Made
from kvcodec.cli.commands.lock import Locked
from kvcodec.cli.commands.log import Exported, Imported, Said
from kvcodec.cli.commands.ls import Group, Name, Total
from kvcodec.cli.reports import Found, LeftOut, Walked
from tests.cli.program import ROOT, ran
from tests.cli.stored import NAMES, RING, fill

PAGE: Final = ROOT / "docs" / "guide" / "command-line.md"
KEY: Final = KeyRing.generate_key()
APP: Final = "sqlite:///app.db"
DECLARED: Final = (NAMES, "--ring-env", RING)
SHOWN: Final = ("--reveal", "--yes")
LOG: Final = (APP, NAMES, "history/ada/7", "--ring-env", RING)
FILE: Final = (APP, NAMES, "uploads/cat", "cat.png", "--ring-env", RING)

WALK: Final[tuple[type, ...]] = (Found, Walked, LeftOut)
SAID: Final[dict[tuple[str, ...], tuple[type, ...]]] = {
    ("ls", APP, "--declared", *DECLARED): (Name, Group, Total),
    ("get", APP, NAMES, "accounts/ada", "--ring-env", RING, *SHOWN): (Got,),
    ("explain", APP, "accounts/ada", "--declared", *DECLARED, *SHOWN): (Explained,),
    ("explain", APP, "tokens/ada"): (Explained,),
    ("keygen",): (Made,),
    ("keygen", "--file", "app.key"): (Made,),
    ("key-id", "--env", RING): (KeyId,),
    ("log", "tail", *LOG): (Said,),
    ("log", "tail", APP, NAMES, "diary/ada", "--ring-env", RING): (Said,),
    ("log", "export", *LOG, "--out", "ada.jsonl"): (Exported,),
    ("log", "import", *LOG[:2], "history/bob/1", "ada.jsonl", "--ring-env", RING): (Imported,),
    ("file", "get", *FILE): (Listed,),
    ("file", "put", *FILE, "--overwrite"): (Listed,),
    ("file", "ls", APP, "tests.cli.stored:UPLOADS"): (Listed,),
    ("verify", APP, *DECLARED): WALK,
    ("migrate", APP, *DECLARED, "--dry-run"): WALK,
    ("rewrap", APP, *DECLARED): WALK,
    ("lock", "update", "lock.json", "tests.cli.stored:PREFERENCES"): (Locked,),
    ("copy", APP, "sqlite:///other.db"): (Problem, Copied),
    ("bench", "sqlite:///bench.db", "--seconds", "0.001"): (Measured,),
}
"""Commands, in an order in which they work, and what they may say."""

STRUCTS: Final = dict.fromkeys(each for several in SAID.values() for each in several)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a database of each kind of value, two of them damaged, and another one."""
    folder = tmp_path_factory.mktemp("json")
    with SQLiteKV(folder / "app.db") as kv:
        fill(kv, KeyRing(KEY))
        kv.set("preferences/ada", b'{"theme":1}')
        kv.set("uploads/broken", b"\xc1")
    with SQLiteKV(folder / "other.db") as kv:
        kv.set("notes/ada", b"another")
    return folder


def test_each_line_is_what_is_declared(folder: Path) -> None:
    """Nothing is in a line that the Struct has not, and all that it must have is; each is met."""
    met = set[str]()
    for command, several in SAID.items():
        done = ran(*command, "--json", cwd=folder, env={RING: KEY})
        lines = done.out.splitlines()
        assert lines, (command, done.err)
        for line in lines:
            said: Any = msgspec.json.decode(line, type=_either(several))
            assert json.loads(msgspec.json.encode(said)) == json.loads(line), (command, line)
            met.add(said.__class__.__name__)
    assert met == {each.__name__ for each in STRUCTS}


def _either(structs: tuple[Any, ...]) -> Any:
    found = structs[0]
    for each in structs[1:]:
        found = found | each
    return found


def test_the_page_has_each() -> None:
    """Field by field, in their order: what may be left out has a question mark."""
    text = PAGE.read_text(encoding="utf-8")
    documented = re.findall(r"^\|[^|]+\| `(\{.+\})`", text, re.MULTILINE)
    assert sorted(documented) == sorted(_shape(each) for each in STRUCTS)


class All(msgspec.Struct):
    """Whose defaults are said."""

    a: int = 0
    b: int | msgspec.UnsetType = msgspec.UNSET


class Some(msgspec.Struct, omit_defaults=True, tag="some", tag_field="kind"):
    """Whose defaults are not."""

    a: int
    several: list[All]
    c: int = 0


def test_a_field_that_may_be_left_out() -> None:
    """A default alone does not make it one: it is, where defaults are left out."""
    assert _shape(All) == '{"a", "b"?}'
    assert _shape(Some) == '{"kind": "some", "a", "several": [{"a", "b"?}], "c"?}'


def _shape(struct: type) -> str:
    described: Any = inspect.type_info(struct)
    config = described.cls.__struct_config__
    tag = [] if config.tag is None else [f'"{config.tag_field}": "{config.tag}"']
    fields = (_field(each, omitted=config.omit_defaults) for each in described.fields)
    return f"{{{', '.join([*tag, *fields])}}}"


def _field(field: Any, *, omitted: bool) -> str:
    of = getattr(field.type, "item_type", None)
    inner = f": [{_shape(of.cls)}]" if isinstance(of, inspect.StructType) else ""
    unset = field.default is field.default_factory is msgspec.NODEFAULT  # or UNSET, as it is told
    optional = not field.required and (omitted or unset)
    return f'"{field.encode_name}"{inner}{"?" * optional}'


def test_a_keyspace_of_empty_values(tmp_path: Path) -> None:
    """Their bytes are none, and are said."""
    with SQLiteKV(tmp_path / "app.db") as kv:
        kv.set("notes/ada", b"")
    done = ran("ls", APP, "--json", cwd=tmp_path)
    group = next(each for each in map(json.loads, done.out.splitlines()) if "names" in each)
    assert group == {
        "kind": "keyspace",
        "keyspace": "notes",
        "names": 1,
        "bytes": 0,
        "undeclared": 0,
    }
