"""How the files of an archive lie: under one top folder or at the root, and whether helm could load them."""

import re
from dataclasses import dataclass

from cnr.domain.limits import MIB
from cnr.domain.tar_reader import Member, TarReader

FILE_LIMIT = MIB
"""Bytes of a describing file; a larger one is not read."""

NAME_BYTES = 255
"""Of a file's name, on any system in use."""
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", *(f"{kind}{number}" for kind in ("COM", "LPT") for number in range(10))}
)
_DRIVE = re.compile(r"[A-Za-z]:")
_HELM_KINDS = frozenset("01234567")
_REGULAR_MODES = frozenset({0, 0o100000})


@dataclass(frozen=True, slots=True)
class Shape:
    """`root` is the top folder that holds everything, "" where files lie at the root of the tar.

    `refusal` says why helm would not load these members under any root (None: it would, as far as names and types
    go). `loadable` is whether helm can load the archive as it is, with one folder above each file; if not,
    helm_shape.py can make one that it can, unless there is a `refusal`.
    Source: observed from helm's archive loader, which drops the first part of every name.
    """

    root: str
    loadable: bool
    refusal: str | None


@dataclass(slots=True)
class _Found:
    """A describing file at one place: how many members claim its name, and the first regular one's data."""

    claims: int = 0
    data: bytes | None = None
    unread: str | None = None


_Place = dict[str, _Found]
"""The describing files at the root, or in the one top folder."""


def inner_parts(name: str) -> tuple[str, ...]:
    """The parts of a member's name, `.` and empty ones dropped; a Windows name is cut at its backslashes."""
    if "\\" in name and "/" not in name:
        name = name.replace("\\", "/")
    return tuple(part for part in name.split("/") if part not in ("", "."))


def is_file_name(text: str) -> bool:
    """Whether `text` names a file in a folder, and nothing else, on every system."""
    plain = text.isprintable() and not text.startswith(" ") and not text.endswith((" ", "."))
    if not plain or any(char in '/\\:*?"<>|' for char in text) or text.partition(".")[0].upper() in _DEVICES:
        return False
    return 0 < len(text.encode("utf-8", "surrogatepass")) <= NAME_BYTES


class Survey:
    """Looks at members as they pass. Keeps no names, so an archive of any size costs the same memory."""

    def __init__(self, wanted: tuple[str, ...]) -> None:
        self._wanted = wanted
        self._top: str | None = None
        self._several_tops = False
        self._prefixed = True
        self._refusal: str | None = None
        self._at_root: _Place = {}
        self._in_top: _Place = {}
        self.members = 0

    def see(self, member: Member, reader: TarReader) -> None:
        """Take note of a member, and read it if it is a describing file. Raises what `reader` raises."""
        self.members += 1
        parts = inner_parts(member.name)
        self._refusal = self._refusal or _refusal(member, parts)
        if member.is_directory or not parts:
            return
        self._place(member, parts)
        place = self._at_root if len(parts) == 1 else self._in_top if parts[:-1] == (self._top,) else None
        if place is not None and parts[-1] in self._wanted:
            _claim(place, parts[-1], member, reader)

    def _place(self, member: Member, parts: tuple[str, ...]) -> None:
        if self._top is None:
            self._top = parts[0]
        if len(parts) == 1 or parts[0] != self._top:
            self._several_tops = True
        name = member.name.replace("\\", "/")
        as_helm_wants = name.startswith(f"{self._top}/") and not name.startswith(f"{self._top}//")
        self._prefixed = self._prefixed and as_helm_wants

    def result(self, *, lone_zero_block: bool) -> tuple[Shape, dict[str, bytes]]:
        """The archive's shape, and the describing files at its root in the wanted order."""
        one_folder = self._top is not None and not self._several_tops
        place = self._in_top if one_folder else self._at_root
        refusal = self._refusal or _ambiguity(place)
        if lone_zero_block:
            refusal = refusal or "a single zero block stands before more of the tar"
        shape = Shape(
            root=self._top if one_folder and self._top else "",
            loadable=one_folder and self._prefixed and refusal is None,
            refusal=refusal,
        )
        found = ((name, place[name].data) for name in self._wanted if name in place)
        return shape, {name: data for name, data in found if data is not None}


def _claim(place: _Place, name: str, member: Member, reader: TarReader) -> None:
    found = place.setdefault(name, _Found())
    found.claims += 1
    if found.data is not None or not member.is_file:
        return
    if member.size > FILE_LIMIT:
        found.unread = f"{name} is larger than {FILE_LIMIT:,} bytes"
    else:
        found.data = b"".join(reader.data())


def _ambiguity(place: _Place) -> str | None:
    """Two members of one name: helm lays the second over the first, others take one of them."""
    for name, found in place.items():
        if found.claims > 1:
            return f"{name} is there {found.claims} times"
        if found.unread:
            return found.unread
    return None


def _refusal(member: Member, parts: tuple[str, ...]) -> str | None:
    """Why helm would not load an archive with this member, or would load something else than it seems."""
    name = member.name
    if not parts and not member.is_directory:
        return "a member has no name"
    if ".." in parts:
        return "a member's name has '..'"
    if name.startswith(("/", "\\")) or any(_DRIVE.fullmatch(part) for part in parts[:2]):
        return "a member's name is absolute"
    if "\0" in name or ("\\" in name and "/" in name):
        return "a member's name mixes separators or has a NUL"
    if member.sparse or member.kind not in _HELM_KINDS:
        return "a member is sparse or of an unknown type"
    if not member.is_directory and (name.endswith("/") or (member.mode or 0) & 0o170000 not in _REGULAR_MODES):
        return "a member says it is a file and a folder at once"
    return None
