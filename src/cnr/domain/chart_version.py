"""Versions as helm takes them: SemVer, but `v1.2` and `1` will do. Their order, and the file name that has them.

Source: Masterminds/semver NewVersion; contracts/oci-helm.md section 4, "Order".
"""

from typing import Final

from cnr.domain.errors import InvalidName, InvalidRelease
from cnr.domain.names import Tag, parse_repository
from cnr.domain.version import (
    HELM_VERSION,
    RELEASE_LIMIT,
    LenientVersion,
    Release,
    is_release,
    lenient_key,
    lenient_of,
    order_key,
    release_of,
)

ARCHIVE: Final = ".tgz"


def is_chart_version(text: str) -> bool:
    """Whether helm would take `text` for a chart's version, and its tag would be one."""
    return len(text) <= RELEASE_LIMIT and HELM_VERSION.fullmatch(text) is not None


def parse_chart_version(text: str) -> Release:
    """`text` as the version of a chart, perhaps one that is no strict SemVer. Raises InvalidRelease."""
    if not is_chart_version(text):
        raise InvalidRelease(
            f"a chart's version is a SemVer version of at most {RELEASE_LIMIT} characters", version=text[:RELEASE_LIMIT]
        )
    return Release(text)


def version_of(tag: Tag) -> Release | LenientVersion | None:
    """The version of a chart with this tag, or None. The inverse of `tag_of`: no version has a `_`."""
    return release_of(tag) or lenient_of(tag)


def is_stable(version: str) -> bool:
    """Whether `version` is no pre-release."""
    return "-" not in version.partition("+")[0]


def chart_order(version: str) -> bytes:
    """Bytes whose order is that of versions, lenient ones by what they stand for. Equal only for equal strings.

    Raises InvalidRelease.
    """
    return order_key(version) if is_release(version) else lenient_key(LenientVersion(version))


def archive_path(name: str, version: str) -> str:
    """Where the repository of a chart has its archive: `charts/<name>-<version>.tgz`.

    A file name that also reads as another chart's, which is preferred there, has the chart's name before it.
    """
    file = f"{name}-{version}{ARCHIVE}"
    preferred = next(iter(split_archive_name(file)), None)
    return f"charts/{file}" if preferred == (name, version) else f"charts/{name}/{file}"


def split_archive_name(file: str) -> list[tuple[str, Release]]:
    """The charts, as (name, version), that an archive's file name may belong to: strict versions first.

    Names have dashes, and so have versions: `a-1.0.0-2.0.0.tgz` is `a` at `1.0.0-2.0.0` or `a-1.0.0` at `2.0.0`.
    """
    stem = file.removesuffix(ARCHIVE)
    if stem == file:
        return []
    dashes = [at for at, char in enumerate(stem) if char == "-"]
    found = [
        (stem[:at], Release(stem[at + 1 :]))
        for at in dashes
        if is_chart_version(stem[at + 1 :]) and _is_name(stem[:at])
    ]
    return sorted(found, key=lambda pair: not is_release(pair[1]))


def _is_name(text: str) -> bool:
    try:
        return "/" not in parse_repository(text)
    except InvalidName:
        return False
