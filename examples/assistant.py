"""What an assistant keeps, in one SQLite file: run it twice.

    python examples/assistant.py [conversation.jsonl] [--db assistant.db]

The first run reads a conversation in the JSON-lines form that chat programs export and stores it,
with preferences, an encrypted API token, a cached forecast and a file. Every later run is a new
process that reads them back. ``make demo`` does both.
"""

from __future__ import annotations

import argparse
import ast
import codecs
import gzip
import os
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from kvcodec import Cache, Files, KeyRing, Keyspace, KVCodecError, Log, SQLiteKV, Store, Tampered

SAMPLE = Path(__file__).parent / "data" / "conversation.jsonl"
USER = "nora"
NAME_WIDTH = 34

# ------------------------------------------------------------------- a conversation, as exported


class Record(msgspec.Struct, omit_defaults=True):
    """What all the parts below have in common: absent fields stay absent."""


class Text(Record, tag_field="type", tag="text"):
    """A part of a message: words."""

    text: str


class ImageURL(Record):
    """Where an image is."""

    url: str


class Image(Record, tag_field="type", tag="image_url"):
    """A part of a message: a picture."""

    image_url: ImageURL


class Function(Record):
    """What a tool call asks for; the arguments are JSON in a string, as models write them."""

    name: str
    arguments: str


class ToolCall(Record, tag_field="type", tag="function"):
    """One call that the assistant wants to be made."""

    id: str
    function: Function


class Turn(Record, kw_only=True, tag_field="role", tag=str.lower):
    """A message; its role, in the exported line, says which kind."""

    created_at: datetime | None = None


Content: TypeAlias = str | list[Text | Image]


class System(Turn):
    """What the program tells the assistant."""

    content: Content


class User(Turn):
    """What the person says."""

    content: Content
    name: str | None = None


class Assistant(Turn):
    """What the assistant answers; no content where it only calls tools."""

    content: Content | None = None
    tool_calls: list[ToolCall] = []


class Tool(Turn):
    """What a tool call gave."""

    content: Content
    tool_call_id: str
    name: str | None = None


Message: TypeAlias = System | User | Assistant | Tool


