"""The file of the audit log: turns over, shared by processes, moved by others, on a full disk."""

import gzip
import json
import logging
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cnr.audit.log import AuditLog, open_sink, server_event
from cnr.audit.reading import Reader, files_of
from cnr.audit.sinks import LINE_BYTES, Descriptor, TurningFile
from cnr.domain.audit import TEXT, Event, Kind, Who, short
from cnr.domain.errors import StoreUnavailable

DAY_US = 86_400_000_000
MIB = 1 << 20


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000

    def __call__(self) -> int:
        self.now += 1000
        return self.now


def turning(path: Path, clock: Callable[[], int], *, most: int = MIB, days: int = 90, keep: int = 5) -> TurningFile:
    return TurningFile(path, most_bytes=most, most_s=days * 86400, keep=keep, clock=clock)


def log_at(path: Path, clock: Callable[[], int], *, strict: bool = False, **more: int) -> AuditLog:
    return AuditLog(turning(path, clock, **more), clock=clock, strict=strict, now_s=lambda: clock() / 1_000_000)


def event(number: int, **more: object) -> Event:
    return server_event("test", {"number": number, **more})


def numbers(path: Path) -> list[int]:
    return [line["target"]["number"] for line in Reader().lines(path)]


def test_a_full_file_is_set_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    log = log_at(tmp_path / "a.log", Clock(), most=1000, keep=3)
    for number in range(40):
        log.record(event(number))
    names = [file.name for file in files_of(tmp_path / "a.log")]
    assert names == ["a.log.3", "a.log.2", "a.log.1", "a.log"]
    assert all(file.stat().st_size <= 1000 for file in files_of(tmp_path / "a.log"))
    kept = numbers(tmp_path / "a.log")
    assert kept == list(range(kept[0], 40))
    assert 0 < kept[0] < 30


def test_an_old_file_is_set_aside_by_whoever_writes_next(tmp_path: Path) -> None:
    clock = Clock()
    log_at(tmp_path / "a.log", clock, days=7).record(event(1))
    clock.now += 6 * DAY_US
    log_at(tmp_path / "a.log", clock, days=7).record(event(2))
    assert len(files_of(tmp_path / "a.log")) == 1
    clock.now += 2 * DAY_US
    log_at(tmp_path / "a.log", clock, days=7).record(event(3))
    assert len(files_of(tmp_path / "a.log")) == 2
    assert numbers(tmp_path / "a.log") == [1, 2, 3]


def test_others_may_read_it_only_by_its_group(tmp_path: Path) -> None:
    log_at(tmp_path / "a.log", Clock()).record(event(1))
    assert stat.S_IMODE((tmp_path / "a.log").stat().st_mode) == 0o640


def test_what_logrotate_moved_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    log = log_at(path, Clock())
    log.record(event(1))
    path.rename(tmp_path / "a.log-20261126")
    log.record(event(2))
    assert numbers(path) == [1, 2]
    assert [file.name for file in files_of(path)] == ["a.log-20261126", "a.log"]
    path.unlink()
    log.record(event(3))
    assert numbers(path) == [1, 3]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        turning(tmp_path / "a.log", Clock()).start()
    assert not (tmp_path / "elsewhere").exists()


CHILD = """
import sys, time
from pathlib import Path
from cnr.audit.log import AuditLog, server_event
from cnr.audit.sinks import TurningFile
path, who, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
clock = lambda: time.time_ns() // 1000
log = AuditLog(TurningFile(path, most_bytes=20_000, most_s=10**6, keep=1000, clock=clock), clock=clock)
for number in range(count):
    log.record(server_event("test", {"number": who * count + number}))
"""


def test_processes_that_turn_one_file_over_lose_nothing(tmp_path: Path) -> None:
    path, count = tmp_path / "a.log", 1500
    children = [subprocess.Popen([sys.executable, "-c", CHILD, path, str(who), str(count)]) for who in range(4)]
    assert [child.wait(120) for child in children] == [0] * 4
    reader = Reader()
    found = [line["target"]["number"] for line in reader.lines(path)]
    assert sorted(found) == list(range(4 * count))
    assert reader.broken == {}
    assert len(files_of(path)) > 10


FULL = """
import resource, sys
from pathlib import Path
from cnr.audit.log import AuditLog, server_event
from cnr.audit.sinks import TurningFile
from cnr.domain.errors import StoreUnavailable
path, strict = Path(sys.argv[1]), sys.argv[2] == "strict"
clock = lambda: 1
log = AuditLog(TurningFile(path, most_bytes=10**9, most_s=10**6, keep=5, clock=clock), clock=clock, strict=strict)
log.record(server_event("test", {"number": 0}))
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 30, -1))  # the next line fits in part: what a full disk does
for number in (1, 2):
    log.record(server_event("test", {"number": number}))
    try:
        log.check()
        print("allowed")
    except StoreUnavailable:
        print("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
log.check()
log.record(server_event("test", {"number": 3}))
"""


