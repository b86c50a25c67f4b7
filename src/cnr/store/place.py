"""Whether a folder can be a store: on a disk of this host, used by this host alone, by the right user."""

import json
import os
import re
import secrets
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cnr.store.base import StoreRefused

ALONE_US: Final = 60_000_000
"""How long another host that wrote its name into a folder is believed to be there."""
RENEW_S: Final = 20.0
_REMOTE: Final = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "afs", "ceph", "lustre", "ncpfs", "fuse", "fuseblk")
)
"""File systems whose locks or shared memory do not hold between processes or hosts, as mountinfo names them."""
_MOUNTS: Final = Path("/proc/self/mountinfo")


def file_system_of(folder: str, mountinfo: str) -> str:
    """The type of the file system that holds an absolute, resolved folder; "" where the table does not say.

    Source: proc(5), /proc/pid/mountinfo.
    """
    best, found = -1, ""
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if "-" not in fields[6:]:
            continue
        mount = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        # a later line covers an earlier one of the same place
        if (folder == mount or folder.startswith(mount.rstrip("/") + "/")) and len(mount) >= best:
            best, found = len(mount), fields[fields.index("-", 6) + 1]
    return found


def file_system(folder: Path, mounts: Path = _MOUNTS) -> str:
    """The type of the file system that holds an existing folder; "" where nothing tells, outside Linux."""
    try:
        mountinfo = mounts.read_text(errors="surrogateescape")
    except OSError:
        return ""
    return file_system_of(str(folder.resolve()), mountinfo)


def check_file_system(folder: Path, mounts: Path = _MOUNTS) -> None:
    """Raises StoreRefused for a folder on a network file system or in FUSE."""
    kind = file_system(folder, mounts)
    if kind in _REMOTE or kind.startswith("fuse."):
        raise StoreRefused(
            f"{folder} is on a {kind} file system, which does not keep locks and shared memory as a store needs them; "
            "use a folder on a local disk"
        )


def check_owner(folder: Path) -> None:
    """Raises StoreRefused for a folder of another user: files made in it would shut its server out."""
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise StoreRefused(f"{folder} belongs to user {owner}, and this is user {os.geteuid()}; run this as its owner")


@dataclass(frozen=True, slots=True)
class Host:
    """A running kernel: `boot` is new with each start of it, `machine` stays; processes in containers share both."""

    name: str
    machine: str
    boot: str

    def is_same(self, other: "Host") -> bool:
        """Whether both are this host, perhaps started anew in between."""
        if self.boot and self.boot == other.boot:
            return True
        return bool(self.machine) and (self.machine, self.name) == (other.machine, other.name)


def this_host() -> Host:
    """The host that this process runs on."""
    return Host(socket.gethostname(), _line("/etc/machine-id"), _line("/proc/sys/kernel/random/boot_id"))


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


class Claim:
    """`host.json` of a folder: which host uses it, and when it said so last. `clock` gives microseconds UTC."""

    def __init__(self, folder: Path, host: Host, clock: Callable[[], int]) -> None:
        self._path = folder / "host.json"
        self._host = host
        self._clock = clock

    def renew(self) -> None:
        """Say that this host uses the folder. Raises StoreRefused while another host does, OSError."""
        other, renewed_at = self._read()
        age = self._clock() - renewed_at
        if other is not None and not other.is_same(self._host) and age < ALONE_US:
            raise StoreRefused(
                f"{self._path.parent} is in use by host {other.name!r}; one host at a time, "
                f"{ALONE_US // 1_000_000} s apart (remove {self._path.name} if that host is gone)"
            )
        claim = json.dumps({**asdict(self._host), "renewed_at": self._clock()}).encode()
        if other == self._host and self._path.stat().st_size == len(claim):
            self._overwrite(claim)
        else:
            self._replace(claim)

    def _overwrite(self, claim: bytes) -> None:
        """In place: a full disk has no room for another file, and a claim that is not renewed is lost."""
        with self._path.open("r+b", buffering=0) as file:
            file.write(claim)

    def _replace(self, claim: bytes) -> None:
        draft = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            with open(handle, "wb") as file:
                file.write(claim)
            draft.rename(self._path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise

    def _read(self) -> tuple[Host | None, int]:
        try:
            found = json.loads(self._path.read_bytes())
            return Host(str(found["name"]), str(found["machine"]), str(found["boot"])), int(found["renewed_at"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None, 0  # none, or what a power loss left of it
