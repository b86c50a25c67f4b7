"""How large things may be. Every limit is a setting; beyond one the caller gets TooLarge, which names it."""

from dataclasses import dataclass

from cnr.domain.errors import TooLarge

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one push, with the defaults of contracts/cnr.md 2.4. `*_bytes` in bytes, the others are counts.

    `uploads` are the open ones at a time; 0 is no limit.

    `ratio` is unpacked to compressed size, and counts only above RATIO_FREE_BYTES unpacked: an empty tar is
    10 KiB in 45 bytes of gzip and harms nobody.
    """

    json_body_bytes: int = 64 * MIB
    form_body_bytes: int = 8 * MIB
    compressed_bytes: int = 20 * MIB
    unpacked_bytes: int = 100 * MIB
    members: int = 10_000
    ratio: int = 200
    chart_file_bytes: int = 5 * MIB
    metadata_bytes: int = 64 * KIB
    manifest_bytes: int = 4 * MIB
    blob_bytes: int = 64 * 1024 * MIB
    uploads: int = 10_000
    uploads_per_repository: int = 1_000
    uploads_per_caller: int = 2_000


RATIO_FREE_BYTES = MIB
"""Unpacked size up to which no compression ratio is suspicious."""


def too_large(what: str, limit: int, unit: str = "bytes") -> TooLarge:
    """The error for `what` beyond `limit`."""
    return TooLarge(f"{what}: the limit is {limit:,} {unit}", what=what, limit=limit)
