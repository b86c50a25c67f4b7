"""Opening a store: where it may be, who may use it, what it must keep, and which format it has."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.faults.faulty import FaultyRecords, Plan
from tests.store.contract_blobs import chunks
from tests.store.steps import everything

from cnr.domain.store_url import StoreUrl
from cnr.store import keys
from cnr.store.base import ABSENT, Cursor, StoreRefused, Version
from cnr.store.open import Stores, open_store
from cnr.store.place import ALONE_US, Claim, Host, check_file_system, check_owner, file_system_of
from cnr.store.probe import StoreFormat, check_contract, check_format
from cnr.store.records import encode
from cnr.store.sqlite import SqliteRecords

HERE = Host("here", "m1", "b1")
OTHER = Host("there", "m2", "b2")
NOW = 1_800_000_000_000_000

MOUNTINFO = r"""
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:5 / /dev rw,nosuid - devtmpfs devtmpfs rw
30 21 0:40 / /data rw,relatime shared:9 master:2 - nfs4 server:/export rw,vers=4.2
31 30 254:1 / /data/local rw,relatime - xfs /dev/vdb rw
32 21 0:41 / /with\040space rw - fuse.sshfs host: rw
33 21 0:42 / /twice rw - ext4 /dev/vdc rw
34 21 0:43 / /twice rw - cifs //server/share rw
a line of no mount
"""


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/var/lib", "ext4"),
        ("/data", "nfs4"),
        ("/data/x", "nfs4"),
        ("/database", "ext4"),
        ("/data/local/x", "xfs"),
        ("/with space/x", "fuse.sshfs"),
        ("/twice", "cifs"),
    ],
)
def test_the_file_system_of_a_folder(folder: str, kind: str) -> None:
    assert file_system_of(folder, MOUNTINFO) == kind


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse", "fuse.sshfs", "fuseblk", "9p"])
def test_what_is_not_on_this_host_is_refused(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"21 1 254:0 / / rw - {kind} x rw\n")
    with pytest.raises(StoreRefused, match=kind.replace(".", r"\.")):
        check_file_system(tmp_path, mounts)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "zfs"])
def test_local_file_systems_are_taken(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"21 1 254:0 / / rw - {kind} x rw\n")
    check_file_system(tmp_path, mounts)
    check_file_system(tmp_path, tmp_path / "no such table")


def test_a_folder_of_another_user(tmp_path: Path) -> None:
    theirs = tmp_path
    if os.geteuid() == 0:
        os.chown(theirs, 12345, -1)
    else:
        theirs = Path("/")
    with pytest.raises(StoreRefused, match="belongs to user"):
        check_owner(theirs)
    ours = tmp_path / "ours"
    if os.geteuid() == 0:
        ours.mkdir()
        check_owner(ours)


def test_one_host_at_a_time(tmp_path: Path) -> None:
    Claim(tmp_path, OTHER, lambda: NOW).renew()
    Claim(tmp_path, OTHER, lambda: NOW + 1).renew()
    for later in (1, ALONE_US - 1, -5):
        with pytest.raises(StoreRefused, match="'there'"):
            Claim(tmp_path, HERE, lambda later=later: NOW + later).renew()  # type: ignore[misc]
    Claim(tmp_path, HERE, lambda: NOW + 1 + ALONE_US).renew()
    with pytest.raises(StoreRefused, match="'here'"):
        Claim(tmp_path, OTHER, lambda: NOW + 2 + ALONE_US).renew()
    assert os.listdir(tmp_path) == ["host.json"]


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (HERE, HERE, True),
        (HERE, Host("here", "m1", "b9"), True),
        (HERE, Host("container", "m1", "b1"), True),
        (HERE, Host("container", "", "b1"), True),
        (HERE, Host("clone", "m1", "b9"), False),
        (Host("x", "", ""), Host("x", "", ""), False),
    ],
    ids=["itself", "started anew", "a container", "a container without id", "a clone", "nothing known"],
)
def test_which_hosts_are_the_same(one: Host, two: Host, same: bool) -> None:
    assert one.is_same(two) == two.is_same(one) == same


def test_a_claim_is_renewed_in_place(tmp_path: Path) -> None:
    """A full disk has no room for another file, and who cannot renew loses the folder to another host."""
    Claim(tmp_path, HERE, lambda: NOW).renew()
    before = (tmp_path / "host.json").stat()
    Claim(tmp_path, HERE, lambda: NOW + 1).renew()
    after = (tmp_path / "host.json").stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
    assert json.loads((tmp_path / "host.json").read_text())["renewed_at"] == NOW + 1


@pytest.mark.parametrize(
    "left", ["", "{", "[]", "{}", '{"name": "x", "machine": "m", "boot": "b", "renewed_at": null}', "\xff"]
)
def test_what_a_power_loss_left_of_a_claim(tmp_path: Path, left: str) -> None:
    (tmp_path / "host.json").write_text(left, encoding="latin-1")
    Claim(tmp_path, HERE, lambda: NOW).renew()
    assert json.loads((tmp_path / "host.json").read_text())["renewed_at"] == NOW


@pytest.fixture
async def stores(tmp_path: Path, pool: ThreadPoolExecutor) -> AsyncIterator[Stores]:
    stores = await open_store(tmp_path / "a" / "store", pool=pool)
    yield stores
    await stores.close()


async def test_a_new_store(stores: Stores, tmp_path: Path) -> None:
    assert [record.key for record in await everything(stores.records)] == [keys.META_FORMAT]
    folder = tmp_path / "a" / "store"
    assert {"records.sqlite", "records.lock", "blobs", "host.json"} <= set(os.listdir(folder))
    assert os.stat(folder).st_mode & 0o027 == 0


async def test_several_processes_of_one_host_and_one_after_the_other(
    stores: Stores, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    version = await stores.records.put("tags/a/b", b"1", expect=ABSENT)
    for address in (tmp_path / "a" / "store", f"{tmp_path}/a/store", f"file://{tmp_path}/a/store"):
        another = await open_store(address, pool=pool)
        assert (await another.records.get("tags/a/b")).version == version
        await another.close()


async def test_another_host(stores: Stores, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with pytest.raises(StoreRefused, match="in use by host"):
        await open_store(tmp_path / "a" / "store", pool=pool, host=OTHER)


async def test_the_claim_is_renewed_and_an_intruder_is_told_of(
    tmp_path: Path, pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    ticks = itertools.count(NOW)
    stores = await open_store(tmp_path, pool=pool, host=HERE, clock=lambda: next(ticks), renew_s=0.01)
    claim = tmp_path / "host.json"
    first = claim.read_text()
    while claim.read_text() == first:
        await asyncio.sleep(0.01)
    Claim(tmp_path, OTHER, lambda: NOW + ALONE_US + 100).renew()
    while "in use by host 'there'" not in caplog.text:
        await asyncio.sleep(0.01)
    await stores.close()


async def test_in_memory(pool: ThreadPoolExecutor) -> None:
    stores = await open_store(":memory:", pool=pool)
    assert len(await everything(stores.records)) == 1
    await stores.close()


async def test_a_secret_in_an_address_is_not_shown(pool: ThreadPoolExecutor) -> None:
    for address in ("floppy://user:secret@host/0", "redis://user:secret@127.0.0.1:1/x", "redis://user:secret@h:port/0"):
        with pytest.raises(StoreRefused) as caught:
            await open_store(address, pool=pool)
        assert address.partition("user")[0] in str(caught.value)
        assert "secret" not in str(caught.value)


async def test_a_driver_whose_library_is_missing(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("redis.", "cnr.store.redis"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(StoreRefused, match=r"pip install cnr-server\[redis\]"):
        await open_store("redis://127.0.0.1:1", pool=pool)


async def test_files_beside_the_records_of_another_folder(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    blobs = StoreUrl.of_folder(tmp_path / "files")
    stores = await open_store(tmp_path / "records", pool=pool, blobs=blobs, local=tmp_path / "views")
    await stores.blobs.put("ab" * 16, chunks(b"x"))
    assert (tmp_path / "files" / "blobs" / "ab" / ("ab" * 16)).is_file()
    claimed = {name for name in os.listdir(tmp_path) if "host.json" in os.listdir(tmp_path / name)}
    assert claimed == {"files", "records"}
    assert (tmp_path / "views").is_dir()
    await stores.close()


async def test_what_is_no_folder(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "file", tmp_path / "file" / "below", "/proc/cnr"):
        with pytest.raises(StoreRefused):
            await open_store(place, pool=pool)


async def test_a_failed_open_leaves_nothing_running(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    stores = await open_store(tmp_path, pool=pool)
    found = await stores.records.get(keys.META_FORMAT)
    newer = encode(StoreFormat(read_format=1, write_format=2))
    await stores.records.put(keys.META_FORMAT, newer, expect=found.version)
    await stores.close()
    before = len(asyncio.all_tasks())
    with pytest.raises(StoreRefused, match="format 2"):
        await open_store(tmp_path, pool=pool)
    assert len(asyncio.all_tasks()) == before


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x01garbage", b"\x01\x80"])
async def test_a_format_that_cannot_be_read(value: bytes) -> None:
    store = SqliteRecords.in_memory(lambda: "e" * 32)
    await store.put(keys.META_FORMAT, value, expect=ABSENT)
    with pytest.raises(StoreRefused):
        await check_format(store, lambda: "1" * 32)


class Unsafe(FaultyRecords):
    """A store that does not compare before it swaps."""

    async def put(self, key: str, value: bytes, **options: Any) -> Version:
        there = [record for record in await self.inner.scan(key) if record.key == key]
        return await self.inner.put(key, value, expect=there[0].version if there else ABSENT)


class Silent(FaultyRecords):
    """A store whose feed forgets."""

    async def changes(self, since: Cursor, *, timeout_s: float = 0) -> tuple[list[str], Cursor]:
        return [], await self.inner.head()


class Still(FaultyRecords):
    """A store whose head does not move."""

    async def head(self) -> Cursor:
        return Cursor("0.0")

    async def changes(self, since: Cursor, *, timeout_s: float = 0) -> tuple[list[str], Cursor]:
        return [], since


@pytest.mark.parametrize("driver", [Unsafe, Silent, Still])
async def test_a_store_that_does_not_keep_the_contract_is_refused(driver: type[FaultyRecords]) -> None:
    inner = SqliteRecords.in_memory(lambda: "e" * 32)
    with pytest.raises(StoreRefused, match=driver.__name__):
        await check_contract(driver(inner, Plan()), lambda: "1" * 32)
    await check_contract(inner, lambda: "2" * 32)
