"""Every setting is documented, and as it is."""

import subprocess
import sys

from tests.docs.conftest import ROOT

from cnr.config import table

SCRIPT = ROOT / "scripts" / "settings_table.py"


def test_the_table_is_up_to_date() -> None:
    assert subprocess.run([sys.executable, SCRIPT, "--check"], timeout=60).returncode == 0, (
        "run scripts/settings_table.py"
    )


def test_every_variable_is_on_the_page() -> None:
    page = (ROOT / "docs" / "running.md").read_text()
    for row in table():
        assert all(f"`{name}`" in page for name in row.env), row.name
