"""The types of settings: from what a user wrote to a value.

Each raises ValueError with the end of a sentence that began with the setting's name and what was written.
"""

import os
import re
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cnr.domain.store_url import Host, StoreUrl

_MIB: Final = 1024 * 1024
_OLD_STORE_CLASS: Final = re.compile(r"(?:cnr|appr)\.models\.kv\.(filesystem|redis|etcd)\.db:\w+", re.ASCII)
FILESYSTEM: Final = "filesystem"
NAMES: Final = (FILESYSTEM, "redis", "etcd")
"""Stores that are known by their name alone; DATABASE_URL, REDIS_HOST or ETCD_HOST say where they are."""
RECORD_SCHEMES: Final = ("file", "redis", "rediss", "redis+sentinel", "rediss+sentinel", "etcd", "etcds")
BLOB_SCHEMES: Final = ("file", "s3", "gs", "az")

_SEGMENT: Final = re.compile(r"/[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_TAKEN: Final = frozenset({"v2", "api", "cnr", "docs", "version", "routes", "healthz", "readyz", "token"})
_HOST_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)


def storage(text: str) -> StoreUrl:
    """A store's URL, from the URL, a folder, a store's name, or the old server's class path.

    Of a name alone there is a scheme and nothing else.
    """
    old = _OLD_STORE_CLASS.fullmatch(text)
    name = old[1] if old else text
    if name.lower() in NAMES:
        return StoreUrl(name.lower())
    if _is_path(text):
        return StoreUrl.of_folder(folder(text))
    scheme = text.partition("://")[0].lower()
    if scheme == FILESYSTEM:
        raise ValueError("the filesystem has no URL; use filesystem, and DATABASE_URL for the folder")
    if "://" not in text or scheme not in RECORD_SCHEMES:
        raise ValueError("there is no such storage; use filesystem, redis, etcd or a URL")
    return _url(text)


def blob_storage(text: str) -> StoreUrl | None:
    """The URL of a store of blobs, from the URL or a folder; None for none."""
    if not text:
        return None
    if _is_path(text):
        return StoreUrl.of_folder(folder(text))
    if text.partition("://")[0].lower() not in BLOB_SCHEMES or "://" not in text:
        raise ValueError("there is no such storage; use s3://bucket/prefix, gs://…, az://… or a folder")
    return _url(text)


def _is_path(text: str) -> bool:
    return text.startswith(("/", "./", "~/"))


def _url(text: str) -> StoreUrl:
    url = StoreUrl.parse(text)
    if url.scheme != "file":
        if not url.hosts:
            raise ValueError("it names no host")
        return url
    if url.hosts or not url.path.startswith("/"):
        raise ValueError("use a folder, or file:///folder")
    return StoreUrl.of_folder(folder(url.path))


def optional_file(text: str) -> Path | None:
    """An absolute path, made so from the folder in which the server is started; None for none."""
    return Path(text).expanduser().absolute() if text else None


def host(text: str) -> Host:
    """A host with or without a port."""
    return Host.parse(text)


def key_prefix(text: str) -> str:
    """What every key of a shared store begins with: up to 100 printable ASCII characters."""
    if len(text) > 100 or not (text.isascii() and text.isprintable()):
        raise ValueError("use up to 100 printable ASCII characters")
    return text


def folder(text: str) -> Path:
    """An absolute path; `~` is the home folder."""
    if "://" in text:
        raise ValueError("it must be a folder, not a URL")
    if "\0" in text:
        raise ValueError("it must be a folder")
    return Path(os.path.abspath(Path(text).expanduser()))


def file(text: str) -> Path | None:
    """The absolute path of a file, or None for none."""
    return folder(text) if text else None


def place_of_log(text: str) -> str:
    """`stdout`, `stderr` or `off`, else the absolute path of a file."""
    return text.lower() if text.lower() in ("stdout", "stderr", "off") else str(folder(text))


def plain(text: str) -> str:
    """As written."""
    return text


def seconds_or_never(text: str) -> int | None:
    """A number of seconds, or None for never."""
    if text.lower() == "never":
        return None
    if not (text.isascii() and text.isdigit() and int(text[:12]) <= 10**9 and len(text) <= 12):
        raise ValueError("use a number of seconds up to 1000000000, or never")
    return int(text)


def one_of(*words: str) -> Callable[[str], str]:
    """One of `words`, in any letter case."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"use one of {', '.join(words)}")
        return text.lower()

    return parse


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number from `low` to `high`."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 15 and low <= int(text) <= high):
            raise ValueError(f"use a number from {low} to {high}")
        return int(text)

    return parse


_SIZE: Final = re.compile(r"([0-9]{1,12})\s*([kmgt]?)(?:i?b)?", re.ASCII | re.IGNORECASE)


_RATE: Final = re.compile(r"[0-9]{1,7}(\.[0-9]{1,3})?", re.ASCII)


def size(text: str) -> int:
    """Bytes, from a number with or without a unit; units are powers of 1024."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError("use a size such as 1048576, 512KiB, 64MiB or 2GiB")
    return int(found[1]) << (" kmgt".index(found[2].lower() or " ") * 10)


def size_or_off(text: str) -> int | None:
    """Bytes as `size`, or None for off."""
    if text.lower() == "off":
        return None
    try:
        return size(text)
    except ValueError as exc:
        raise ValueError(f"{exc}, or off") from None


def rate_or_off(text: str) -> float | None:
    """Requests per second, or None for off."""
    if text.lower() == "off":
        return None
    if not _RATE.fullmatch(text) or not 0.001 <= float(text) <= 10**6:
        raise ValueError("use a number per second such as 50 or 0.5, or off")
    return float(text)


def count_or_off(text: str) -> int | None:
    """A number of things, or None for off."""
    if text.lower() == "off":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise ValueError("use a number, or off")
    return int(text)


def yes_or_no(text: str) -> bool:
    """A truth value."""
    if text.lower() in ("true", "yes", "on", "1"):
        return True
    if text.lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError("use true or false")


def public_url(text: str) -> str:
    """An http or https address without a slash at its end, or nothing."""
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise ValueError("use an address such as https://charts.example.com")
    return text.rstrip("/")


def networks(text: str) -> tuple[str, ...]:
    """IP addresses and networks, separated by commas; `*` is any."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name != "*":
            try:
                ip_network(name, strict=False)
            except ValueError:
                raise ValueError(f"{name!r} is no IP address or network") from None
    return names


def size_text(size: int) -> str:
    """`size` bytes as a user would write it."""
    return f"{size // _MIB}MiB" if size % _MIB == 0 else f"{size // 1024}KiB"


def path_segment(text: str) -> str:
    """A path of one part, such as `/helm`, that no other protocol has."""
    if not _SEGMENT.fullmatch(text):
        raise ValueError("it must be one part of lower-case letters, digits and dashes after a slash, such as /helm")
    if text[1:] in _TAKEN:
        raise ValueError("another protocol has this path; choose one such as /helm")
    return text


def host_names(text: str) -> tuple[str, ...]:
    """Names of hosts, without ports."""
    names = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    if any(not _HOST_NAME.fullmatch(name) for name in names):
        raise ValueError("it must be host names without a port, with commas between them")
    return names
