"""``kvcodec file``: a file to and from disk, and which there are."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from mimetypes import guess_type
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from kvcodec.cli.arguments import Declarations, KeyName, Place, Reveal, RingEnv, Yes
from kvcodec.cli.declared import AnyKeyspace, Shape, declared, key_of, one_of, opened_as
from kvcodec.cli.output import FINE, FOUND, Column, Common, Output, age, printable, size
from kvcodec.cli.places import opened
from kvcodec.cli.reveal import is_shown
from kvcodec.cli.target import STANDARD, Overwrite, read_from, written
from kvcodec.errors import ConfigError, DecodeError
from kvcodec.format.files import FileInfo
from kvcodec.keyspace.explanation import seals
from kvcodec.protocols import KV
from kvcodec.stores.files import Files

__all__ = ["Listed", "app"]

app: App = App(name="file", help="Files: which there are, and to and from disk.")

_PIECE = 256 * 1024
"""Bytes that are written to disk at once: a chunk of the usual size."""


class Listed(msgspec.Struct, omit_defaults=True):
    """One file: what is known of it, or the name of the error that reading that raised."""

    name: str
    size: int | None = None
    sha256: str | None = None
    content_type: str | None = None
    written_at: float | None = None
    error: str | None = None


@app.command(sort_key=1, usage="Usage: kvcodec file put [OPTIONS] URL DECLARATIONS NAME [PATH]")
def put(
    url: Place,
    declarations: Declarations,
    name: KeyName,
    path: Annotated[str, Parameter(help="The file; - is standard input.")] = STANDARD,
    /,
    *,
    content_type: Annotated[
        str | None,
        Parameter(name="--type", metavar="TYPE", help="Its content type; guessed by its name."),
    ] = None,
    overwrite: Overwrite = False,
    ring_env: RingEnv = None,
    common: Common | None = None,
) -> int:
    """Store a file from disk.

    Until it is stored, whoever reads finds the file that was there; that is so after an error or a
    stop too.

    For example: `kvcodec file put env:STORE app.stored uploads/video.mp4 video.mp4`
    """
    out = Output(common)
    keyspace = one_of(declared(declarations, ring_env), name)
    at = key_of(keyspace, name)
    raw_key = keyspace.raw_key(at)
    with opened(url) as kv, read_from(path) as (file, total):
        files = Files(keyspace, kv)
        if not overwrite and files.exists(at):
            raise ConfigError(f"{raw_key} is there already: --overwrite replaces it")
        with out.transfer(raw_key, total) as bar:
            task = bar.task_ids[0]
            info = files.put(
                at,
                file,
                content_type=content_type or guess_type(path)[0],
                on_progress=lambda stored: bar.advance(task, stored),
            )
    _say(out, f"stored {raw_key}", raw_key, info)
    return FINE


@app.command(sort_key=2, usage="Usage: kvcodec file get [OPTIONS] URL DECLARATIONS NAME [PATH]")
def get(
    url: Place,
    declarations: Declarations,
    name: KeyName,
    path: Annotated[str, Parameter(help="The file; - is standard output.")] = STANDARD,
    /,
    *,
    overwrite: Overwrite = False,
    reveal: Reveal = False,
    yes: Yes = False,
    ring_env: RingEnv = None,
    common: Common | None = None,
) -> int:
    """Write a stored file to disk.

    It has its name once it is whole and its hash is the stored one's; until then, and after an
    error, what was there stays. A sealed file needs `--reveal`.

    For example: `kvcodec file get env:STORE app.stored uploads/video.mp4 video.mp4`
    """
    out = Output(common)
    _refuse_output(out, path)
    keyspace = one_of(declared(declarations, ring_env), name)
    if not is_shown(keyspace, reveal=reveal, yes=yes):
        raise ConfigError(f"{keyspace.name} is sealed, and a file on disk is not: --reveal")
    at = key_of(keyspace, name)
    raw_key, private = keyspace.raw_key(at), seals(keyspace.declaration)
    with opened(url) as kv, Files(keyspace, kv).open(at) as source:
        bar = out.transfer(raw_key, source.info.size)
        with written(path, overwrite=overwrite, private=private) as file, bar:
            # Read from start to end: the last piece raises if the whole is not what was put.
            while piece := source.read(_PIECE):
                file.write(piece)
                bar.advance(bar.task_ids[0], len(piece))
    if path != STANDARD:
        _say(out, f"{path} is {raw_key}", raw_key, source.info)
    return FINE


def _refuse_output(out: Output, path: str) -> None:
    if path == STANDARD and out.json:
        raise ConfigError("--json says something on standard output: give a path for the file")
    if path == STANDARD and sys.stdout.isatty():
        raise ConfigError("a file may be of any bytes, which a terminal obeys: give a path, or |")


@app.command(name="ls", sort_key=0)
def list_(
    url: Place,
    declarations: Declarations,
    /,
    *,
    ring_env: RingEnv = None,
    common: Common | None = None,
) -> int:
    """List stored files with their sizes, types and ages.

    Of several declarations, those that files are stored of. What a file is made of is not read:
    `kvcodec verify` does that. The exit code is 1 if one cannot be read.

    For example: `kvcodec file ls env:STORE app.stored`
    """
    out = Output(common)
    with opened(url) as kv:
        found = [each for files in _files(declared(declarations, ring_env), kv) for each in files]
    for each in found:
        out.record(each)
    columns = [
        Column("name"),
        Column("size", "right", no_wrap=True),
        Column("type"),
        Column("age", "right", no_wrap=True),
    ]
    out.table(columns, [_row(each) for each in found])
    return FOUND if any(each.error for each in found) else FINE


def _files(keyspaces: list[AnyKeyspace], kv: KV) -> Iterator[Iterator[Listed]]:
    only: Shape | None = "files" if len(keyspaces) == 1 else None
    for keyspace in keyspaces:
        shape = opened_as(keyspace, kv, only)
        if isinstance(shape, Files):
            yield _listed(shape)


def _listed(files: Files[Any]) -> Iterator[Listed]:
    for key in files:
        name = files.keyspace.raw_key(key)
        try:
            info = files.info(key)
        except DecodeError as error:
            yield Listed(name, error=type(error).__name__)
            continue
        if info is not None:
            yield _known(name, info)


def _known(name: str, info: FileInfo) -> Listed:
    return Listed(name, info.size, info.sha256, info.content_type, info.written_at)


def _row(each: Listed) -> tuple[str, str, str, str]:
    if each.size is None or each.written_at is None:
        return each.name, "", f"unreadable: {each.error}", ""
    ago = age(time.time() - each.written_at)
    return each.name, size(each.size), each.content_type or "", ago


def _say(out: Output, what: str, name: str, info: FileInfo) -> None:
    out.record(_known(name, info))
    out.show(printable(f"{what}: {size(info.size)}, sha256 {info.sha256}"))
