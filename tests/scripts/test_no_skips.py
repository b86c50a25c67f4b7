"""The rule of conftest.py, in real runs of pytest: a skip fails with CI=true and only there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPS = {
    "a test": "import pytest\n\ndef test_it():\n    pytest.skip('no redis here')\n",
    "a mark": "import pytest\n\n@pytest.mark.skip(reason='no redis here')\ndef test_it():\n    pass\n",
    "a module": "import pytest\n\npytest.skip('no redis here', allow_module_level=True)\n",
}


def run(folder: Path, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", folder, "-c", os.devnull, folder],
        env={**os.environ, "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("where", SKIPS)
def test_a_skip_fails_in_ci(tmp_path: Path, where: str) -> None:
    (tmp_path / "test_it.py").write_text(SKIPS[where])
    result = run(tmp_path, "true")
    assert result.returncode != 0
    assert "no redis here" in result.stdout


@pytest.mark.parametrize("where", SKIPS)
def test_a_skip_is_told_elsewhere(tmp_path: Path, where: str) -> None:
    (tmp_path / "test_it.py").write_text(SKIPS[where])
    assert "1 skipped" in run(tmp_path, "").stdout


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n@pytest.mark.xfail(strict=True)\ndef test_it():\n    assert False\n"
    )
    assert run(tmp_path, "true").returncode == 0
