"""Releases: strict SemVer, its order, and the query syntax that finds one among many.

Source: contracts/cnr.md sections 1 and 3; semver.org 2.0.0; semantic_version 2.10 for query semantics.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NewType

from semantic_version import SimpleSpec, Version

from cnr.domain.errors import InvalidName, InvalidQuery, InvalidRelease
from cnr.domain.names import Channel, Tag, parse_tag

Release = NewType("Release", str)
"""A strict SemVer 2.0.0 string of at most 128 ASCII characters, exactly as published."""

RELEASE_LIMIT = 128
QUERY_LIMIT = 1024
DEFAULT = "default"

_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRE = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    rf"(?P<core>{_NUMBER}\.{_NUMBER}\.{_NUMBER})"
    rf"(?:-(?P<pre>{_PRE}(?:\.{_PRE})*))?"
    r"(?:\+(?P<build>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
HELM_VERSION = re.compile(
    r"v?(?P<core>[0-9]{1,19}(?:\.[0-9]{1,19}){0,2})"
    rf"(?:-(?P<pre>{_PRE}(?:\.{_PRE})*))?"
    r"(?:\+(?P<build>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
"""What helm takes for a version: SemVer, but `v1.2` will do. Source: Masterminds/semver NewVersion."""
_DIGEST_LIKE = re.compile(r"sha(?:256|512)-")


def parse_release(text: str) -> Release:
    """`text` as a release. Raises InvalidRelease: no `v`, no missing parts, no leading zeros, no spaces."""
    if len(text) > RELEASE_LIMIT or not _SEMVER.fullmatch(text):
        raise InvalidRelease(
            "a release is a full SemVer 2.0.0 version such as 1.2.3 or 1.0.0-rc.1, at most 128 characters",
            version=text[:RELEASE_LIMIT],
        )
    return Release(text)


def is_release(text: str) -> bool:
    """Whether `text` is a strict SemVer version."""
    return len(text) <= RELEASE_LIMIT and _SEMVER.fullmatch(text) is not None


def tag_of(release: Release) -> Tag:
    """The OCI tag of a release: `+` is not legal there and becomes `_`. Source: observed from helm."""
    return Tag(release.replace("+", "_"))


def release_of(tag: str) -> Release | None:
    """The release that a tag names, or None. The inverse of `tag_of`: SemVer has no `_`."""
    text = tag.replace("_", "+")
    return Release(text) if is_release(text) else None


LenientVersion = NewType("LenientVersion", str)
"""A version that helm takes and CNR does not: `v1.2`, `1.0`. A tag of it is a release of a chart that has it."""


def lenient_of(tag: str) -> LenientVersion | None:
    """The version that a tag names for helm alone; None for a release, and for what is no version."""
    text = tag.replace("_", "+")
    return LenientVersion(text) if HELM_VERSION.fullmatch(text) and not is_release(text) else None


def is_version(tag: str) -> bool:
    """Whether a tag names a version, for CNR or for helm alone."""
    return release_of(tag) is not None or lenient_of(tag) is not None


def lenient_key(version: LenientVersion) -> bytes:
    """Bytes that order a lenient version among releases: right behind the one that it equals. Total, as `order_key`."""
    match = HELM_VERSION.fullmatch(version)
    if match is None:
        raise InvalidRelease("no version", version=version[:RELEASE_LIMIT])
    parts = [part.lstrip("0") or "0" for part in match["core"].split(".")]
    full = ".".join([*parts, "0", "0"][:3])
    pre, build = match["pre"], match["build"]
    text = full + (f"-{pre}" if pre else "") + (f"+{build}" if build else "")
    return _key(text) + b"\x00" + version.encode()


def belongs_to_digest(tag: str) -> bool:
    """Whether a tag is one that clients make of a digest, for signatures and the like. It is never a channel."""
    return _DIGEST_LIKE.match(tag) is not None


def parse_channel(text: str) -> Channel:
    """`text` as a channel's name. Raises InvalidName: a channel is a tag, no SemVer, and no digest's tag."""
    tag = parse_tag(text, what="channel's name")
    if release_of(tag):
        raise InvalidName(f"{text!r} is a version: a channel needs a name that is none")
    if belongs_to_digest(text):
        raise InvalidName("a channel may not begin with sha256- or sha512-: such tags belong to signatures")
    return Channel(tag)


def order_key(release: str) -> bytes:
    """Bytes whose order is the release order: SemVer precedence, then build (none first, then by its text).

    Total over all releases: equal keys only for equal strings. Kept in views so that SQL can sort by it.
    """
    return _key(release)


def _key(text: str) -> bytes:
    match = _SEMVER.fullmatch(text)
    if match is None:
        raise InvalidRelease("not a SemVer version", version=text[:RELEASE_LIMIT])
    core = b"".join(_numeric(part) for part in match["core"].split("."))
    pre = match["pre"]
    pre_key = b"\x02" if pre is None else b"\x01" + b"".join(_identifier(part) for part in pre.split(".")) + b"\x00"
    build = match["build"]
    return core + pre_key + (b"" if build is None else b"\x01" + build.encode())


def _numeric(digits: str) -> bytes:
    return bytes([len(digits)]) + digits.encode()


def _identifier(text: str) -> bytes:
    if text.isdigit():
        return b"\x01" + _numeric(text)
    return b"\x02" + text.encode() + b"\x00"


def resolve(query: str, releases: Sequence[Release]) -> Release | None:
    """The highest of `releases` that `query` selects; None if none does.

    `default` takes pre-releases too; a range does only where the query has a `-`. An exact query equal to a
    release always returns that one. Raises InvalidQuery. Source: contracts/cnr.md section 3.
    """
    if query == DEFAULT:
        return highest(releases)
    text = query.replace(" ", "")
    if text in releases:
        return Release(text)
    spec = _parse_query(query, text)
    with_prereleases = "-" in text
    for release in sorted(releases, key=order_key, reverse=True):
        if (with_prereleases or "-" not in release.partition("+")[0]) and spec.match(Version(release)):
            return release
    return None


def _parse_query(query: str, text: str) -> SimpleSpec:
    try:
        if len(query) > QUERY_LIMIT or not (text.isascii() and text.isprintable()):
            raise ValueError
        return SimpleSpec(text)
    except ValueError:
        raise InvalidQuery(
            "not a version or range: try 1.2.3, ^1.2, '>=1.0,<2.0', * or default", release=query[:QUERY_LIMIT]
        ) from None


def highest(releases: Iterable[Release]) -> Release | None:
    """The highest release, pre-releases included; None of an empty set."""
    return max(releases, key=order_key, default=None)
