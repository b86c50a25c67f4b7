import io
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from cnr.http.wsgi_bridge import WsgiBridge
from cnr.http.wsgi_exchange import scope_of

Answer = Callable[[Request], Any]


class Small:
    """An application of one handler; knows what ended it."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.failed: BaseException | None = None
        self.done = threading.Event()

    async def startup(self) -> None:
        pass

    async def shutdown(self) -> None:
        pass

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response: Response = await self.answer(Request(scope, receive))
            await response(scope, receive, send)
        except BaseException as exc:
            self.failed = exc
            raise
        finally:
            self.done.set()


class Client:
    """Calls a WSGI application as PEP 3333 says, with the standard library's validator in between."""

    def __init__(self, answer: Answer) -> None:
        self.app = Small(answer)
        self.bridge = WsgiBridge(lambda: self.app)
        self.wsgi = validator(self.bridge)

    def call(self, body: bytes = b"", **environ: Any) -> tuple[str, dict[str, str], bytes]:
        begun: list[Any] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], None]:
            begun.extend((status, dict(headers)))
            return lambda _: None

        result = self.wsgi(self.environ(body, **environ), start_response)
        try:
            answer = b"".join(result)
        finally:
            result.close()  # type: ignore[attr-defined]
        return begun[0], begun[1], answer

    def environ(self, body: bytes, **environ: Any) -> dict[str, Any]:
        values: dict[str, Any] = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "QUERY_STRING": ""}
        setup_testing_defaults(values)
        return values | environ


async def echo(request: Request) -> Response:
    return Response(await request.body(), headers={"Connection": "close", "X-Twice": "a"}, media_type="text/plain")


def test_an_answer_as_the_standard_wants_it() -> None:
    status, headers, body = Client(echo).call(b"hello", REQUEST_METHOD="POST")
    assert (status, body) == ("200 OK", b"hello")
    assert headers["content-length"] == "5"
    assert "connection" not in headers


def test_reads_no_further_than_the_content_length() -> None:
    client = Client(echo)
    source = io.BytesIO(b"hello, next request")
    environ = client.environ(b"", REQUEST_METHOD="POST", CONTENT_LENGTH="5", **{"wsgi.input": source})
    assert b"".join(client.bridge(environ, lambda *_: None)) == b"hello"
    assert source.tell() == 5


def test_reads_a_chunked_body_to_its_end() -> None:
    client = Client(echo)
    environ = client.environ(b"x" * 200_000, REQUEST_METHOD="POST", HTTP_TRANSFER_ENCODING="chunked")
    del environ["CONTENT_LENGTH"]
    assert b"".join(client.bridge(environ, lambda *_: None)) == b"x" * 200_000


def test_a_body_that_ends_early_is_a_client_that_left() -> None:
    client = Client(echo)
    with pytest.raises(ConnectionResetError):
        client.call(b"hello", REQUEST_METHOD="POST", CONTENT_LENGTH="6")
    assert isinstance(client.app.failed, ClientDisconnect)


def test_an_answer_without_status_phrase() -> None:
    async def strange(request: Request) -> Response:
        return PlainTextResponse("x", status_code=499)

    assert Client(strange).call()[0] == "499 Unknown"


def test_a_server_that_closes_early_ends_the_application() -> None:
    async def endless(request: Request) -> Response:
        async def pieces() -> Any:
            while True:
                yield b"x" * 1000

        return StreamingResponse(pieces())

    client = Client(endless)
    result = client.bridge(client.environ(b""), lambda *_: None)
    assert next(iter(result)) == b"x" * 1000
    result.close()  # type: ignore[attr-defined]
    assert client.app.done.wait(30)


def test_a_server_that_closes_early_ends_a_wait_for_the_body() -> None:
    async def answer_then_read(request: Request) -> Response:
        class Early(Response):
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"early", "more_body": True})
                while (await receive())["type"] != "http.disconnect":
                    pass

        return Early()

    client = Client(answer_then_read)
    result = client.bridge(client.environ(b"x" * 1_000_000, REQUEST_METHOD="POST"), lambda *_: None)
    assert next(iter(result)) == b"early"
    result.close()  # type: ignore[attr-defined]
    assert client.app.done.wait(30)


def test_many_threads_share_one_application() -> None:
    built: list[int] = []
    app = Small(echo)

    def factory() -> Small:
        built.append(1)
        return app

    bridge = WsgiBridge(factory)
    answers: list[bytes] = []

    def call(number: int) -> None:
        environ: dict[str, Any] = {"wsgi.input": io.BytesIO(b"%d" % number), "CONTENT_LENGTH": str(len(b"%d" % number))}
        setup_testing_defaults(environ)
        answers.append(b"".join(bridge(environ | {"REQUEST_METHOD": "POST"}, lambda *_: None)))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(b"%d" % number for number in range(50))
    assert built == [1]


def test_the_path_is_utf8_and_holds_the_script_name() -> None:
    environ: dict[str, Any] = {"SCRIPT_NAME": "/r\u00c3\u00a4", "PATH_INFO": "/p\u00ff", "QUERY_STRING": "q=1"}
    setup_testing_defaults(environ)
    scope = scope_of(environ)
    assert (scope["root_path"], scope["path"]) == ("/rä", "/rä/p\ufffd")
    assert scope["raw_path"] == b"/r%C3%A4/p%EF%BF%BD"
    assert scope["query_string"] == b"q=1"


@pytest.mark.parametrize(
    ("raw", "expected"), [("/a%2Fb?q=%20", b"/a%2Fb"), ("http://h/a/b?q", b"/a/b"), (None, b"/a/b")]
)
def test_the_raw_path_comes_from_the_server_where_it_has_it(raw: str | None, expected: bytes) -> None:
    environ: dict[str, Any] = {"PATH_INFO": "/a/b"} | ({"RAW_URI": raw} if raw else {})
    setup_testing_defaults(environ)
    assert scope_of(environ)["raw_path"] == expected


def test_headers_keep_their_values() -> None:
    async def show(request: Request) -> Response:
        return JSONResponse(dict(request.headers))

    _, _, body = Client(show).call(HTTP_X_REQUEST_ID="a-1", CONTENT_TYPE="text/x", HTTP_ACCEPT="\u00e4")
    for part in (b'"x-request-id":"a-1"', b'"content-type":"text/x"', '"accept":"ä"'.encode()):
        assert part in body


ENDING = """
import asyncio, io, os, threading
from wsgiref.util import setup_testing_defaults
from cnr.http.wsgi_bridge import WsgiBridge

class Endless:
    async def startup(self): pass
    async def shutdown(self): os.write(1, b"stopped\\n")
    async def __call__(self, scope, receive, send):
        asked.set()
        await asyncio.sleep(3600)

def call():
    environ = {"wsgi.input": io.BytesIO()}
    setup_testing_defaults(environ)
    try:
        list(WsgiBridge(Endless)(environ, lambda *_: None))
    except ConnectionAbortedError as error:
        os.write(1, f"{error}\\n".encode())

asked = threading.Event()
threading.Thread(target=call).start()
asked.wait()
"""


def test_a_process_ends_although_a_request_does_not() -> None:
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=60, check=True)
    assert sorted(done.stdout.splitlines()) == ["[Errno 103] the server shuts down", "stopped"]
