"""Redis servers and clusters, spoken to by plain sockets."""

from __future__ import annotations

import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

import redis

from tests.requires import require_binary
from tests.servers.process import Process, Started, free_port

__all__ = ["SLOT", "Move", "RedisCluster", "RedisServer", "ask"]


def ask(port: int, *command: str) -> bytes:
    """Return the first piece of a server's answer to one command; nothing if it gives none."""
    words = [f"${len(word.encode())}\r\n{word}\r\n" for word in command]
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(f"*{len(command)}\r\n{''.join(words)}".encode())
            return connection.recv(65_536)
    except OSError:
        return b""


class RedisServer(Process):
    """``redis-server`` with its options: ``--appendonly yes``, ``--cluster-enabled yes`` ..."""

    def __init__(self, folder: Path, *options: str) -> None:
        program = require_binary("redis-server", install="apt-get install redis-server")
        self.port = free_port(beside=10_000)
        where = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder))
        super().__init__([program, *where, *options], folder, self.answers)

    def answers(self) -> bool:
        """Say whether it takes commands by now."""
        return ask(self.port, "PING").startswith(b"+PONG")

    def ask(self, *command: str) -> bytes:
        """Return the first piece of its answer to one command."""
        return ask(self.port, *command)

    def is_linked(self) -> bool:
        """Say whether it is a replica that has what its primary has."""
        return b"master_link_status:up" in self.ask("INFO", "replication")

    def identity(self) -> str:
        """Return its name in a cluster."""
        return self.ask("CLUSTER", "MYID").split(b"\r\n")[1].decode()


SLOT = 12182
"""Of ``foo``, and of whatever else has ``{foo}`` in its name."""


class RedisCluster(Started):
    """Processes that make one cluster: primaries first, then the replicas of each, in turn."""

    def __init__(self, folder: Path, primaries: int = 3, replicas: int = 0) -> None:
        self.servers: list[RedisServer] = []
        for number in range(primaries * (1 + replicas)):
            place = folder / str(number)
            place.mkdir()
            self.servers.append(RedisServer(place, *_OPTIONS))
        self.primaries = self.servers[:primaries]
        self._meets = 0.0

    @property
    def port(self) -> int:
        """Of one of them."""
        return self.primaries[0].port

    def start(self) -> None:
        """Start all, give out the slots, and wait until each knows of all."""
        for server in self.servers:
            server.launch()
        for server in self.servers:
            server.ready()
        count = len(self.primaries)
        for number, server in enumerate(self.servers):
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            if number < count:
                first, after = 16384 * number // count, 16384 * (number + 1) // count
                server.ask("CLUSTER", "ADDSLOTSRANGE", str(first), str(after - 1))
        self.primaries[0].until(self._have_met)
        for number, server in enumerate(self.servers[count:]):
            above = self.primaries[number % count].identity()
            server.until(partial(_replicates, server, above))
        for server in self.servers[count:]:
            server.until(server.is_linked)
        for server in self.servers:
            server.until(partial(_is_whole, server, len(self.servers) - count))

    def stop(self) -> None:
        """End all."""
        for server in self.servers:
            server.stop()

    def _have_met(self) -> bool:
        """Say whether each knows of all. A meeting that takes a second is given up: once more."""
        if all(_knows(server, len(self.servers)) for server in self.servers):
            return True
        if time.monotonic() >= self._meets:
            self._meets = time.monotonic() + 3
            for server in self.servers[1:]:
                server.ask("CLUSTER", "MEET", "127.0.0.1", str(self.port))
        return False

    def empty(self) -> None:
        """Remove every key."""
        for server in self.servers:
            server.ask("FLUSHALL")  # which a replica refuses

    def primary_of(self, slot: int) -> RedisServer:
        """Return the server that has a slot, as they were given out."""
        return self.primaries[slot * len(self.primaries) // 16384]


class Move:
    """The slot on its way from one server to the next: its keys one by one, then all of it."""

    def __init__(self, cluster: RedisCluster) -> None:
        self.source = cluster.primary_of(SLOT)
        self.target = next(each for each in cluster.primaries if each is not self.source)
        self._servers = cluster.primaries

    def begin(self) -> None:
        """From now on the source says ASK for keys that it does not have."""
        slot = ("CLUSTER", "SETSLOT", str(SLOT))
        assert self.target.ask(*slot, "IMPORTING", self.source.identity()) == b"+OK\r\n"
        assert self.source.ask(*slot, "MIGRATING", self.target.identity()) == b"+OK\r\n"

    def carry(self, *names: str) -> None:
        """Carry keys over."""
        port = str(self.target.port)
        for name in names:
            self.source.ask("MIGRATE", "127.0.0.1", port, name, "0", "5000")

    def carry_all(self) -> None:
        """Carry over whatever is in the slot, while others write to it."""
        port = str(self.target.port)
        with redis.Redis(port=self.source.port) as opened:
            client: Any = opened
            while names := client.execute_command("CLUSTER GETKEYSINSLOT", SLOT, 50):
                client.execute_command("MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS", *names)

    def end(self) -> None:
        """From now on the source says MOVED."""
        for server in (self.target, self.source, *self._servers):
            server.ask("CLUSTER", "SETSLOT", str(SLOT), "NODE", self.target.identity())
        self.source, self.target = self.target, self.source


_OPTIONS = (
    *("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--save", ""),
    *("--appendonly", "yes", "--repl-diskless-sync-delay", "0"),
    *("--cluster-replica-validity-factor", "0"),
)


def _knows(server: RedisServer, count: int) -> bool:
    return f"cluster_known_nodes:{count}\r".encode() in server.ask("CLUSTER", "INFO")


def _is_whole(server: RedisServer, replicas: int) -> bool:
    nodes = server.ask("CLUSTER", "NODES")
    whole = b"cluster_state:ok" in server.ask("CLUSTER", "INFO")
    return whole and nodes.count(b"slave") == replicas and b"handshake" not in nodes


def _replicates(server: RedisServer, above: str) -> bool:
    return server.ask("CLUSTER", "REPLICATE", above) == b"+OK\r\n"
