"""The picture of README.md: one value, from its declaration to the bytes that are stored.

    python -m tests.format.picture

draws docs/_static/stored.svg anew. The bytes are what kvcodec writes under the fixed key of the
worked bytes; the header's fields are those of docs/FORMAT.md's table, and its reader opens them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Any, Final, NamedTuple

from kvcodec.format.envelope import open_envelope
from tests.format import worked
from tests.format.worked_cases import NOW, SEALED, Case

__all__ = ["PICTURE", "picture"]

PICTURE = worked.ROOT / "docs/_static/stored.svg"

CODE: Final = """\
class Token(msgspec.Struct):
    text: str
    scope: str


TOKENS = Keyspace("tokens", Token, key=tuple[str, str], ttl=3600, cipher=ring)
"""
"""The declaration."""

CALL: Final = 'Store(TOKENS, kv).set(("ada", "github"), Token("ghp_example", "repo"))'

CASE: Final = Case(
    "The picture",
    CODE + CALL.replace("kv)", "kv, clock=clock)"),
    {"keyspace": "tokens", "ttl": 3_600_000, **SEALED},
)

_WIDTH: Final = 760
_LEFT: Final = 24
_HIGH: Final = 34
"""Of a box."""

_CHAR: Final = 7.3
"""The width of a character of code, at most, in the fonts that people have."""

_STYLE: Final = """
svg { font: 13px system-ui, sans-serif; --page: #ffffff; --text: #1f2328; --faint: #59636e;
  --code: #f6f8fa; --line: #d1d9e0; --name: #ddf4ff; --value: #dafbe1; --sealed: #fff1e5;
  --header: #eef0f2; }
@media (prefers-color-scheme: dark) { svg { --page: #0d1117; --text: #f0f6fc; --faint: #9198a1;
  --code: #151b23; --line: #3d444d; --name: #0c2d6b; --value: #0f4620; --sealed: #5a2d0c;
  --header: #262c36; } }
.page { fill: var(--page); } text { fill: var(--text); } .faint { fill: var(--faint); }
.step { font-size: 14px; font-weight: 600; } .mid { text-anchor: middle; }
.mono { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre; }
.small { font-size: 11px; } rect { stroke: var(--line); } .page { stroke: none; }
.code { fill: var(--code); } .name { fill: var(--name); } .value { fill: var(--value); }
.sealed { fill: var(--sealed); } .header { fill: var(--header); }
"""


class Box(NamedTuple):
    """A piece of what is stored: its text, what it is called, its colour, its width."""

    text: str
    said: str
    colour: str
    width: float


def header_fields() -> dict[int, tuple[int, str]]:
    """By tag: the size and the name of each header field, from the table of docs/FORMAT.md."""
    page = (worked.ROOT / "docs/FORMAT.md").read_text("utf-8")
    table = page.partition("| Tag | Bytes | Field |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (\d+) \| (\d+) \| ([a-z ]+)", table, re.MULTILINE)
    return {int(tag): (int(size), name.strip()) for tag, size, name in rows}


def header_boxes(fields: bytes) -> Iterator[Box]:
    """A box for each field of an encoded header."""
    known = header_fields()
    while fields:
        size, name = known[fields[0]]
        value, fields = (fields[0], fields[1 : size + 1]), fields[size + 1 :]
        shown = value[1].hex() if size <= 8 else f"{value[1][:5].hex()}..."
        text = f"{value[0]:02x} {shown}"
        yield Box(text, name, "header", max(len(text), len(name)) * _CHAR + 10)


class _Drawing:
    """Lines of SVG, from top to bottom."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.y = 12

    def text(self, x: float, y: float, text: str, style: str) -> None:
        """Write one line."""
        self.lines.append(f'<text x="{x:g}" y="{y:g}" class="{style}">{escape(text)}</text>')

    def rect(self, x: float, width: float, height: float, colour: str) -> None:
        """Draw a box at the present height."""
        self.lines.append(
            f'<rect class="{colour}" x="{x:g}" y="{self.y:g}" width="{width:g}" '
            f'height="{height:g}" rx="4"/>'
        )

    def step(self, title: str, more: str = "") -> None:
        """Begin a layer, with what is said of it in a second line."""
        self.y += 26
        self.text(_LEFT, self.y, title, "step")
        if more:
            self.y += 18
            self.text(_LEFT, self.y, more, "faint")
        self.y += 10

    def code(self, *lines: str) -> None:
        """Write code in a panel."""
        self.rect(_LEFT, _WIDTH - 2 * _LEFT, 18 * len(lines) + 12, "code")
        for line in lines:
            self.y += 18
            self.text(_LEFT + 12, self.y, line, "mono")
        self.y += 14

    def boxes(self, boxes: list[Box]) -> None:
        """Draw a row of boxes, each with its name below."""
        x: float = _LEFT
        for box in boxes:
            self.rect(x, box.width, _HIGH, box.colour)
            self.text(x + box.width / 2, self.y + 21, box.text, "mono mid")
            self.text(x + box.width / 2, self.y + _HIGH + 15, box.said, "small faint mid")
            x += box.width + 4
        self.y += _HIGH + 20


def picture() -> str:
    """Return the picture, as SVG."""
    ((raw_key, data),) = worked.run(CASE).stored.items()
    encoding, sealed, fields = _layers(raw_key, data)
    drawing = _Drawing()
    drawing.step("What you write")
    drawing.code(*CODE.replace("\n\n\n", "\n\n").splitlines(), CALL)
    drawing.step(
        "1  The key becomes a name",
        "Distinct keys have distinct names. What could be mistaken is escaped: a/b becomes a%2Fb.",
    )
    words = ("keyspace", "first part of the key", "second part of the key")
    drawing.boxes(
        [Box(part, said, "name", 156) for part, said in zip(raw_key.split("/"), words, strict=True)]
    )
    drawing.step(
        "2  The value becomes JSON",
        "After a check that it comes back equal. Without ttl= and cipher=, this alone is stored.",
    )
    drawing.boxes([Box(encoding.decode(), f"{len(encoding)} bytes", "value", 320)])
    drawing.step(
        "3  The JSON is sealed for its place",
        f"Under a key derived for {raw_key} and this header: copied to another name it is refused.",
    )
    drawing.boxes([Box(f"{sealed[:36].decode()}...", f"{len(sealed)} bytes", "sealed", 320)])
    drawing.step(
        f"4  Stored under {raw_key}: {len(data)} bytes",
        "A header with the fields that the declaration calls for, then the sealed body.",
    )
    start = Box(data[:3].hex(" "), "start, length", "header", 88)
    row = [start, *header_boxes(fields)]
    left = _WIDTH - 2 * _LEFT - sum(box.width + 4 for box in row)
    drawing.boxes([*row, Box(f"{sealed[:6].decode()}...", "sealed body", "sealed", left)])
    return _page(drawing)


def _layers(raw_key: str, data: bytes) -> tuple[bytes, bytes, bytes]:
    """The encoding, as the reader of docs/FORMAT.md finds it; the sealed body; the header."""
    read: Any = worked.reader()
    encoding, _ = read.opened(read.Declared(**CASE.told), "value", raw_key, data, NOW)
    _, fields, _, sealed = open_envelope(data)
    return encoding, sealed, fields


def _page(drawing: _Drawing) -> str:
    height = drawing.y + 12
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            "<title>One value, from its declaration to the stored bytes</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="page" width="{_WIDTH}" height="{height}" rx="6"/>',
            *drawing.lines,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(), "utf-8")
