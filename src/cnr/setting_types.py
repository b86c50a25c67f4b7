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

_MIB: Final = 1024 * 1024
STORES: Final = ("filesystem", "redis", "etcd")
_OLD_STORE_CLASS: Final = re.compile(r"(?:cnr|appr)\.models\.kv\.(filesystem|redis|etcd)\.db:\w+", re.ASCII)


def storage(text: str) -> str:
    """A store's name, from the name, its URL, or the old server's class path."""
    old = _OLD_STORE_CLASS.fullmatch(text)
    name = (old[1] if old else text.partition("://")[0]).lower()
    if name not in STORES:
        raise ValueError("there is no such storage; use filesystem")
    if name != "filesystem":
        raise ValueError("this version stores on the filesystem only; use filesystem")
    if "://" in text:
        raise ValueError("the filesystem has no URL; use filesystem, and DATABASE_URL for the folder")
    return name


def unset(text: str) -> str:
    """Nothing: a setting that has no value yet."""
    if text:
        raise ValueError("this version keeps packages where STORAGE says; leave it unset")
    return text


def folder(text: str) -> Path:
    """An absolute path; `~` is the home folder."""
    if "://" in text:
        raise ValueError("it must be a folder, not a URL")
    if "\0" in text:
        raise ValueError("it must be a folder")
    return Path(os.path.abspath(Path(text).expanduser()))


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


def size(text: str) -> int:
    """Bytes, from a number with or without a unit; units are powers of 1024."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError("use a size such as 1048576, 512KiB, 64MiB or 2GiB")
    return int(found[1]) << (" kmgt".index(found[2].lower() or " ") * 10)


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
