"""py-key-value's ``FernetEncryptionWrapper``, alone, and as FastMCP's OAuth proxy has it."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

from tests.requires import require_module

require_module("key_value", install="pip install 'kvcodec[pykeyvalue]'")
require_module("fastmcp", install="pip install --group test")

import fastmcp  # noqa: E402
from cryptography.fernet import Fernet  # noqa: E402
from fastmcp.server.auth import OAuthProxy  # noqa: E402
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier  # noqa: E402
from key_value.aio.errors import DecryptionError  # noqa: E402
from key_value.aio.protocols import AsyncKeyValue  # noqa: E402
from key_value.aio.stores.memory import MemoryStore  # noqa: E402
from key_value.aio.wrappers.encryption import FernetEncryptionWrapper  # noqa: E402
from mcp.shared.auth import OAuthClientInformationFull  # noqa: E402
from pydantic import AnyUrl  # noqa: E402

from kvcodec import DecodeError, KeyRing, NotEncrypted, Tampered, UnknownKey  # noqa: E402
from kvcodec.integrations.pykeyvalue import KVStore  # noqa: E402
from tests.integrations.accepted import Attack, Attempt, Outcome, Seam  # noqa: E402

Reading: TypeAlias = Callable[[], Awaitable[object]]
OURS: dict[Attack, type[DecodeError]] = {
    "wrong key": UnknownKey,
    "copied row": Tampered,
    "planted plaintext": NotEncrypted,
    "damaged row": Tampered,
}


async def outcome(read: Reading, refusal: type[Exception]) -> Outcome:
    """What comes of reading what was attacked."""
    try:
        return "vanished" if await read() is None else "taken"
    except refusal:
        return "refused"


def damaged(data: bytes) -> bytes:
    """Turn one bit of what is sealed, well behind its header."""
    middle = len(data) * 3 // 4
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


# ----------------------------------------------------------------------------------- the wrapper

TOKENS = "mcp-upstream-tokens"


def sealed_by_theirs(rows: AsyncKeyValue, key: bytes) -> AsyncKeyValue:
    """The wrapper, as it comes."""
    return FernetEncryptionWrapper(key_value=rows, fernet=Fernet(key))


def wrapper(attack: Attack) -> Attempt:
    """An attack on what the wrapper stores: in memory, where its rows can be reached."""

    async def attempt() -> Outcome:
        rows, key = MemoryStore(), Fernet.generate_key()
        store = sealed_by_theirs(rows, key)
        await store.put("ada", {"token": "of ada"}, collection=TOKENS)
        row = await rows.get("ada", collection=TOKENS)
        assert row is not None
        name, reader = "ada", store
        match attack:
            case "wrong key":
                reader = sealed_by_theirs(rows, Fernet.generate_key())
            case "copied row":
                name = "bob"
                await rows.put("bob", row, collection=TOKENS)
            case "planted plaintext":
                await rows.put("ada", {"token": "of eve"}, collection=TOKENS)
            case "damaged row":
                await rows.put("ada", damaged_fernet(row), collection=TOKENS)
        return await outcome(lambda: reader.get(name, collection=TOKENS), DecryptionError)

    return lambda: asyncio.run(attempt())


def damaged_fernet(row: dict[str, Any]) -> dict[str, Any]:
    """The wrapper's row with one bit of the token turned."""
    token = urlsafe_b64decode(urlsafe_b64decode(row["__encrypted_data__"]))
    data = urlsafe_b64encode(urlsafe_b64encode(damaged(token))).decode()
    return {**row, "__encrypted_data__": data}


def ours(attack: Attack) -> Attempt:
    """The same attack on what ``KVStore`` stores."""

    async def attempt() -> Outcome:
        rows: dict[str, bytes] = {}
        store = KVStore(rows, cipher=KeyRing.generate())
        await store.put("ada", {"token": "of ada"}, collection=TOKENS)
        name, reader = attacked(attack, rows, "ada", "bob"), store
        if attack == "wrong key":
            reader = KVStore(rows, cipher=KeyRing.generate())
        return await outcome(lambda: reader.get(name, collection=TOKENS), OURS[attack])

    return lambda: asyncio.run(attempt())


