"""What an assistant keeps, in one SQLite file: run it twice.

    python examples/assistant.py [conversation.jsonl] [--db assistant.db]

The first run reads a conversation in the JSON-lines form that chat programs export and stores it,
with preferences, an encrypted API token, a cached forecast and a file. Every later run is a new
process that reads them back. ``make demo`` does both, and looks at what was stored: look.sh.
"""

from __future__ import annotations

import argparse
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


def tokens(ring: KeyRing) -> Keyspace[ApiToken, Owned]:
    """Return the declaration of the tokens, which are sealed with these keys."""
    return Keyspace("tokens", ApiToken, key=Owned, cipher=ring)


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
        self.tokens = Store(tokens(ring), kv)


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
    text = memory.tokens.require(mine).text.encode()
    values = [memory.kv.get(raw_key) or b"" for raw_key in memory.kv.scan_keys("")]
    found = sum(text in data for data in values)
    row("", f"the token can be read in {found} of the {len(values)} values of this database")


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
            try_copied_token(memory)
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
