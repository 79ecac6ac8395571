"""A stand-in for Dify's plugin daemon: it starts a plugin and serves the plugin's storage.

What it follows is the daemon's own code (``internal/core/persistence``, ``io_tunnel``,
``local_runtime``) and that of its object stores. The plugin is a real one: a process of its own
under the real SDK, which talks to us in lines of JSON on its stdin and stdout, as it does to the
daemon where a plugin is installed locally.

Nothing here imports the SDK, whose import patches the process with gevent.
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
import queue
import shutil
import subprocess
import sys
import threading
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

MISSING = "load data failed, please check if the key is correct or you have not set it"
OVER_QUOTA = "allocated size is greater than max storage size"
CACHE_SECONDS = 300.0
LINE_BYTES = 5 * 1024 * 1024
"""A line that fills this buffer ends the daemon's reading, and with it the plugin's process."""

Event = tuple[Literal["response", "error", "end"], str, dict[str, Any] | None]
Fault = Literal[
    "silence",  # not done, no answer
    "done, then silence",
    "end marker only",  # not done
    "done, then error",
    "odd data",  # an answer that is none
    "nothing there",  # the words for a missing key, whatever is stored
]


class HostError(Exception):
    """What the daemon answers as an error, in its words."""


# ------------------------------------------------------------------------------- object stores


class Host(ABC):
    """Where a daemon keeps the values: its local disk or an object store."""

    down: bool

    @abstractmethod
    def save(self, path: str, data: bytes, /) -> None:
        """Store ``data``; raises HostError."""

    @abstractmethod
    def load(self, path: str, /) -> bytes:
        """Return what is stored; raises HostError, also where nothing is."""

    @abstractmethod
    def exists(self, path: str, /) -> bool:
        """Say whether something is stored."""

    @abstractmethod
    def size(self, path: str, /) -> int:
        """Return the size of what is stored; raises HostError, also where nothing is."""

    @abstractmethod
    def delete(self, path: str, /) -> None:
        """Remove what is stored; raises HostError."""


class LocalDisk(Host):
    """``oss/local/localfile.go``: paths are paths, and ``exists`` takes any error for a no."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.down = False

    def _path(self, path: str) -> Path:
        return Path(posixpath.normpath(posixpath.join(str(self.root), path)))

    def _check(self, call: str, path: str) -> None:
        if self.down:
            raise HostError(f"{call} {self._path(path)}: input/output error")

    def save(self, path: str, data: bytes) -> None:
        """Store a value, replacing what was there."""
        self._check("open", path)
        target = self._path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        except OSError as error:
            raise HostError(_go_words("open", target, error)) from None

    def load(self, path: str) -> bytes:
        """Return a value; raises HostError where there is none."""
        self._check("open", path)
        try:
            return self._path(path).read_bytes()
        except OSError as error:
            raise HostError(_go_words("open", self._path(path), error)) from None

    def exists(self, path: str) -> bool:
        """Say whether a value is there, as this host tells it."""
        return not self.down and self._path(path).exists()

    def size(self, path: str) -> int:
        """Return a value's size in bytes; raises HostError where there is none."""
        self._check("stat", path)
        try:
            return self._path(path).stat().st_size
        except OSError as error:
            raise HostError(_go_words("stat", self._path(path), error)) from None

    def delete(self, path: str) -> None:
        """Remove what is there."""
        self._check("unlinkat", path)
        target = self._path(path)  # os.RemoveAll: a whole directory as well
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


def _go_words(call: str, path: Path, error: OSError) -> str:
    return f"{call} {path}: {os.strerror(error.errno or 0).lower()}"


class S3(Host):
    """``oss/s3/s3.go``: flat names; ``exists`` takes any error for a no."""

    absent_words = (
        "operation error S3: HeadObject, https response error StatusCode: 404, "
        "RequestID: 17F3A2, HostID: dd90, NotFound: Not Found"
    )
    outage_words = (
        "operation error S3: HeadObject, exceeded maximum number of attempts, 3, "
        "https response error StatusCode: 503, RequestID: 404A, ServiceUnavailable"
    )

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.down = False

    def _check(self) -> None:
        if self.down:
            raise HostError(self.outage_words)

    def save(self, path: str, data: bytes) -> None:
        """Store a value, replacing what was there."""
        self._check()
        self.objects[path] = data

    def load(self, path: str) -> bytes:
        """Return a value; raises HostError where there is none."""
        self._check()
        if path not in self.objects:
            raise HostError(self.absent_words)
        return self.objects[path]

    def exists(self, path: str) -> bool:
        """Say whether a value is there, as this host tells it."""
        return not self.down and path in self.objects

    def size(self, path: str) -> int:
        """Return a value's size in bytes; raises HostError where there is none."""
        return len(self.load(path))

    def delete(self, path: str) -> None:
        """Remove what is there."""
        self._check()
        self.objects.pop(path, None)


