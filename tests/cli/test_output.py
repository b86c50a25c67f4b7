"""What reaches a terminal: printable text only, tables that cut nothing, bars only where somebody watches."""

import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cnr.cli.output import printable, table

Run = Callable[..., Any]


@given(st.text())
def test_everything_becomes_printable(text: str) -> None:
    assert printable(text).isprintable()


@given(st.text().filter(str.isprintable))
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_surrogates_and_controls_are_escaped() -> None:
    assert printable("a\x1b\x9b\u202e\udc80\n") == "a\\x1b\\x9b\\u202e\\udc80\\n"


def test_a_table_is_as_wide_as_its_cells() -> None:
    assert table(("A", "B"), [("1", "x" * 300), ("222", "")]).splitlines() == ["A    B", "1    " + "x" * 300, "222"]


def on_a_terminal(*words: str, cwd: Path) -> str:
    """What the command writes to a terminal of 80 columns."""
    here, there = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    command = [sys.executable, "-m", "cnr.cli.main", *words]
    with subprocess.Popen(command, cwd=cwd, stdin=there, stdout=there, stderr=there, env=environment) as process:
        os.close(there)
        shown = b""
        while select.select([here], [], [], 60)[0]:
            try:
                shown += os.read(here, 65536)
            except OSError:
                break
    os.close(here)
    assert process.returncode == 0, shown
    return shown.decode()


def test_bars_for_large_packages_on_a_terminal_only(cnr: Run, home: str, tmp_path: Path) -> None:
    for name, size in (("large", 2 * 1024 * 1024), ("small", 1000)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "noise").write_bytes(os.urandom(size))
        package = f"{home.partition('/')[2]}/{name}"
        shown = on_a_terminal("push", str(folder), f"{home}/{name}@1.0.0", "-t", "kubernetes", cwd=tmp_path)
        assert (f"push {package} " in shown) is (name == "large")
        shown = on_a_terminal("pull", f"{home}/{name}", cwd=tmp_path)
        assert (f"pull {package} " in shown) is (name == "large")
    assert cnr("pull", f"{home}/large", "--force").err == ""


def test_a_file_on_a_terminal_is_made_printable(cnr: Run, home: str, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "notes").write_text("a\tb\n\x1b[31mred\n")
    assert cnr("push", tmp_path / "package", f"{home}/app@1.0.0", "-t", "kubernetes").code == 0
    shown = on_a_terminal("inspect", f"{home}/app", "-f", "notes", cwd=tmp_path)
    assert "a\tb\r\n\\x1b[31mred" in shown
    assert cnr("inspect", f"{home}/app", "-f", "notes").out == "a\tb\n\x1b[31mred\n"
