import asyncio
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from cnr.api.asgi import LazyApp
from cnr.settings.setting import ConfigError


class Counted:
    """Counts its starts; the first `failing` of them fail."""

    def __init__(self, failing: int = 0) -> None:
        self.failing = failing
        self.starts = 0

    async def startup(self) -> None:
        await asyncio.sleep(0.01)
        self.starts += 1
        if self.starts <= self.failing:
            raise RuntimeError("not yet")

    async def shutdown(self) -> None:
        pass

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(scope["type"])(scope, receive, send)


async def get(app: LazyApp) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    await app({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)
    return sent


async def test_without_lifespan_the_first_requests_start_it_once() -> None:
    counted = Counted()
    app = LazyApp(lambda: counted)
    answers = await asyncio.gather(*(get(app) for _ in range(10)))
    assert {answer[0]["status"] for answer in answers} == {200}
    assert counted.starts == 1


async def test_a_start_that_failed_is_tried_again() -> None:
    counted = Counted(failing=1)
    app = LazyApp(lambda: counted)
    with pytest.raises(RuntimeError, match="not yet"):
        await get(app)
    assert (await get(app))[0]["status"] == 200


async def test_what_cannot_be_made_is_the_lifespans_failure() -> None:
    def refuse() -> Counted:
        raise ConfigError("PORT is 'x': use a number.")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    await LazyApp(refuse)({"type": "lifespan"}, receive, send)
    assert sent == [{"type": "lifespan.startup.failed", "message": "PORT is 'x': use a number."}]


def test_importing_builds_nothing(run_to_end: Callable[..., "subprocess.CompletedProcess[str]"]) -> None:
    check = (
        "import sys, threading, cnr.api.asgi, cnr.api.wsgi; print(threading.active_count(), 'cnr.app' in sys.modules)"
    )
    assert run_to_end("-c", check).stdout.split() == ["1", "False"]


def test_a_server_refuses_an_unknown_storage_with_one_sentence(
    run_to_end: Callable[..., "subprocess.CompletedProcess[str]"],
) -> None:
    done = run_to_end("-m", "uvicorn", "cnr.api.asgi:app", "--port", "0", STORAGE="floppy")
    assert done.returncode != 0
    assert "STORAGE is 'floppy': there is no such storage; use filesystem, redis, etcd or a URL." in done.stderr
    assert "Traceback" not in done.stderr