class Azure(S3):
    """``oss/azureblob/blob.go``: flat names; ``exists`` surfaces an outage."""

    absent_words = "RESPONSE 404: 404 The specified blob does not exist.\nERROR CODE: BlobNotFound"
    outage_words = "dial tcp: lookup example.blob.core.windows.net: no such host"

    def exists(self, path: str) -> bool:
        """Say whether a value is there, as this host tells it."""
        self._check()
        return super().exists(path)


# --------------------------------------------------------------------------- persistence/*.go


class Persistence:
    """``internal/core/persistence``: the checks, the cache and the quota around a host."""

    def __init__(self, host: Host, *, quota: int, clock: Callable[[], float]) -> None:
        self.host = host
        self.quota = quota
        self.used = 0
        self._clock = clock
        self._cache: dict[str, tuple[float, bytes]] = {}

    def save(self, key: str, data: bytes) -> None:
        """Store a value, replacing what was there."""
        _check_traversal(key)
        if len(key.encode()) > 256:
            raise HostError("key length must be less than 256 characters")
        old = self.host.size(_path(key)) if self.host.exists(_path(key)) else 0
        self.host.save(_path(key), data)
        if self.used + len(data) - old > self.quota:  # saved first, checked afterwards
            raise HostError(OVER_QUOTA)
        self.used += len(data) - old
        self._cache.pop(key, None)

    def load(self, key: str) -> bytes:
        """Return a value; raises HostError where there is none."""
        _check_traversal(key)
        if (cached := self._cached(key)) is not None:
            return cached
        data = self.host.load(_path(key))
        self.fill_cache(key, data)
        return data

    def fill_cache(self, key: str, data: bytes) -> None:
        """Remember ``data`` under the raw key, as a read does when it ends."""
        self._cache[key] = (self._clock() + CACHE_SECONDS, data)

    def expire_cache(self) -> None:
        """Forget what was read, as five minutes do."""
        self._cache.clear()

    def _cached(self, key: str) -> bytes | None:
        until, data = self._cache.get(key, (0.0, b""))
        return data if until > self._clock() else None

    def delete(self, key: str) -> None:
        """Remove what is there."""
        _check_traversal(key)
        self._cache.pop(key, None)
        size = self.host.size(_path(key))
        self.host.delete(_path(key))
        self.used -= size

    def exist(self, key: str) -> bool:
        """Say whether a value is there, in the cache or with the host."""
        _check_traversal(key)
        return self._cached(key) is not None or self.host.exists(_path(key))


def _check_traversal(key: str) -> None:
    cleaned = _clean(key)
    if ".." in cleaned or "//" in cleaned or "\\" in cleaned:
        raise HostError("invalid key: path traversal attempt detected")


def _clean(key: str) -> str:
    """Go's ``path.Clean``, which makes one slash of two leading ones, other than Python's."""
    cleaned = posixpath.normpath(key)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _path(key: str) -> str:
    return posixpath.normpath(f"workspace/plugin/{_clean(key)}")


# ------------------------------------------------------------------- backwards_invocation/*.go


