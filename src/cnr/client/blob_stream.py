"""A blob's bytes on their way: checked while they pass, continued where that broke, never more than promised."""

import hashlib
from collections.abc import Iterator

import httpx

from cnr.client.cnr import Report, quiet
from cnr.client.errors import ClientError, Damaged, Unreachable
from cnr.client.oci import OciClient
from cnr.client.transport import reaching
from cnr.domain.digest import Digest
from cnr.domain.manifest import Descriptor
from cnr.domain.names import Repository

_PIECE_BYTES = 256 * 1024


def blob_chunks(client: OciClient, repository: Repository, blob: Descriptor, report: Report = quiet) -> Iterator[bytes]:
    """The blob's bytes, exactly `blob.size`, in constant memory. `report` hears of them.

    The last chunk comes only when all together have the digest, so that whoever passes them on has sent less than he
    announced if they do not. A connection that breaks is opened anew from that byte on, as often as the client's
    patience has it without a byte in between. Raises Damaged, NotFound, Unreachable.
    """
    algorithm, _, expected = blob.digest.partition(":")
    running, size, held = hashlib.new(algorithm), 0, b""
    for chunk in _continued(client, repository, blob):
        size += len(chunk)
        if size > blob.size:
            raise Damaged(f"{client.registry} sends more than the {blob.size:,} bytes of {blob.digest}")
        running.update(chunk)
        report(len(chunk))
        if held:
            yield held
        held = chunk
    if running.hexdigest() != expected:
        raise Damaged(
            f"{client.registry} sent other bytes for {blob.digest}: their digest is {algorithm}:{running.hexdigest()}"
        )
    if held:
        yield held


def read_blob(client: OciClient, repository: Repository, blob: Descriptor, limit: int) -> bytes:
    """A small blob as a whole. Raises Damaged also where it says that it has more than `limit` bytes."""
    if blob.size > limit:
        raise Damaged(f"{blob.digest} of {client.registry} has more than {limit:,} bytes")
    return b"".join(blob_chunks(client, repository, blob))


def _continued(client: OciClient, repository: Repository, blob: Descriptor) -> Iterator[bytes]:
    """Chunks until `blob.size` bytes have come, by as many requests as that takes."""
    at = attempt = 0
    while True:
        before = at
        try:
            for chunk in _from(client, repository, blob, at):
                at += len(chunk)
                yield chunk
            if at >= blob.size:
                return
            raise Unreachable(f"{client.registry} ended {blob.digest} after {at:,} of {blob.size:,} bytes")
        except ClientError as exc:
            attempt = 0 if at > before else attempt
            client.patience.wait(exc, attempt)
            attempt += 1


def _from(client: OciClient, repository: Repository, blob: Descriptor, start: int) -> Iterator[bytes]:
    """The bytes from `start` on, of one answer; a server without ranges has the first ones skipped."""
    with client.open_blob(repository, blob.digest, start) as response:
        skip = _to_skip(response, blob.digest, start)
        _check_length(client, response, blob, start - skip)
        with reaching(client.registry):
            for chunk in response.iter_raw(_PIECE_BYTES):
                rest = chunk[skip:]
                skip -= len(chunk) - len(rest)
                if rest:
                    yield rest


def _to_skip(response: httpx.Response, digest: Digest, start: int) -> int:
    if response.status_code != 206:
        return start
    first = response.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0].strip()
    if first != str(start):
        raise Damaged(f"{response.url.host} answers with another part of {digest} than was asked for")
    return 0


def _check_length(client: OciClient, response: httpx.Response, blob: Descriptor, start: int) -> None:
    length = response.headers.get("content-length")
    if length is not None and length != str(blob.size - start):
        raise Damaged(f"{client.registry} has {blob.digest} in another size than the {blob.size:,} bytes promised")