def read_conversation(path: Path) -> list[Message]:
    """Read a JSON-lines file; a line that is no message is reported by number and left out."""
    # Lines end at \n and nowhere else: str.splitlines() would also split inside a message, at
    # U+2028 or U+0085.
    lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    decode = msgspec.json.Decoder[Message](Message).decode
    messages: list[Message] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            messages.append(decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            print(f"{path}:{number}: left out: {error}", file=sys.stderr)
    return messages


# ------------------------------------------------------------------------- what else is kept


class Preferences(msgspec.Struct):
    """How a person wants the assistant to be."""

    theme: Literal["light", "dark"] = "light"
    units: Literal["metric", "imperial"] = "metric"
    languages: list[str] = []


class ApiToken(msgspec.Struct):
    """A person's token for some service."""

    service: str
    text: str

    def __repr__(self) -> str:
        return (
            f"ApiToken({self.service!r}, {len(self.text)} characters ending in {self.text[-2:]!r})"
        )


class Forecast(msgspec.Struct):
    """The weather somewhere, which is soon out of date."""

    condition: str
    celsius: float
    asked_at: datetime


class Chat(NamedTuple):
    """A person's conversation, by the name of the file it came from."""

    user: str
    name: str


class Owned(NamedTuple):
    """Anything else that a person has under some name."""

    user: str
    name: str


PREFERENCES = Keyspace("preferences", Preferences)
HISTORY = Keyspace("history", Message, key=Chat)
FORECASTS = Keyspace("forecasts", Forecast, ttl=timedelta(hours=1))
UPLOADS = Keyspace("uploads", bytes, key=Owned)


def key_ring(database: Path) -> KeyRing:
    """Return the keys from ASSISTANT_KEYS, or from a file beside the database, made once.

    The file is for trying things out: whoever copies the database copies it along. In production
    a secret manager sets the variable, and the ring is ``KeyRing.from_env("ASSISTANT_KEYS")`` at
    the top of the module.
    """
    if "ASSISTANT_KEYS" in os.environ:
        return KeyRing.from_env("ASSISTANT_KEYS")
    path = database.with_name(f"{database.name}.key")
    return KeyRing.from_file(path) if path.exists() else KeyRing.create_file(path)


class Memory:
    """Everything of one person, in one database: five keyspaces opened on it."""

    def __init__(self, kv: SQLiteKV, ring: KeyRing) -> None:
        self.kv = kv
        self.preferences = Store(PREFERENCES, kv)
        self.history = Log(HISTORY, kv)
        self.forecasts = Cache(FORECASTS, kv)
        self.uploads = Files(UPLOADS, kv)
        self.tokens = Store(Keyspace("tokens", ApiToken, key=Owned, cipher=ring), kv)


# ------------------------------------------------------------------------ first run: write


def remember(memory: Memory, conversation: Path) -> None:
    """Store one value of each kind, and show what was stored."""
    title("stored")
    messages = read_conversation(conversation)
    memory.history.extend(Chat(USER, conversation.stem), messages)
    row("history", f"{len(messages)} messages, {', '.join(summary(messages))}")

    preferences = Preferences(theme="dark", languages=["en", "de", "el", "ja"])
    memory.preferences.set(USER, preferences)
    row("preferences", preferences)

    token = ApiToken("weather", "wx-live-5Zq7Rk2uYt9Lm4Nc8Vb1")
    memory.tokens.set(Owned(USER, token.service), token)
    row("token", token)

    forecast = memory.forecasts.get_or_load("Leipzig", ask_weather_service)
    row("forecast", f"{forecast.condition}, {forecast.celsius} °C, for one hour")

    backup = gzip.compress(conversation.read_bytes(), mtime=0)
    info = memory.uploads.put(Owned(USER, f"{conversation.name}.gz"), backup)
    row("file", f"{conversation.name}.gz, {info.size:,} bytes, sha256 {info.sha256[:12]}...")


def ask_weather_service() -> Forecast:
    """Stand for a slow call that costs money: made once, and by nobody else for an hour."""
    return Forecast("freezing drizzle", -1.6, datetime.now(UTC))


# ----------------------------------------------------------------- later runs: read it back


def recall(memory: Memory, conversation: Path) -> None:
    """Read everything back, and compare with the file what came from it."""
    title("read back by another process")
    messages = list(memory.history.iterate(Chat(USER, conversation.stem)))
    same = messages == read_conversation(conversation)
    row("history", f"{len(messages)} messages, {'equal to' if same else 'NOT EQUAL TO'} the file")
    for message in memory.history.tail(Chat(USER, conversation.stem), 1):
        row("", f"the last one: {shown(message.content, 60)}")
    row("preferences", memory.preferences.require(USER))
    row("token", memory.tokens.require(Owned(USER, "weather")))
    row("forecast", forecast_line(memory))

    with memory.uploads.open(Owned(USER, f"{conversation.name}.gz")) as backup:
        same = gzip.GzipFile(fileobj=backup).read() == conversation.read_bytes()
        size = backup.info.size
    row("file", f"{size:,} bytes, {'equal to' if same else 'NOT EQUAL TO'} the file")


def forecast_line(memory: Memory) -> str:
    """Say what the cache holds now, and what it will hold when the hour is over."""
    forecast = memory.forecasts.get_or_load("Leipzig", ask_weather_service)
    asked = (
        "not asked again" if memory.forecasts.stats.loads == 0 else "asked again: an hour is over"
    )
    # A dict is a KV as well: the same bytes, read by a clock that is an hour ahead.
    raw_key = FORECASTS.raw_key("Leipzig")
    copy = {raw_key: memory.kv.get(raw_key) or b""}
    later = Store(FORECASTS, copy, clock=lambda: time.time() + 3600).get("Leipzig")
    return f"{forecast.condition}, {forecast.celsius} °C, {asked}; in an hour: {later}"


# ------------------------------------------------------------ behind it: the bytes themselves

HELD = {
    "forecasts": "a header with two times, then JSON",
    "history": "the head of the log: its newest messages",
    "preferences": "JSON, and nothing else",
    "tokens": "a header, then JSON sealed for this name alone",
    "uploads": "the manifest of the file: size, hash, chunks",
}
"""What stands under a key's own name, by keyspace."""

DERIVED = {
    "s": "a row of the log: older messages, written once",
    "g": "a chunk of the file",
}
"""What stands under a name that kvcodec derives from a key's, by the letter behind the mark."""


def declarations() -> dict[str, str]:
    """Return each keyspace of this program by its name, as it is written above."""
    source = Path(__file__).read_text(encoding="utf-8")
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    texts = [ast.get_source_segment(source, call) or "" for call in calls]
    return {text.split('"')[1]: text for text in texts if text.startswith('Keyspace("')}


def show_database(memory: Memory) -> None:
    """Show each declaration beside what it stored: the names, and the bytes under them."""
    title("what each declaration has stored")
    rows = {raw_key: memory.kv.get(raw_key) or b"" for raw_key in memory.kv.scan_keys("")}
    for name, declaration in sorted(declarations().items()):
        print(f"  {declaration}")
        for raw_key in (each for each in rows if each.startswith(f"{name}/")):
            show_value(name, raw_key, rows[raw_key])
    token = memory.tokens.require(Owned(USER, "weather")).text.encode()
    found = sum(token in data for data in rows.values())
    row("", f"the token can be read in {found} of these {len(rows)} values")


def show_value(keyspace: str, raw_key: str, data: bytes) -> None:
    """Show one name with its bytes, and what they are."""
    derived = raw_key.partition("!")[2]
    what = DERIVED[derived[0]] if derived else HELD[keyspace]
    print(f"    {raw_key:<54}  {len(data):>6,} bytes  {what}")
    if not derived:
        print(f"      {shown(data, 90)}")


def explain_names(memory: Memory, chat: Chat) -> None:
    """Take the name of one row of the conversation apart."""
    log = memory.history.keyspace.raw_key(chat)
    raw_key = next((each for each in memory.kv.scan_keys(log) if "!" in each), "")
    if not raw_key:
        return  # a conversation this short is all in the head
    title(f"how a name is read: {raw_key}")
    _, _, derived = raw_key.partition("!")
    drawn, _, number = derived[1:].partition(".")
    row(memory.history.keyspace.name, "the keyspace's name")
    row(log.partition("/")[2], f"the key, part by part: {chat}")
    row("!", "derived by kvcodec: no key's own name has this mark")
    row(derived[0], DERIVED[derived[0]])
    row(drawn, "drawn when the log began: rows of one that was deleted are never taken for its own")
    row(number, "which row, from 0")


READ_NEXT = {
    "README.md": "why, beside what you would use instead, and five uses",
    "examples/assistant.py": "this program",
    "docs/tutorial/index.md": "an app from a file to a cluster, and a Dify plugin from nothing",
    "docs/guide/index.md": "one page a subject",
    "docs/ENGINES.md": "the same on Redis, PostgreSQL, NATS or S3: only the KV changes",
    "docs/FORMAT.md": "every byte above, with a reader that does without kvcodec",
}


def show_what_to_read_next() -> None:
    """Name the pages for whoever wants to go on."""
    title("read next")
    for page, what in READ_NEXT.items():
        row(page, what)


def try_copied_token(memory: Memory) -> None:
    """Copy the sealed token to another person's key, as someone with the database file could."""
    title("a copied token")
    mine, theirs = Owned(USER, "weather"), Owned("mallory", "weather")
    names = memory.tokens.keyspace.raw_key
    memory.kv.set(names(theirs), memory.kv.get(names(mine)) or b"")
    try:
        row("OPENED", memory.tokens.get(theirs))
    except Tampered as error:
        row("Tampered", error)
    finally:
        memory.kv.delete(names(theirs))


# ------------------------------------------------------------------------------- the program


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n{text}")


def row(name: str, value: object) -> None:
    """Print a name and what belongs to it."""
    print(f"  {name:<{NAME_WIDTH}}  {value}")


def shown(value: object, width: int) -> str:
    """Return ``value`` as Python shows it, cut to ``width`` characters."""
    text = repr(value)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def summary(messages: list[Message]) -> list[str]:
    """Count the messages of each kind: ``208 user``."""
    kinds = Counter(type(message).__name__.lower() for message in messages)
    return [f"{count} {kind}" for kind, count in kinds.most_common()]


def run(conversation: Path, database: Path) -> None:
    """Write on the first run with this conversation, read on every later one."""
    with SQLiteKV(database) as kv:
        memory = Memory(kv, key_ring(database))
        print(f"{database}, process {os.getpid()}")
        if memory.history.count(Chat(USER, conversation.stem)):
            recall(memory, conversation)
            show_database(memory)
            explain_names(memory, Chat(USER, conversation.stem))
            try_copied_token(memory)
            show_what_to_read_next()
        else:
            remember(memory, conversation)


def for_any_terminal(stream: Any) -> None:
    """Let a terminal without UTF-8 show escapes for what it lacks, instead of failing."""
    stream.reconfigure(errors="backslashreplace")


def main() -> int:
    """Read the command line; return 1 if something could not be read or stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("conversation", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("--db", type=Path, default=Path("assistant.db"), metavar="PATH")
    arguments = parser.parse_args()
    for_any_terminal(sys.stdout)
    try:
        run(arguments.conversation, arguments.db)
    except (KVCodecError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
