"""The store that servers under test use: files, or with CNR_TEST_STORAGE=redis (or etcd, etcd+s3 ...) real engines.

The engine is started when it is first needed, and ends with the tests' process. Each folder has a store of its own in
it, so that servers with equal folders share one, as they do with files.
"""

import atexit
import functools
import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from tests.services.etcd import Etcd
from tests.services.object_stores import ObjectServer, serving_s3
from tests.services.redis import RedisServer

STORAGE: Final = os.environ.get("CNR_TEST_STORAGE") or "filesystem"


def environment(folder: Path) -> Mapping[str, str]:
    """What tells a server to keep the store that belongs to `folder` in the engine of these tests."""
    if STORAGE == "filesystem":
        return {}
    prefix = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    engine, _, blobs = STORAGE.partition("+")
    files = _bucket().environment(_bucket().address(prefix)) if blobs else {}
    return {"STORAGE": _url(engine), "CNR_KV_PREFIX": f"{prefix}/", **files}


needs_files = pytest.mark.skipif(STORAGE != "filesystem", reason="looks at the store's files")
"""For tests of what only the filesystem has."""


@functools.cache
def _url(engine: str) -> str:
    return ENGINES[engine]()


@functools.cache
def _bucket() -> ObjectServer:
    stack = ExitStack()
    atexit.register(stack.close)
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cnr-s3-"))
    return stack.enter_context(serving_s3(Path(folder)))


def _redis() -> str:
    folder = tempfile.TemporaryDirectory(prefix="cnr-redis-")
    atexit.register(folder.cleanup)
    server = RedisServer(Path(folder.name)).start()
    atexit.register(server.kill)
    return server.url


def _etcd() -> str:
    folder = tempfile.TemporaryDirectory(prefix="cnr-etcd-")
    atexit.register(folder.cleanup)
    etcd = Etcd(Path(folder.name))
    atexit.register(etcd.kill)
    return f"etcd://{etcd.members[0].endpoint}"


ENGINES: Final[Mapping[str, Callable[[], str]]] = {"redis": _redis, "etcd": _etcd}
"""How to start an engine; each gives the URL for STORAGE."""