@dataclass
class Daemon:
    """One workspace with one plugin: serves the plugin's requests, with faults as scripted."""

    store: Persistence
    storage_permission: bool = True
    requests: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(operation, key) of every storage request that came."""
    before_answer: Callable[[str], None] | None = None
    """Called with the operation before a request is carried out."""
    _faults: list[tuple[str, Fault]] = field(default_factory=list[tuple[str, Fault]])

    def script(self, operation: Literal["get", "set", "del", "exist"], fault: Fault) -> None:
        """Let the next request for ``operation`` end in ``fault``."""
        self._faults.append((operation, fault))

    def clear_script(self) -> None:
        """Forget the faults that did not happen yet."""
        self._faults.clear()

    def answer(self, request: dict[str, Any]) -> list[Event]:
        """Carry out a storage request and return the events that are sent for it."""
        operation, key = str(request.get("opt")), str(request.get("key") or "")
        self.requests.append((operation, key))
        if self.before_answer is not None:
            self.before_answer(operation)
        fault = self._next_fault(operation)
        if fault == "silence":
            return []
        if fault == "end marker only":
            return [("end", "", None)]
        if fault == "odd data":
            return [("response", "struct", {"data": "zz not hex"}), ("end", "", None)]
        if fault == "nothing there":
            return [("error", MISSING, None), ("end", "", None)]
        event = self._carry_out(operation, key, str(request.get("value") or ""))
        if fault == "done, then silence":
            return []
        if fault == "done, then error":
            event = ("error", f"{_VERBS[operation]}: dial tcp 10.0.0.5:5432: refused", None)
        return [event, ("end", "", None)]

    def _next_fault(self, operation: str) -> Fault | None:
        for index, (wanted, fault) in enumerate(self._faults):
            if wanted == operation:
                del self._faults[index]
                return fault
        return None

    def _carry_out(self, operation: str, key: str, value: str) -> Event:
        if not self.storage_permission:
            text = "permission denied, you need to enable storage access in plugin manifest"
            return ("error", text, None)
        if not key:
            text = "Error:Field validation for 'Key' failed on the 'required' tag"
            return ("error", f"unmarshal backwards invoke request failed: {text}", None)
        try:
            return ("response", "struct", {"data": self._result(operation, key, value)})
        except HostError as error:
            words = MISSING if operation == "get" else f"{_VERBS[operation]}: {error}"
            return ("error", words, None)

    def _result(self, operation: str, key: str, value: str) -> str | bool:
        if operation == "get":
            return self.store.load(key).hex()
        if operation == "exist":
            return self.store.exist(key)
        if operation == "set":
            self.store.save(key, bytes.fromhex(value))
        else:
            self.store.delete(key)
        return "ok"


_VERBS = {
    "set": "save data failed",
    "del": "delete data failed",
    "exist": "exist data failed",
    "get": "load data failed",
}


# ----------------------------------------------------------------------- local_runtime/*.go


@dataclass(frozen=True)
class Call:
    """Whom a tool is invoked for, with the plugin's credentials."""

    user: str = "ada"
    conversation: str | None = "c1"
    credentials: dict[str, str] = field(default_factory=dict[str, str])


class ToolFailed(Exception):
    """The tool raised, or its process is gone."""


@dataclass
class _Session:
    """One run of a tool: what it says, and whether it has ended."""

    replies: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue[dict[str, Any]])
    ended: threading.Event = field(default_factory=threading.Event)


