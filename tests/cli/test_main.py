"""The command as a whole: its table of verbs, help, completion, and what it must not import."""

import ast
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import pytest

import cnr.cli
from cnr import __version__
from cnr.cli.main import ALIASES, VERBS

Run = Callable[..., Any]
CLIENT_VERBS = (
    *("push", "pull", "show", "list", "search", "channel", "delete", "yank", "inspect", "version", "completion"),
    *("copy", "tag", "manifest", "referrers", "login", "logout"),
)


ACCOUNT_VERBS = ("user", "group", "grant", "token", "audit")


def test_every_verb_of_the_issue_is_in_the_table() -> None:
    assert set(VERBS) == {*CLIENT_VERBS, "serve", "import", "export", "storage", "namespace", *ACCOUNT_VERBS}
    assert set(ALIASES.values()) <= set(VERBS)


@pytest.mark.parametrize("verb", [verb for verb, (module, _) in VERBS.items() if find_spec(f"cnr.cli.{module}")])
def test_every_verb_has_help(cnr: Run, verb: str) -> None:
    command = import_module(f"cnr.cli.{VERBS[verb][0]}").command
    assert isinstance(command, click.Command)
    shown = cnr(verb, "--help")
    assert shown.code == 0
    assert shown.out.startswith(f"Usage: cnr {verb} ")


def test_help_and_version(cnr: Run) -> None:
    for words in (["--help"], ["-h"]):
        shown = cnr(*words)
        assert shown.code == 0
        assert all(f"\n  {verb} " in shown.out for verb in CLIENT_VERBS)
    assert cnr("--version").out == f"cnr, version {__version__}\n"


@pytest.mark.parametrize(
    "words", [["fly"], ["push"], ["push", "a", "b", "c"], ["list", "h", "--output", "xml"], ["show", "h/a/b", "-x"]]
)
def test_wrong_usage_is_one_sentence_and_code_2(cnr: Run, words: list[str]) -> None:
    refused = cnr(*words)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("cnr: ")
    assert refused.err.endswith("--help)\n")
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize(("shell", "words"), [("bash", "complete -o"), ("zsh", "#compdef cnr"), ("fish", "complete ")])
def test_completion_scripts(cnr: Run, shell: str, words: str) -> None:
    script = cnr("completion", shell)
    assert script.code == 0
    assert words in script.out
    assert "_CNR_COMPLETE" in script.out


def completed(line: str) -> set[str]:
    """What bash would offer behind `line`."""
    words = line.split(" ")
    environment = {"_CNR_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "cnr.cli.main"], env=environment, capture_output=True, text=True, check=True
    )
    return {item.partition(",")[2] for item in done.stdout.splitlines()}


def test_completion_offers_verbs_and_options() -> None:
    assert {"push", "pull"} <= completed("cnr pu")
    assert {"--set-release", "--channel"} <= completed("cnr channel --")
    assert completed("cnr list --output ") == {"text", "json", "yaml"}
    assert completed("cnr completion z") == {"zsh"}


def test_a_client_verb_does_not_load_the_server() -> None:
    script = (
        "import sys; from cnr.cli.main import main; main(['push', '--help']);"
        "print([name for name in sys.modules if name.startswith('cnr.')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = ast.literal_eval(done.stdout.splitlines()[-1])
    assert {name.split(".")[1] for name in loaded} == {"cli", "client", "domain"}
    assert not {"cnr.cli.serve", "cnr.cli.pull"} & set(loaded)


def test_client_verbs_import_client_and_domain_only() -> None:
    folder = Path(cnr.cli.__file__).parent
    for verb in CLIENT_VERBS:
        tree = ast.parse((folder / f"{VERBS[verb][0]}.py").read_text())
        modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        ours = {module.split(".")[1] for module in modules if module.startswith("cnr.")}
        assert ours <= {"cli", "client", "domain"}, verb
