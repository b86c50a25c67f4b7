"""Digests: OCI's `algorithm:hex` for stored bytes, bare hex of the uncompressed tar in the CNR view."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import NewType

from cnr.domain.errors import InvalidDigest

Digest = NewType("Digest", str)
"""`sha256:<64 hex>` or `sha512:<128 hex>`, lower case: names bytes exactly as stored."""

TarDigest = NewType("TarDigest", str)
"""64 lower-case hex: sha256 of a package's uncompressed tar. Source: contracts/cnr.md section 1."""

_DIGEST = re.compile(r"(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})")
_TAR_DIGEST = re.compile(r"[a-f0-9]{64}")


def parse_digest(text: str) -> Digest:
    """`text` as a digest. Raises InvalidDigest.

    Source: OCI image-spec 1.1, descriptor "Digests"; only the two registered algorithms.
    """
    if not _DIGEST.fullmatch(text):
        raise InvalidDigest("a digest is sha256: and 64, or sha512: and 128, lower-case hex digits", digest=text[:200])
    return Digest(text)


def parse_tar_digest(text: str) -> TarDigest:
    """`text` as the digest of a tar; upper case and a `sha256:` prefix are accepted. Raises InvalidDigest."""
    bare = text.removeprefix("sha256:").lower()
    if not _TAR_DIGEST.fullmatch(bare):
        raise InvalidDigest("a package digest is 64 hex digits (sha256 of the uncompressed tar)", digest=text[:200])
    return TarDigest(bare)


def sha256(data: bytes) -> Digest:
    """The sha256 digest of `data`."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def verified(chunks: Iterable[bytes], digest: Digest) -> Iterator[bytes]:
    """`chunks` unchanged; raises InvalidDigest after the last one if together they do not hash to `digest`."""
    algorithm, _, expected = digest.partition(":")
    running = hashlib.new(algorithm)
    for chunk in chunks:
        running.update(chunk)
        yield chunk
    if running.hexdigest() != expected:
        raise InvalidDigest("the bytes do not have this digest", digest=digest)


def digest_of(data: bytes, algorithm: str) -> Digest:
    """The digest of `data` by a registered algorithm, `sha256` or `sha512`."""
    return Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")