class PluginProcess:
    """A plugin's own process, started by its entry point as the daemon does it.

    ``MAX_INVOCATION_TIMEOUT`` is the SDK's own setting; its unit is the second, and 1 its least.
    """

    _START_SECONDS = 60.0
    _ANSWER_SECONDS = 60.0
    _LATENCY_SECONDS = 0.004
    """The SDK listens for an answer only after its request is out: an answer at once is lost."""
    _AGAIN_SECONDS = 0.5

    def __init__(self, directory: Path, daemon: Daemon, *, timeout_seconds: int = 250) -> None:
        self.daemon = daemon
        self.log: list[str] = []
        self._sessions: dict[str, _Session] = {}
        self._writing = threading.Lock()
        self._ready = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "main"],
            cwd=directory,
            env=_environment(timeout_seconds),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._listen, self._drain)
        ]
        for thread in self._threads:
            thread.start()
        self._await_ready()

    def _await_ready(self) -> None:
        if not self._ready.wait(self._START_SECONDS) or self._process.poll() is not None:
            self.stop()
            raise ToolFailed("the plugin did not start: " + "\n".join(self.log[-20:]))

    def running(self) -> bool:
        """Say whether the process lives."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def stop(self) -> None:
        """Kill the process, as the daemon does (the SDK does not end by itself), and clean up."""
        self.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):  # it died with a request half written
                    stream.close()

    # ------------------------------------------------------------------------- what it is asked

    def invoke(self, provider: str, tool: str, parameters: dict[str, Any], call: Call) -> list[Any]:
        """Run a tool; return its messages. Raises ToolFailed if it raised or died."""
        request = {
            "type": "tool",
            "action": "invoke_tool",
            "user_id": call.user,
            "provider": provider,
            "tool": tool,
            "credentials": call.credentials,
            "credential_type": "api-key",
            "tool_parameters": parameters,
        }
        return self._converse(request, call.conversation)

    def validate(self, provider: str, credentials: dict[str, str]) -> list[Any]:
        """Check credentials as the installation form does. Raises ToolFailed if they are bad."""
        request = {
            "type": "tool",
            "action": "validate_tool_credentials",
            "user_id": "admin",
            "provider": provider,
            "credentials": credentials,
        }
        return self._converse(request, None)

    def _converse(self, request: dict[str, Any], conversation: str | None) -> list[Any]:
        name, session = uuid.uuid4().hex, _Session()
        self._sessions[name] = session
        self._send(name, "request", request, conversation)
        messages: list[Any] = []
        while (reply := session.replies.get(timeout=self._ANSWER_SECONDS))["type"] == "stream":
            messages.append(reply["data"])
        session.ended.set()
        del self._sessions[name]
        if reply["type"] == "error":
            raise ToolFailed(f"{reply['data'].get('error_type')}: {reply['data'].get('message')}")
        return messages

    def _send(self, session: str, event: str, data: object, conversation: str | None) -> None:
        line = {"session_id": session, "conversation_id": conversation, "event": event}
        if self._process.stdin is None:
            raise ToolFailed("the plugin has no stdin")
        with self._writing:
            try:
                self._process.stdin.write(json.dumps({**line, "data": data}).encode() + b"\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                self._hang_up()

    # ---------------------------------------------------------------------------- what it says

    def _listen(self) -> None:
        buffer = b""
        while data := os.read(self._stdout(), 1 << 16):
            *lines, buffer = (buffer + data).split(b"\n")
            for line in filter(None, lines):
                self._hear(line)
            if len(buffer) >= LINE_BYTES:
                break
        self._process.kill()
        self._process.wait()
        self._hang_up()

    def _stdout(self) -> int:
        if self._process.stdout is None:
            raise ToolFailed("the plugin has no stdout")
        return self._process.stdout.fileno()

    def _drain(self) -> None:
        if self._process.stderr is not None:
            self.log.extend(line.decode(errors="replace") for line in self._process.stderr)

    def _hang_up(self) -> None:
        self._ready.set()
        gone = {"type": "error", "data": {"error_type": "killed", "message": "gone"}}
        for session in list(self._sessions.values()):
            session.replies.put(gone)

    def _hear(self, line: bytes) -> None:
        message = json.loads(line)
        event, session = message.get("event"), message.get("session_id")
        if event == "heartbeat":
            self._ready.set()
        elif event == "session":
            self._session_message(session, message["data"])
        else:  # the declaration, which has no event, and the log
            self.log.append(line.decode())

    def _session_message(self, name: str, message: dict[str, Any]) -> None:
        session = self._sessions.get(name)
        if session is None:
            return
        if message["type"] != "invoke":
            session.replies.put(message)
            return
        invocation = message["data"]
        lines = [
            {
                "backwards_request_id": invocation["backwards_request_id"],
                "event": event,
                "message": text,
                "data": data,
            }
            for event, text, data in self.daemon.answer(invocation["request"])
        ]
        threading.Thread(target=self._reply, args=(name, session, lines), daemon=True).start()

    def _reply(self, name: str, session: _Session, lines: list[dict[str, Any]]) -> None:
        # Sent again while the tool runs, for the one case in many in which the SDK began to
        # listen too late. Of what it has read once it takes no notice the second time.
        pause = self._LATENCY_SECONDS
        while lines and not session.ended.wait(pause):
            for line in lines:
                self._send(name, "backwards_response", line, None)
            pause = self._AGAIN_SECONDS


def _environment(timeout_seconds: int) -> dict[str, str]:
    root = Path(__file__).parents[3]
    return {
        **os.environ,
        "INSTALL_METHOD": "local",
        "MAX_INVOCATION_TIMEOUT": str(timeout_seconds),
        "HEARTBEAT_INTERVAL": "60",
        "PYTHONPATH": str(root),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
