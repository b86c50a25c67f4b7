"""Object stores for tests: S3 by versitygw over a folder, Azure by Azurite. One of each for a run, a prefix for a test.

Nothing that installs by an ordinary client speaks the API that gs:// is read with, so that is not run.
"""

import base64
import hashlib
import hmac
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from tests.services.ports import free_port
from tests.services.processes import need, running

S3_KEYS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests"}
# Azurite's own account, known to everybody. Source: its README.
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class ObjectServer:
    """A server with the bucket "cnr"; `bucket` is its folder, where it has one."""

    scheme: str
    endpoint: str
    options: str = ""
    bucket: Path = Path()
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def address(self, prefix: str = "", endpoint: str = "", bucket: str = "cnr") -> str:
        """An address with a prefix of its own, unless one is given."""
        prefix = prefix or f"p{os.getpid()}-{next(self._numbers)}"
        return f"{self.scheme}://{bucket}/{prefix}?endpoint={endpoint or self.endpoint}{self.options}"

    def make(self, bucket: str) -> None:
        """Make a bucket."""
        if self.scheme == "s3":
            (self.bucket.parent / bucket).mkdir()
        else:
            _container("PUT", f"{self.endpoint}/{bucket}")

    def remove(self, bucket: str) -> None:
        """Remove a bucket with all that is in it."""
        if self.scheme == "s3":
            shutil.rmtree(self.bucket.parent / bucket)
        else:
            _container("DELETE", f"{self.endpoint}/{bucket}")

    def environment(self, address: str = "") -> dict[str, str]:
        """The variables of a server that keeps its blobs here."""
        keys = S3_KEYS if self.scheme == "s3" else {"AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY}
        return {"BLOB_STORAGE": address or self.address(), **keys}

    def expire(self) -> None:
        """Do what a bucket's lifecycle rule does to those."""
        for path in self.unfinished():
            path.unlink()

    def unfinished(self) -> list[Path]:
        """Parts of multipart uploads that are neither complete nor given up."""
        return [path for path in (self.bucket / ".sgwtmp" / "multipart").glob("*/*/*") if path.is_file()]


@contextmanager
def serving_s3(folder: Path) -> Iterator[ObjectServer]:
    """An S3 server that keeps everything in a folder."""
    port = free_port()
    for name in ("buckets/cnr", "metadata"):
        (folder / name).mkdir(parents=True)
    command = [
        need("versitygw"),
        *("--port", f"127.0.0.1:{port}", "--quiet", "--keep-alive"),
        *("--access", S3_KEYS["AWS_ACCESS_KEY_ID"], "--secret", S3_KEYS["AWS_SECRET_ACCESS_KEY"]),
        *("posix", "--sidecar", str(folder / "metadata"), str(folder / "buckets")),
    ]
    with running(command, port):
        yield ObjectServer("s3", f"http://127.0.0.1:{port}", "&region=us-east-1", folder / "buckets" / "cnr")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """An S3 server. Its credentials are in the environment."""
    with serving_s3(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as environment:
        for name, value in S3_KEYS.items():
            environment.setenv(name, value)
        yield server


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """An Azure blob server. Its key is in the environment."""
    folder, port = tmp_path_factory.mktemp("azure"), free_port()
    command = [
        need("azurite-blob"),
        *("--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)),
        *("--silent", "--disableTelemetry"),
    ]
    with running(command, port), pytest.MonkeyPatch.context() as environment:
        environment.setenv("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY)
        endpoint = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
        server = ObjectServer("az", endpoint, f"&account={AZURE_ACCOUNT}")
        server.make("cnr")
        yield server


def _container(method: str, url: str) -> None:
    """Source: Azure, "Authorize with Shared Key"."""
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = f"x-ms-date:{date}\nx-ms-version:2021-08-06"
    resource = f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{url.rpartition('/')[2]}\nrestype:container"
    signed = f"{method}{chr(10) * 12}{headers}\n{resource}"
    key = hmac.new(base64.b64decode(AZURE_KEY), signed.encode(), hashlib.sha256).digest()
    sent = dict(line.split(":", 1) for line in headers.splitlines())
    sent["Authorization"] = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(key).decode()}"
    httpx.request(method, f"{url}?restype=container", headers=sent).raise_for_status()
