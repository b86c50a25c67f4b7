"""run-server: which Python it takes, where it works from. (What it serves is tested in tests/smoke and tests/docs.)"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "env", "basename", "cat", "cksum", "dirname", "readlink", "flock")
FAKE_OLD_PYTHON = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "check out"
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("run-server", "run-server.sh", "run-tests", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH with what a shell needs and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (folder / tool).symlink_to(found)
    return folder


def start(script: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script], env=environ, cwd=os.sep, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
    )


def fake(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def pretend_installed(checkout: Path) -> None:
    """Leave .venv as after a first start, with programs that tell what they were called with."""
    fake(checkout / ".venv/bin/python", '#!/bin/sh\necho "python $*"\n')
    fake(checkout / ".venv/bin/cnr", '#!/bin/sh\necho "cnr $* DATABASE_URL=$DATABASE_URL"\n')
    note = """
        source scripts/venv.sh
        for kind in server test; do pins_of $kind >.venv/installed-$kind; done
        checkout_of >.venv/installed-checkout
    """
    subprocess.run(["bash", "-c", note], cwd=checkout, check=True)


def test_without_python_there_is_one_clear_sentence(checkout: Path, bare_path: Path) -> None:
    result = start(checkout / "run-server", PATH=str(bare_path))
    assert result.returncode == 1
    assert result.stderr.startswith("run-server: needs Python 3.11 or newer, and found none")
    assert len(result.stderr.splitlines()) == 1


def test_an_old_python_is_not_taken(checkout: Path, bare_path: Path) -> None:
    fake(bare_path / "python3", FAKE_OLD_PYTHON)
    assert "needs Python 3.11 or newer" in start(checkout / "run-server", PATH=str(bare_path)).stderr


def test_a_named_python_must_be_new_enough(checkout: Path, bare_path: Path) -> None:
    fake(bare_path / "mine", FAKE_OLD_PYTHON)
    result = start(checkout / "run-server", PATH=str(bare_path), PYTHON=str(bare_path / "mine"))
    assert "is not Python 3.11 or newer" in result.stderr


@pytest.mark.parametrize("name", ["run-server", "run-server.sh"])
def test_a_second_start_goes_straight_to_the_server(checkout: Path, bare_path: Path, name: str) -> None:
    pretend_installed(checkout)
    result = start(checkout / name, PATH=str(bare_path))
    assert result.stdout == f"cnr serve DATABASE_URL={checkout}/data\n"
    assert result.stderr == ""


def test_a_given_folder_is_kept(checkout: Path, bare_path: Path) -> None:
    pretend_installed(checkout)
    result = start(checkout / "run-server", PATH=str(bare_path), DATABASE_URL="/srv/packages")
    assert "DATABASE_URL=/srv/packages" in result.stdout


def test_it_works_through_a_link(checkout: Path, bare_path: Path, tmp_path: Path) -> None:
    pretend_installed(checkout)
    (tmp_path / "registry").symlink_to(checkout / "run-server")
    assert "cnr serve" in start(tmp_path / "registry", PATH=str(bare_path)).stdout


@pytest.mark.parametrize("changed", ["requirements/server.txt", "pyproject.toml"])
def test_changed_requirements_are_installed(checkout: Path, bare_path: Path, changed: str) -> None:
    pretend_installed(checkout)
    (checkout / changed).write_text((checkout / changed).read_text() + "\n")
    result = start(checkout / "run-server", PATH=str(bare_path))
    assert "python -m pip install" in result.stdout
    assert "--require-hashes" in result.stdout
    assert "python -m pip install" not in start(checkout / "run-server", PATH=str(bare_path)).stdout


def test_a_venv_of_our_own_is_made_anew_and_another_is_kept(checkout: Path, bare_path: Path) -> None:
    pretend_installed(checkout)
    fake(bare_path / "python3", '#!/bin/sh\necho "found $*"\n')
    with (checkout / "requirements/server.txt").open("a") as pins:
        pins.write("\n")
    shutil.copytree(checkout, other := checkout.with_name("other"))
    (checkout / ".venv/made-here").touch()
    assert "found -m venv --clear" in start(checkout / "run-server", PATH=str(bare_path)).stdout
    assert "found" not in start(other / "run-server", PATH=str(bare_path)).stdout


def test_a_moved_checkout_is_installed_anew(checkout: Path, bare_path: Path, tmp_path: Path) -> None:
    pretend_installed(checkout)
    moved = checkout.rename(tmp_path / "moved")
    assert "python -m pip install" in start(moved / "run-server", PATH=str(bare_path)).stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "python -m pytest"),
        (["tests/http", "-k", "range"], "python -m pytest tests/http -k range"),
        (["--smoke"], "python -m pytest tests/smoke"),
        (["--long", "tests/store"], "python -m pytest --timeout 36000 tests/store"),
    ],
)
def test_run_tests_passes_on_its_arguments(checkout: Path, arguments: list[str], expected: str) -> None:
    pretend_installed(checkout)
    environ = {name: value for name, value in os.environ.items() if name != "CI"}
    result = subprocess.run(
        [checkout / "run-tests", *arguments], env=environ, capture_output=True, text=True, timeout=60
    )
    assert result.stdout == expected + "\n"
