"""`cnr audit`, over what verbs on a store wrote down themselves."""

import getpass
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

Line = dict[str, Any]
Cnr = Callable[..., "subprocess.CompletedProcess[str]"]
LINES = (
    ("2026-11-20T10:00:00.000Z", "ok", {"kind": "user", "name": "rita"}, "push", "shop/api", "10.0.0.7"),
    ("2026-11-21T10:00:00.000Z", "denied", {"kind": "anonymous"}, "pull", "shop/api", "192.0.2.1"),
    (
        "2026-11-22T10:00:00.000Z",
        "failed",
        {"kind": "token", "name": "ci", "token": "ab12"},
        "push",
        "shop",
        "10.1.0.7",
    ),
    ("2026-11-23T10:00:00.000Z", "ok", {"kind": "user", "name": "rita"}, "delete", "shopping/x", "::1"),
    ("2026-11-24T10:00:00.000Z", "unknown", {"kind": "local", "name": "op"}, "admin", "", "local"),
)


@pytest.fixture
def cnr(tmp_path: Path) -> Cnr:
    def run(*arguments: str, status: int = 0, **env: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "cnr.cli.main", *arguments],
            env=environment(tmp_path) | env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done

    return run


def environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**kept, "HOME": str(folder), "DATABASE_URL": str(folder / "data")}


