import asyncio
import json
import os
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from cnr.http.access_log import HELD_BYTES, AccessLog, LogFile, open_log

Serve = Callable[[ASGIApp], AbstractAsyncContextManager[int]]
NOW = 1_479_316_387_806_579  # 2016-11-16T17:13:07.806579Z
NEW_ID = "0123456789abcdef0123456789abcdef"


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"].startswith("/packages/"):
        scope["route"] = "/packages/{name}"
    await PlainTextResponse("hello", status_code=201)(scope, receive, send)


def logged(app: ASGIApp, log: LogFile | None) -> AccessLog:
    return AccessLog(app, log, clock=lambda: NOW, ids=lambda: NEW_ID)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_line_says_what_happened_and_nothing_private(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = open_log(str(path))
    assert log is not None
    async with serve(logged(hello, log)) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        headers = {"Authorization": "basic c2VjcmV0", "X-Request-Id": "mine-1.2_3"}
        answer = await client.post("/packages/secret?token=secret", content="secret", headers=headers)
        assert answer.headers["x-request-id"] == "mine-1.2_3"
        assert (await client.get("/nowhere/secret")).headers["x-request-id"] == NEW_ID
    log.close()
    first, second = lines(path)
    assert first.pop("ms") >= 0
    assert first == {
        "time": "2016-11-16T17:13:07.806Z",
        "method": "POST",
        "route": "/packages/{name}",
        "status": 201,
        "bytes": 5,
        "id": "mine-1.2_3",
    }
    assert (second["route"], second["id"]) == ("-", NEW_ID)
    assert "secret" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("bad", ["", "a" * 65, "a b", "a\tb", "ä", '"', "{}", "a/b"])
async def test_a_strange_request_id_is_replaced(bad: str) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"x-request-id", bad.encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    await logged(hello, None)(scope, None, send)  # type: ignore[arg-type]
    assert (b"x-request-id", NEW_ID.encode()) in sent[0]["headers"]


async def test_an_answer_that_never_came_is_499(tmp_path: Path) -> None:
    async def gone(scope: Scope, receive: Receive, send: Send) -> None:
        return

    log = open_log(str(tmp_path / "log"))
    assert log is not None
    await logged(gone, log)({"type": "http", "method": "GET", "headers": []}, None, None)  # type: ignore[arg-type]
    log.close()
    assert lines(tmp_path / "log")[0]["status"] == 499


async def test_lines_are_written_without_a_close(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = open_log(str(path))
    assert log is not None
    log.add(b'{"n":1}')
    assert path.read_text() == ""
    async with asyncio.timeout(20):
        while path.read_text() != '{"n":1}\n':
            await asyncio.sleep(0.01)
    log.add(b'{"n":2}')
    async with asyncio.timeout(20):
        while path.read_text() != '{"n":1}\n{"n":2}\n':
            await asyncio.sleep(0.01)


async def test_nobody_waits_for_a_reader_that_does_not_read() -> None:
    reading, writing = os.pipe()
    log = LogFile(writing)
    line = b"x" * 1000
    for _ in range(HELD_BYTES // 1000 + 100):
        log.add(line)
    await asyncio.sleep(0)  # the write begins and blocks, the loop does not
    received = bytearray()

    def read() -> None:
        while piece := os.read(reading, 1 << 20):
            received.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    log.close()
    os.close(writing)
    reader.join()
    os.close(reading)
    *whole, last = bytes(received).splitlines()
    assert set(whole) == {line}
    assert len(whole) + json.loads(last)["dropped_lines"] == HELD_BYTES // 1000 + 100


async def test_lines_of_several_writers_do_not_mix_in_a_pipe() -> None:
    reading, writing = os.pipe()
    received = bytearray()

    def read() -> None:
        while piece := os.read(reading, 1 << 20):
            received.extend(piece)

    def write(mark: bytes) -> None:
        log = LogFile(writing)
        log._write([mark * 300] * 2000)

    reader = threading.Thread(target=read)
    reader.start()
    await asyncio.gather(*(asyncio.to_thread(write, mark) for mark in (b"a", b"b", b"c")))
    os.close(writing)
    reader.join()
    os.close(reading)
    assert sorted(received.split()) == [b"a" * 300] * 2000 + [b"b" * 300] * 2000 + [b"c" * 300] * 2000


async def test_a_log_that_cannot_be_written_does_not_stop_the_service() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = LogFile(writing)
    log.add(b"{}")
    log.close()
    os.close(writing)


def test_the_setting_names_where_lines_go(tmp_path: Path) -> None:
    assert open_log("off") is None
    assert isinstance(open_log("stdout"), LogFile)
    with pytest.raises(OSError, match="No such file"):
        open_log(str(tmp_path / "missing" / "log"))
