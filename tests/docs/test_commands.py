"""Every command of the README and of docs/ is run, and prints what the page says."""

import re
from pathlib import Path

import pytest
from tests.docs.conftest import ROOT, Visitor
from tests.docs.console import Command, PageError, commands, matches

README = ROOT / "README.md"
PAGES = sorted(ROOT.glob("docs/**/*.md"))
RUNNABLE = re.compile(r"^```(?:console|sh)$", re.MULTILINE)
SERVER_RUNS = "<!-- server: running -->"
"""In a page whose reader has a server on port 5000 already."""
NEEDS = re.compile(r"^<!-- needs: (?P<programs>[a-z0-9 ]+) -->$", re.MULTILINE)
"""Programs that a page's reader has besides what every page takes for granted."""
RUN_SERVER = Command("./run-server", "", 0)


def has_commands(page: Path) -> bool:
    return RUNNABLE.search(page.read_text()) is not None


def needed(text: str) -> list[str]:
    """The programs that a page says it needs."""
    found = NEEDS.search(text)
    return found["programs"].split() if found else []


def test_the_readme(newcomer: Visitor) -> None:
    with newcomer.shell(newcomer.folder) as shell:
        for command in commands(README.read_text()):
            shell.run(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_can_be_read(page: Path) -> None:
    list(commands(page.read_text()))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if RUNNABLE.search(page.read_text())], ids=lambda page: page.stem
)
def test_a_page(visitor: Visitor, page: Path) -> None:
    text = page.read_text()
    wanted = list(commands(text))
    missing = visitor.lacks(needed(text))
    if missing:
        pytest.skip(f"{', '.join(missing)} are not installed: see scripts/programs.sh")
    with visitor.shell(visitor.clone()) as shell:
        if SERVER_RUNS in text:
            shell.run(RUN_SERVER)
        for command in wanted:
            shell.run(command)


def test_what_a_page_needs() -> None:
    assert needed("# A page\n<!-- server: running -->\n<!-- needs: helm oras -->\n") == ["helm", "oras"]
    assert needed("# A page\n") == []


def test_what_a_block_holds() -> None:
    page = "Do:\n\n```console\n$ a 'x\n> y'\n1\n\n2\n$ b\n```\n\n```sh\nc\nd\n```\n\n```json\n{}\n```\n"
    assert list(commands(page)) == [Command("a 'x\ny'", "1\n\n2", 3), Command("b", "", 3), Command("c\nd\n", "", 12)]


def test_a_marked_block_is_not_run() -> None:
    assert list(commands("<!-- no-run: needs root -->\n```console\n$ apt-get install nginx\n```\n")) == []


@pytest.mark.parametrize("page", ["```\nls\n```\n", "```bash\nls\n```\n", "```console\nls\n```\n"])
def test_a_block_says_what_it_is(page: str) -> None:
    with pytest.raises(PageError):
        list(commands(page))


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a\nb", "a \nb\n\n", True),
        ("a\nb", "a\nc\n", False),
        ("a\nb", "a\n", False),
        ("a", "a\nb\n", False),
        ("a ... c", "a bb c", True),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a\n...\nd", "a\nb\nc", False),
        ("at 2016-11-16T17:13:07.806579.", "at 2026-01-02T03:04:05.000001.", True),
        ("at 2016-11-16T17:13:07.806579.", "at noon.", False),
        ("(.*)", "x", False),
        ("NAME  SIZE\n  x", "NAME     SIZE\n  x", True),
        ("NAME  SIZE\n  x", "NAME  SIZE\nx", False),
    ],
)
def test_what_matches(expected: str, printed: str, same: bool) -> None:
    assert matches(expected, printed) is same


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("./run-server", True),
        ("cd cnr-server && ./run-server", True),
        ("PORT=8080 ./run-server.sh --workers 1", True),
        ("gunicorn cnr.api.wsgi:app -b :5000", True),
        ("cnr serve --help", False),
        ("STORAGE=no ./run-server || echo refused", False),
        ("cnr pull localhost:5000/a/b", False),
        ("pip install gunicorn", False),
    ],
)
def test_which_commands_start_a_server(text: str, server: bool) -> None:
    assert Command(text, "", 1).starts_a_server is server


def test_a_command_that_fails_or_prints_something_else_is_found(newcomer: Visitor) -> None:
    with newcomer.shell(newcomer.folder) as shell:
        shell.run(Command("cd / && export GREETING=hello", "", 1))
        assert shell.run(Command('echo "$GREETING $PWD"', "hello /", 2)) == "hello /\n"
        with pytest.raises(PageError, match="and not"):
            shell.run(Command("echo 1", "2", 3))
        with pytest.raises(PageError, match="status 1"):
            shell.run(Command("false | cat", "", 4))
