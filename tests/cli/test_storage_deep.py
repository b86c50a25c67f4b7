"""`cnr storage check --deep`: what it prints, its exit codes, and the lists of this host."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.registry.conftest import APP, chart
from tests.registry.gc_world import HELM, KPM, LARGE, RELEASES

from cnr.cli.store_options import load, with_registry
from cnr.domain.names import Channel
from cnr.domain.version import Release
from cnr.registry.registry import Registry
from cnr.store.views_file import path_in

Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with two releases and a channel, and lists that are up to date."""

    async def fill(registry: Registry) -> None:
        for release in RELEASES:
            await registry.publisher.publish(APP, release, HELM, chart(release))
        await registry.publisher.publish(APP, RELEASES[0], KPM, LARGE)
        await registry.channels.add(APP, Channel("stable"), RELEASES[0])
        await registry.catalog.sync()

    with_registry(load({"database_url": str(tmp_path / "data")}), fill)
    return tmp_path / "data"


def a_file(folder: Path) -> Path:
    return next(path for path in (folder / "blobs").glob("??/*"))


def test_a_store_in_order(cnr: Run, folder: Path) -> None:
    said = cnr("storage", "check", "--deep", "--database-url", folder)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[-1] == "0 errors, 0 warnings, 0 things that nothing needs."
    found = cnr("storage", "check", "--deep", "--database-url", folder, "--output", "json").json
    assert (found["clean"], found["findings"], found["skipped"]) == (True, [], [])
    assert (found["records"]["tags"], found["files"]) == (3, 1)


def test_a_flipped_bit_in_a_file(cnr: Run, folder: Path) -> None:
    path = a_file(folder)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    said = cnr("storage", "check", "--deep", "--database-url", folder, "--jobs", "1")
    assert said.code == 7
    assert said.out.startswith("error [3] blobs/ns!app/sha256:")
    assert f"its bytes, {path.name}, do not hash to its digest" in said.out
    assert "error [8] contents/ns!app/" in said.out  # the same bytes, as a gzip of a tar
    assert "  to do: " in said.out
    found = cnr(*deep(folder), "--output", "json")
    assert found.code == 7
    assert (found.json["clean"], found.json["errors"], found.json["found"]) == (False, 2, {"3": 1, "8": 1})
    assert {each["severity"] for each in found.json["findings"]} == {"error"}
    assert all(each["remedy"] and each["means"] for each in found.json["findings"])


@pytest.mark.parametrize("what", ["blobs", "manifests", "contents", "tags"])
def test_what_is_forgotten_and_pushed_again_is_mended(cnr: Run, folder: Path, what: str) -> None:
    """As the check advises: a record of each kind is damaged, forgotten, and comes back with its release."""
    with closing(sqlite3.connect(folder / "records.sqlite")) as db:
        for (key,) in db.execute("SELECT key FROM records WHERE key >= ? AND key < ?", (f"{what}/", f"{what}0")):
            if what != "tags" or key.endswith("2.0.0"):
                db.execute("UPDATE records SET value = substr(value, 1, 9) WHERE key = ?", (key,))
        db.commit()
    found = cnr(*deep(folder), "--output", "json").json
    damaged = [each["where"] for each in found["findings"] if each["rule"] == 1 and each["where"].startswith(what)]
    assert damaged
    for key in damaged:
        said = cnr("storage", "forget", key, "--yes", "--database-url", folder)
        assert (said.code, said.out) == (0, f"{key} is forgotten.\n")
    assert cnr("storage", "forget", damaged[0], "--yes", "--database-url", folder).code == 1

    async def again(registry: Registry) -> None:
        for release in RELEASES:
            await registry.publisher.publish(APP, release, HELM, chart(release), force=True)
        await registry.publisher.publish(APP, RELEASES[0], KPM, LARGE, force=True)

    with_registry(load({"database_url": str(folder)}), again)
    after = cnr(*deep(folder))
    assert after.code == 0, after.out


def test_what_is_not_forgotten(cnr: Run, folder: Path) -> None:
    for words in (("meta/format", "--yes"), ("tags/ns!app/1.0.0",)):  # nobody says yes to the second
        said = cnr("storage", "forget", *words, "--database-url", folder)
        assert said.code != 0
    assert cnr(*deep(folder)).code == 0