@pytest.mark.parametrize(("mode", "answer"), [("open", "allowed"), ("strict", "refused")])
def test_a_full_disk(tmp_path: Path, mode: str, answer: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "a.log", mode], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == [answer] * 2
    assert done.stderr.count("cannot be written") == 1
    reader = Reader()
    assert [line["target"]["number"] for line in reader.lines(tmp_path / "a.log")] == [0, 1, 2, 3]
    assert reader.broken == {tmp_path / "a.log": 1}


class Broken:
    """A sink that takes nothing, until it does."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.works = False

    def start(self) -> None: ...

    def close(self) -> None: ...

    def append(self, line: bytes) -> None:
        if not self.works:
            raise OSError(28, "no space left")
        self.lines.append(line)


def test_what_waits_is_bounded_and_what_is_lost_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    sink = Broken()
    log = AuditLog(sink, clock=Clock(), strict=True)
    with caplog.at_level(logging.WARNING):
        for number in range(20_000):
            log.record(event(number))
        with pytest.raises(StoreUnavailable):
            log.check()
        sink.works = True
        log.check()
    lines = [json.loads(line) for line in sink.lines]
    assert sum(map(len, sink.lines)) < MIB + LINE_BYTES
    assert (lines[-1]["action"], lines[-1]["target"]["lines"]) == ("lost-lines", 20_000 - len(lines) + 1)
    assert len(caplog.records) == 2


def test_a_line_is_bounded_and_has_no_control_characters(tmp_path: Path) -> None:
    hostile = "\x1b[2J\n\u202e\x9b" + "ü😀" * 5000
    log = log_at(tmp_path / "a.log", Clock())
    log.record(
        Event(
            result="ok",
            who=Who("user", short(hostile)),
            action="push",
            protocol="oci",
            call="PUT /",
            repository=short(hostile),
            target={f"key{number}": short(hostile) for number in range(20)},
            agent=short(hostile),
        )
    )
    data = (tmp_path / "a.log").read_bytes()
    assert len(data) <= LINE_BYTES
    assert data.count(b"\n") == 1
    assert data.decode().strip().isprintable()
    assert json.loads(data)["target"] == {"omitted": "too long"}
    assert len(short(hostile)) == TEXT


def test_a_reader_that_does_not_read_keeps_nobody_waiting() -> None:
    ours, theirs = os.pipe()
    sink = Descriptor(theirs)
    log = AuditLog(sink, clock=Clock())
    done = threading.Event()

    def write() -> None:
        for number in range(2000):
            log.record(event(number))
        done.set()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    assert done.wait(30)
    data = b""
    while data.count(b"\n") < 2001:
        data += os.read(ours, 65536)
        log.record(event(2000)) if data.count(b"\n") > 50 and b'"number":2000' not in data else None
    assert [json.loads(line)["target"]["number"] for line in data.splitlines()][:2001] == list(range(2001))
    os.close(ours)
    os.close(theirs)


def test_compressed_and_broken_files_are_read_in_order(tmp_path: Path) -> None:
    path, clock = tmp_path / "a.log", Clock()
    for number in range(4):
        log_at(path, clock).record(event(number))
        if number < 3:
            data = path.read_bytes()
            (tmp_path / f"a.log.{3 - number}.gz").write_bytes(gzip.compress(data))
            path.unlink()
    whole = (tmp_path / "a.log.2.gz").read_bytes()
    assert numbers(path) == [0, 1, 2, 3]
    (tmp_path / "a.log.2.gz").write_bytes(whole[: len(whole) // 2])
    with path.open("ab") as file:
        file.write(b'{"time":"2026-11-')
    reader = Reader()
    assert [line["target"]["number"] for line in reader.lines(path)] == [0, 2, 3]
    assert set(reader.broken) == {tmp_path / "a.log.2.gz", path}


def denial(kind: Kind) -> Event:
    return Event(result="denied", who=Who(kind), action="pull", protocol="oci", call="GET /v2/")


def test_strangers_cannot_push_out_what_was_written(tmp_path: Path) -> None:
    clock = Clock()
    log = log_at(tmp_path / "a.log", clock)
    for _ in range(50_000):
        log.record(denial("anonymous"))
    log.record(denial("user"))
    clock.now += 60_000_000
    log.record(denial("unknown"))
    log.close()
    lines = list(Reader().lines(tmp_path / "a.log"))
    counted = sum(line["target"]["count"] for line in lines if line["action"] == "more-denials")
    written = [line["who"]["kind"] for line in lines if line["action"] == "pull"]
    assert counted + len(written) == 50_002
    assert written[-2:] == ["user", "unknown"]
    assert len(lines) < 4000


def test_a_clock_that_is_set_back_hides_no_denials(tmp_path: Path) -> None:
    clock, seconds = Clock(), iter(range(10**6))
    log = AuditLog(turning(tmp_path / "a.log", clock), clock=clock, now_s=lambda: float(next(seconds)))
    log.record(denial("anonymous"))
    clock.now -= 3_600_000_000
    for _ in range(100):
        log.record(denial("anonymous"))
    assert (tmp_path / "a.log").read_text().count('"pull"') == 101


def test_off_is_no_sink() -> None:
    assert open_sink("off", most_bytes=1, most_s=1, keep=1, clock=Clock()) is None
