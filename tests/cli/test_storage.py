"""`cnr storage gc` on a folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.registry.conftest import APP, chart
from tests.registry.gc_world import HELM, RELEASES

from cnr.cli.store_options import load, with_registry
from cnr.registry.registry import Registry

Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store without grace in which a release was deleted, and another was not."""

    async def fill(registry: Registry) -> None:
        for release in RELEASES:
            await registry.publisher.publish(APP, release, HELM, chart(release))
        await registry.packages.delete(APP, RELEASES[0], "helm")

    with_registry(load({"database_url": str(tmp_path / "data")}), fill)
    return tmp_path / "data"


def test_a_dry_run_and_a_run(cnr: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNR_GC_GRACE", "0")
    gc = ("storage", "gc", "--database-url", folder)
    said = cnr(*gc, "--dry-run")
    assert said.code == 0
    heading, row, total = said.out.splitlines()
    kinds = ["TAGS", "MANIFESTS", "REFERRERS", "CONTENTS", "BLOBS", "UPLOADS"]
    assert heading.split() == ["REPOSITORY", *kinds, "BYTES"]
    assert row.split()[:6] == ["ns/app", "1", "1", "0", "1", "2"]
    assert total.startswith("Would remove 5 records and 0 files that no record names: ")
    done = cnr(*gc, "--output", "json").json
    assert (done["dry_run"], done["records"]) == (False, 5)
    assert done["repositories"]["ns/app"]["blobs"] == 2
    assert json.loads(cnr(*gc, "--output", "json").out)["records"] == 0


def test_nothing_goes_before_a_day(cnr: Run, folder: Path) -> None:
    assert cnr("storage", "gc", "--database-url", folder).out.startswith("Removed 0 records")


def test_a_grace_that_servers_do_not_have_is_refused(cnr: Run, folder: Path) -> None:
    refused = cnr("storage", "gc", "--database-url", folder, "--grace", "60")
    assert (refused.code, refused.out) == (2, "")
    assert "count on 3,600 seconds" in refused.err
    assert cnr("storage", "gc", "--database-url", folder, "--grace", "3600").code == 0
