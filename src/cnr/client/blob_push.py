"""Blobs on their way into a repository: several at once, each begun anew where its upload broke."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import httpx

from cnr.client.errors import ClientError
from cnr.client.oci import OciClient
from cnr.domain.manifest import Descriptor
from cnr.domain.names import Repository

Sent = Literal["blobs", "mounted", "blobs_there"]
OpenChunks = Callable[[], Iterable[bytes]]
"""Gives the blob's bytes from the first one on, each time that it is called."""


def send_blob(
    client: OciClient,
    repository: Repository,
    blob: Descriptor,
    open_chunks: OpenChunks,
    *,
    mount_from: Repository | None = None,
) -> Sent:
    """Puts a blob into the repository unless it is there: by a mount from `mount_from`, else from its bytes.

    Raises what `open_chunks` raises, and then the registry has nothing.
    """
    if client.has_blob(repository, blob):
        return "blobs_there"
    begun = client.begin_upload(repository, mount=blob.digest, source=mount_from)
    if begun is None:
        return "mounted"
    waiting: list[httpx.URL] = [begun]

    def attempt() -> None:
        fresh = waiting.pop() if waiting else client.begin_upload(repository, mount=blob.digest, source=None)
        assert fresh is not None
        client.upload(repository, fresh, blob, open_chunks())

    client.patience.run(attempt)
    return "blobs"


class Stopped(ClientError):
    """Another transfer failed, or somebody pressed Ctrl-C."""


class Transfers:
    """Runs tasks in `jobs` threads; the first failure stops those under way between two chunks."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._stop = threading.Event()

    def run(self, tasks: Iterable[Callable[[], None]]) -> None:
        """Runs all tasks. Raises the first one's failure that is not of another's making."""
        with ThreadPoolExecutor(self._jobs, thread_name_prefix="copy") as pool:
            futures = [pool.submit(self._guarded, task) for task in tasks]
            try:
                failures = [exc for future in futures if (exc := future.exception()) is not None]
            except BaseException:
                self._stop.set()
                raise
        if failures:
            raise next((exc for exc in failures if not isinstance(exc, Stopped)), failures[0])

    def _guarded(self, task: Callable[[], None]) -> None:
        try:
            self._check()
            task()
        except BaseException:
            self._stop.set()
            raise

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped("stopped")

    def through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """`chunks`, until a transfer of this run fails. Raises Stopped."""
        for chunk in chunks:
            self._check()
            yield chunk