def attacked(attack: Attack, rows: dict[str, bytes], name: str, other: str) -> str:
    """Do to the rows what an attack does; return the key to be read."""
    (raw_key,) = rows
    match attack:
        case "copied row":
            rows[raw_key.replace(name, other)] = rows[raw_key]
            return other
        case "planted plaintext":
            rows[raw_key] = b'{"token":"of eve"}'
        case "damaged row":
            rows[raw_key] = damaged(rows[raw_key])
        case "wrong key":
            pass
    return name


# ------------------------------------------------------------------------------- FastMCP's proxy


def proxy(storage: AsyncKeyValue | None, secret: bytes) -> OAuthProxy:
    """An OAuth proxy on a storage; None: on the sealed files that it makes for itself."""
    logging.getLogger("fastmcp").setLevel(logging.CRITICAL)  # it warns of http, which is not used
    return OAuthProxy(
        upstream_authorization_endpoint="http://127.0.0.1:9/authorize",
        upstream_token_endpoint="http://127.0.0.1:9/token",
        upstream_client_id="app",
        upstream_client_secret="secret-of-the-app",
        token_verifier=StaticTokenVerifier({}),
        base_url="http://127.0.0.1:9",
        client_storage=storage,
        jwt_signing_key=secret,
    )


def client(name: str) -> OAuthClientInformationFull:
    """A client that registers."""
    uris = [AnyUrl("http://localhost:1/callback")]
    return OAuthClientInformationFull(client_id=name, redirect_uris=uris)


def row_of(name: str, folder: Path) -> Path:
    """The file of a client."""
    (path,) = folder.rglob(f"{name}.json")
    return path


def default_of_proxy(attack: Attack) -> Attempt:
    """An attack on the registered clients in the files of FastMCP's own."""

    async def attempt(folder: Path) -> Outcome:
        secret = Fernet.generate_key()
        writer = proxy(None, secret)
        await writer.register_client(client("ada"))
        path = row_of("ada", folder)
        name, reader, row = "ada", writer, json.loads(path.read_text("utf-8"))
        match attack:
            case "wrong key":
                reader = proxy(None, Fernet.generate_key())
            case "copied row":
                await writer.register_client(client("bob"))
                name = "bob"
                path = row_of("bob", folder)
            case "planted plaintext":
                row["value"] = json.loads(client("eve").model_dump_json())
            case "damaged row":
                row["value"] = damaged_fernet(row["value"])
        path.write_text(json.dumps(row), "utf-8")
        return await outcome(lambda: reader.get_client(name), DecryptionError)

    def run() -> Outcome:
        before = fastmcp.settings.home
        with tempfile.TemporaryDirectory() as folder:
            fastmcp.settings.home = Path(folder)
            try:
                return asyncio.run(attempt(Path(folder)))
            finally:
                fastmcp.settings.home = before

    return run


def proxy_on_ours(attack: Attack) -> Attempt:
    """The same attack on a proxy that has a ``KVStore``."""

    async def attempt() -> Outcome:
        rows: dict[str, bytes] = {}
        secret = Fernet.generate_key()
        writer = proxy(KVStore(rows, cipher=KeyRing.generate()), secret)
        await writer.register_client(client("ada"))
        name, reader = attacked(attack, rows, "ada", "bob"), writer
        if attack == "wrong key":
            reader = proxy(KVStore(rows, cipher=KeyRing.generate()), secret)
        return await outcome(lambda: reader.get_client(name), OURS[attack])

    return lambda: asyncio.run(attempt())


SEAMS: list[Seam] = [
    Seam(
        name="py-key-value FernetEncryptionWrapper",
        package="py-key-value-aio",
        version="0.5.0",
        shipped={
            "wrong key": (wrapper("wrong key"), "refused"),
            "copied row": (wrapper("copied row"), "taken"),
            "planted plaintext": (wrapper("planted plaintext"), "taken"),
            "damaged row": (wrapper("damaged row"), "refused"),
        },
        ours={attack: ours(attack) for attack in OURS},
        because={},
    ),
    Seam(
        name="FastMCP OAuthProxy",
        package="fastmcp",
        version="4.2.3",
        shipped={
            "wrong key": (default_of_proxy("wrong key"), "vanished"),
            "copied row": (default_of_proxy("copied row"), "taken"),
            "planted plaintext": (default_of_proxy("planted plaintext"), "taken"),
            "damaged row": (default_of_proxy("damaged row"), "vanished"),
        },
        ours={attack: proxy_on_ours(attack) for attack in OURS},
        because={},
    ),
]