def lines(tmp_path: Path) -> list[Line]:
    return [json.loads(line) for line in (tmp_path / "data" / "audit.log").read_text().splitlines()]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A log with LINES, two of them in older files."""
    names = ("time", "result", "who", "action", "repository", "address")
    texts = [json.dumps(dict(zip(names, line, strict=True))) + "\n" for line in LINES]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "audit.log.2.gz").write_bytes(gzip.compress(texts[0].encode()))
    (folder / "audit.log.1").write_text(texts[1])
    (folder / "audit.log").write_text("".join(texts[2:]) + '{"time":"2026-11-24')
    return folder / "audit.log"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ([], [0, 1, 2, 3, 4]),
        (["--since", "2026-11-22"], [2, 3, 4]),
        (["--until", "2026-11-22T10:00Z"], [0, 1]),
        (["--since", "2026-11-21T11:00+01:00", "--until", "2026-11-21T12:00:00"], [1]),
        (["--since", "1h"], []),
        (["--user", "rita"], [0, 3]),
        (["--user", "ci"], [2]),
        (["--user", "ab12"], [2]),
        (["--user", "anonymous"], [1]),
        (["--path", "shop"], [0, 1, 2]),
        (["--repository", "shop/api"], [0, 1]),
        (["--action", "push"], [0, 2]),
        (["--result", "denied"], [1]),
        (["--result", "unknown"], [4]),
        (["--address", "10.0.0.0/8"], [0, 2]),
        (["--address", "::1"], [3]),
        (["--address", "local"], [4]),
        (["--user", "rita", "--action", "delete"], [3]),
    ],
)
def test_a_filter(cnr: Cnr, written: Path, options: list[str], wanted: list[int]) -> None:
    if options == ["--since", "1h"]:
        for file in (written, written.with_name("audit.log.1"), written.with_name("audit.log.2.gz")):
            os.utime(file, (0, 0))
    done = cnr("audit", "--output", "json", *options)
    assert [json.loads(line)["time"] for line in done.stdout.splitlines()] == [LINES[number][0] for number in wanted]
    assert ("1 broken line" in done.stderr) == (options != ["--since", "1h"])


def test_text_is_for_people(cnr: Cnr, written: Path) -> None:
    text = cnr("audit").stdout.splitlines()
    assert text[0].startswith("2026-11-20 10:00:00 ok      rita from 10.0.0.7: push shop/api")
    assert "token ci (ab12)" in text[2]


def test_what_cannot_be_read_is_a_sentence(cnr: Cnr, tmp_path: Path) -> None:
    assert cnr("audit").stdout == ""
    assert "is off" in cnr("audit", status=1, CNR_AUDIT_LOG="off").stderr
    assert "goes to stdout" in cnr("audit", status=1, CNR_AUDIT_LOG="stdout").stderr
    assert "'yesterday'" in cnr("audit", "--since", "yesterday", status=2).stderr
    assert "no network" in cnr("audit", "--address", "10.0.0.0/99", status=2).stderr


def test_follow_goes_on_in_the_next_file(tmp_path: Path, written: Path) -> None:
    command = [sys.executable, "-m", "cnr.cli.main", "audit", "--follow", "--output", "json", "--action", "push"]
    with subprocess.Popen(
        command, env=environment(tmp_path) | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline())["address"] for _ in range(2)]
        with written.open("a") as file:
            file.write('-torn\n{"time":"2026-11-25T10:00:00.000Z","action":"push","address":"3"}\n')
        seen.append(json.loads(process.stdout.readline())["address"])
        written.rename(written.with_name("audit.log.1"))
        written.write_text('{"time":"2026-11-25T10:00:01.000Z","action":"push","address":"4"}\n')
        seen.append(json.loads(process.stdout.readline())["address"])
        process.terminate()
    assert seen == ["10.0.0.7", "10.1.0.7", "3", "4"]


CHANGES: Mapping[tuple[str, ...], Mapping[str, Any]] = {
    ("user", "add", "rita", "--admin"): {"name": "rita", "admin": True},
    ("user", "password", "rita"): {"name": "rita"},
    ("user", "admin", "rita", "--revoke"): {"name": "rita", "revoke": True},
    ("group", "add", "crew"): {"name": "crew"},
    ("grant", "give", "user", "rita", "shop", "reader"): {"kind": "user", "name": "rita", "role": "reader"},
    ("token", "add", "ci", "--scope", "shop/*:pull,push"): {"name": "ci", "scopes": "shop/* pull push"},
    ("token", "rotate-keys"): {},
    ("namespace", "set", "shop", "--immutability", "strict"): {"immutability": "strict"},
    ("storage", "gc"): {},
    ("storage", "upgrade"): {},
    ("user", "remove", "rita"): {"name": "rita"},
}
READS = (
    *(("user", "list"), ("group", "list"), ("token", "list"), ("namespace", "show", "shop")),
    *(("storage", "check"), ("storage", "gc", "--dry-run"), ("storage", "upgrade", "--dry-run")),
)


def test_what_verbs_change_is_written_down(cnr: Cnr, tmp_path: Path) -> None:
    secrets = []
    for number, (verb, target) in enumerate(CHANGES.items(), 1):
        secrets.append(cnr(*verb).stdout.split()[-1])
        assert len(lines(tmp_path)) == number, verb
        line = lines(tmp_path)[-1]
        assert line["call"] == "cnr " + " ".join(verb[:2])
        assert (line["who"], line["address"]) == ({"kind": "local", "name": getpass.getuser()}, "local")
        assert (line["result"], line["action"], line["protocol"]) == ("ok", "admin", "local")
        assert target.items() <= line.get("target", {}).items(), line
    text = (tmp_path / "data" / "audit.log").read_text()
    assert not [secret for secret in secrets if len(secret) > 15 and secret in text]
    for verb in READS:
        cnr(*verb)
    assert len(lines(tmp_path)) == len(CHANGES)


def test_what_works_on_the_store_alone_is_written_down(cnr: Cnr, tmp_path: Path) -> None:
    cnr("user", "add", "alice", "--admin")
    cnr("storage", "check")
    cnr("storage", "gc")
    cnr("storage", "upgrade")
    cnr("storage", "forget", "tags/ns!app/none", "--yes", status=1)
    calls = [(line["call"], line["result"]) for line in lines(tmp_path)]
    assert calls[1:3] == [("cnr storage gc", "ok"), ("cnr storage upgrade", "ok")]
    assert calls[3:] == [("cnr storage forget", "failed")]
    assert lines(tmp_path)[3]["target"]["key"] == "tags/ns!app/none"


def test_a_migration_is_written_down_where_it_went(cnr: Cnr, tmp_path: Path) -> None:
    cnr("user", "add", "alice", "--admin")
    places = str(tmp_path / "data"), str(tmp_path / "new")
    cnr("storage", "migrate", *places, "--dry-run")
    assert not (tmp_path / "new").exists()
    cnr("storage", "migrate", *places)
    (line,) = [json.loads(each) for each in (tmp_path / "new" / "audit.log").read_text().splitlines()]
    assert (line["call"], line["result"]) == ("cnr storage migrate", "ok")
    assert line["target"]["damaged"] == 0
    assert line["target"]["source"] == places[0]
    named = tmp_path / "named.log"
    cnr("storage", "migrate", places[0], str(tmp_path / "third"), CNR_AUDIT_LOG=str(named))
    assert named.read_text().count("cnr storage migrate") == 1
    assert not (tmp_path / "third" / "audit.log").exists()
    assert len(lines(tmp_path)) == 1


def test_a_verb_that_fails_is_written_down(cnr: Cnr, tmp_path: Path) -> None:
    cnr("user", "remove", "nobody", status=cnr_status("nobody"))
    assert [(line["result"], line["code"]) for line in lines(tmp_path)] == [("failed", "AccountNotFound")]


def cnr_status(name: str) -> int:
    from cnr.cli.failures import exit_code
    from cnr.domain.errors import AccountNotFound

    return exit_code(AccountNotFound(name))


def test_a_log_that_cannot_be_written_keeps_nothing_back_unless_it_must(cnr: Cnr, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "missing" / "audit.log")
    assert "cannot be used" in cnr("user", "add", "rita", CNR_AUDIT_LOG=nowhere).stderr
    refused = cnr("user", "add", "will", status=1, CNR_AUDIT_LOG=nowhere, CNR_AUDIT_STRICT="true")
    assert "cannot be used" in refused.stderr
    assert "will" not in cnr("user", "list").stdout


def test_standard_output_stays_the_verbs_own(cnr: Cnr) -> None:
    done = cnr("user", "add", "rita", CNR_AUDIT_LOG="stdout")
    assert "cnr user add" not in done.stdout
    assert json.loads(done.stderr)["target"] == {"name": "rita"}


def test_a_day_is_a_time(cnr: Cnr, written: Path) -> None:
    os.utime(written, (time.time(), time.time()))
    assert len(cnr("audit", "--since", "9999d", "--output", "json").stdout.splitlines()) == 5
