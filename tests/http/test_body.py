import asyncio
import os
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import httpx
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from cnr.domain.errors import TooLarge
from cnr.http.body import BodyStalled, EarlyAnswers, body_chunks
from cnr.http.fields import BodyLimits, read_fields

MIB = 1024 * 1024
LIMIT = MIB
Answer = Callable[[Request], Awaitable[str]]
Serve = Callable[[ASGIApp], AbstractAsyncContextManager[int]]


def application(answer: Answer, *, linger_s: float = 2.0) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = PlainTextResponse(await answer(request))
        except TooLarge as exc:
            response = PlainTextResponse(exc.message, status_code=413)
        except BodyStalled as exc:
            response = PlainTextResponse(exc.message, status_code=400)
        await response(scope, receive, send)

    return EarlyAnswers(app, linger_s=linger_s)


async def count(request: Request) -> str:
    return str(sum([len(chunk) async for chunk in body_chunks(request, limit=LIMIT, stall_s=0.5)]))


async def refuse(request: Request) -> str:
    return "answered before reading"


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def read_answer(client: socket.socket) -> bytes:
    """Everything up to the end of the connection; a reset after some bytes counts as the end."""
    answer = b""
    with suppress(ConnectionResetError):
        while piece := client.recv(65536):
            answer += piece
    return answer


def send_all(port: int, head: str, body: Iterator[bytes]) -> tuple[bytes, int]:
    """What a simple client sees that first sends everything and only then listens; and how much it could send."""
    sent = 0
    with connect(port) as client:
        client.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
        with suppress(BrokenPipeError, ConnectionResetError):
            for piece in body:
                client.sendall(piece)
                sent += len(piece)
        return read_answer(client), sent


def pieces(total: int) -> Iterator[bytes]:
    return (bytes(MIB) for _ in range(total // MIB))


def chunked(total: int) -> Iterator[bytes]:
    for piece in pieces(total):
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


async def test_a_body_within_the_limit_arrives_whole(serve: Serve) -> None:
    async with serve(application(count)) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for size in (0, 1, 100_000, LIMIT):
            assert (await client.post("/", content=bytes(size))).text == str(size)
        assert (await client.post("/", content=bytes(LIMIT + 1))).status_code == 413


async def test_a_client_still_sending_500_mb_sees_the_413(serve: Serve) -> None:
    async with serve(application(count)) as port:
        total = 500 * MIB
        answer, sent = await asyncio.to_thread(send_all, port, f"Content-Length: {total}", pieces(total))
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in answer
        assert f"the body is longer than {LIMIT} bytes".encode() in answer
        assert sent < 50 * MIB


async def test_a_chunked_body_is_refused_when_it_passes_the_limit(serve: Serve) -> None:
    async with serve(application(count)) as port:
        answer, sent = await asyncio.to_thread(send_all, port, "Transfer-Encoding: chunked", chunked(500 * MIB))
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert sent < 50 * MIB


async def test_a_body_not_much_over_the_limit_can_be_sent_to_its_end(serve: Serve) -> None:
    async with serve(application(count)) as port:
        for head, body in (
            (f"Content-Length: {8 * MIB}", pieces(8 * MIB)),
            ("Transfer-Encoding: chunked", chunked(8 * MIB)),
        ):
            answer, sent = await asyncio.to_thread(send_all, port, head, body)
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert sent >= 8 * MIB  # a client never sees its connection reset


async def test_httpx_sees_the_413(serve: Serve) -> None:
    def upload(port: int) -> int:
        return httpx.post(f"http://127.0.0.1:{port}/", content=pieces(500 * MIB), timeout=30).status_code

    async with serve(application(count)) as port:
        assert await asyncio.to_thread(upload, port) == 413


@pytest.mark.parametrize("expect", ["Expect:", "Expect: 100-continue"])
async def test_curl_sees_the_413(expect: str, serve: Serve, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(500 * MIB)

    def upload(port: int) -> str:
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{size_upload}", "-H", expect, "-T", str(large)]
        done = subprocess.run([*command, f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, check=True, text=True)
        return done.stdout

    async with serve(application(count)) as port:
        status, uploaded = (await asyncio.to_thread(upload, port)).split()
        assert status == "413"
        assert int(uploaded) < 50 * MIB


async def test_a_client_that_waits_for_100_continue_gets_the_refusal_instead(serve: Serve) -> None:
    def ask(port: int) -> bytes:
        head = f"Content-Length: {500 * MIB}\r\nExpect: 100-continue"
        return send_all(port, head, iter(()))[0]

    async with serve(application(count)) as port:
        answer = await asyncio.to_thread(ask, port)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"100 Continue" not in answer


async def test_a_small_unread_body_keeps_the_connection(serve: Serve) -> None:
    async with serve(application(refuse)) as port, httpx.AsyncClient() as client:
        for _ in range(3):
            response = await client.post(f"http://127.0.0.1:{port}/", content=bytes(50_000))
            assert response.text == "answered before reading"
            assert "connection" not in response.headers


async def test_a_slow_client_is_told_and_then_cut_off(serve: Serve) -> None:
    def stall(port: int) -> bytes:
        return send_all(port, "Content-Length: 200000", iter([b"only this"]))[0]

    async with serve(application(count)) as port:
        answer = await asyncio.to_thread(stall, port)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"no byte of the body arrived for 0.5 s" in answer


async def test_a_body_that_trickles_for_ever_is_given_up(serve: Serve) -> None:
    async def trickle(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n")
        answer = b""
        with suppress(ConnectionError):
            while not answer:
                writer.write(b"x")
                await writer.drain()
                with suppress(TimeoutError):
                    answer = await asyncio.wait_for(reader.read(65536), 0.05)
        writer.close()
        return answer

    async with serve(application(count)) as port, asyncio.timeout(20):
        answer = await trickle(port)
        assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("head", ["Content-Length: 9000000", "Transfer-Encoding: chunked"])
async def test_a_client_that_leaves_midway_leaves_neither_task_nor_file(
    head: str, serve: Serve, tmp_path: Path
) -> None:
    seen: list[type[BaseException]] = []

    async def fields(request: Request) -> str:
        try:
            document = await read_fields(request, limits=BodyLimits(), spool_folder=tmp_path)
        except BaseException as exc:
            seen.append(type(exc))
            raise
        document.close()
        return "read"

    def leave(port: int) -> None:
        start = b'{"blob": "' + b"x" * 3_000_000
        framed = start if "Length" in head else b"%x\r\n%b\r\n" % (len(start), start)
        with connect(port) as client:
            client.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode() + framed)

    async with serve(application(fields)) as port:
        await asyncio.to_thread(leave, port)  # starts whatever threads the loop keeps
        tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            await asyncio.to_thread(leave, port)
        async with asyncio.timeout(20):
            while len(seen) < 6 or len(asyncio.all_tasks()) > tasks or len(os.listdir("/proc/self/fd")) > files:
                await asyncio.sleep(0.02)
        assert set(seen) == {ClientDisconnect}


async def test_lingering_ends_although_the_client_goes_on(serve: Serve) -> None:
    async def trickle(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n")
        with suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(65536), 0.01)
        writer.close()
        return b"ended"

    async with serve(application(refuse, linger_s=0.2)) as port:
        async with asyncio.timeout(20):
            assert await trickle(port) == b"ended"