def test_a_damaged_index_of_the_records(cnr: Run, folder: Path) -> None:
    """One letter of a key is another in SQLite's index: the record is there, and nobody finds it."""
    path = folder / "records.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = db.execute("SELECT rootpage FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'records'").fetchone()
        size = db.execute("PRAGMA page_size").fetchone()
    data = bytearray(path.read_bytes())
    at = data.index(b"tags/ns!app/1.0.0", (page[0] - 1) * size[0])
    data[at + 5] ^= 1
    path.write_bytes(data)
    said = cnr(*deep(folder))
    assert said.code == 7
    assert "error [1] the engine: it says of its files: " in said.out


def test_garbage_is_no_error(cnr: Run, folder: Path) -> None:
    (folder / "blobs" / "ab").mkdir(exist_ok=True)
    (folder / "blobs" / "ab" / ("ab" * 16)).write_bytes(b"left by a crash")
    said = cnr(*deep(folder))
    assert said.code == 0
    assert f"garbage [16] {'ab' * 16}: no record names these 15 bytes" in said.out
    assert said.out.splitlines()[-1] == "0 errors, 0 warnings, 1 things that nothing needs."


VIEWS_BROKEN = {
    "a row that is gone": "DELETE FROM releases WHERE release = '2.0.0'",
    "a row too many": "INSERT INTO package_formats VALUES ('helm', 'ns/ghost', 1)",
    "another row": "UPDATE channels SET live = '2.0.0'",
    "a member that counts as dead": "UPDATE members SET live = 0",
    "other text in the search index": "UPDATE about SET description = 'nonsense'",
    "another chart in index.yaml": "UPDATE charts SET entry = CAST('{}' AS BLOB) WHERE version = '1.0.0'",
    "a chart that is gone": "DELETE FROM charts WHERE version = '1.0.0'",
    "charts without a count": "DELETE FROM chart_places",
    "text of no package": "DELETE FROM packages",
    "another age": "UPDATE repos SET created_at = 1",
}


@pytest.mark.parametrize("sql", VIEWS_BROKEN.values(), ids=list(VIEWS_BROKEN))
def test_lists_that_are_wrong(cnr: Run, folder: Path, sql: str) -> None:
    with closing(sqlite3.connect(path_in(folder))) as db:
        db.execute(sql)
        db.commit()
    said = cnr(*deep(folder))
    assert said.code == 7, said.out
    assert f"error [11] {folder}: " in said.out
    assert "delete the file" in said.out


@pytest.mark.parametrize("damage", ["cut off", "no database", "a table is missing", "no index"])
def test_a_damaged_file_of_lists(cnr: Run, folder: Path, damage: str) -> None:
    path = path_in(folder)
    if damage == "cut off":
        path.write_bytes(path.read_bytes()[:20_000])
    elif damage == "no database":
        path.write_bytes(b"nothing of the kind" * 1000)
    else:
        sql = "DROP TABLE charts" if damage == "a table is missing" else "DELETE FROM about_data WHERE id > 10"
        with closing(sqlite3.connect(path)) as db:
            db.execute(sql)
            db.commit()
    before = path.read_bytes()
    said = cnr(*deep(folder))
    assert said.code == 7, said.out
    assert f"error [11] {folder}: the file is damaged" in said.out
    assert path.read_bytes() == before  # a server replaces it; a check says what it found
    path.unlink()
    said = cnr(*deep(folder))
    assert said.code == 0
    assert f"not checked: views: there are none in {folder}" in said.out


def test_lists_that_lag_behind_are_not_wrong(cnr: Run, folder: Path) -> None:
    async def more(registry: Registry) -> None:
        await registry.publisher.publish(APP, Release("3.0.0"), HELM, chart("3.0.0"))
        await registry.packages.delete(APP, RELEASES[1], "helm")

    with_registry(load({"database_url": str(folder)}), more)
    assert cnr(*deep(folder)).code == 0


def deep(folder: Path) -> tuple[object, ...]:
    return ("storage", "check", "--deep", "--database-url", folder)
