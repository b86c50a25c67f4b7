import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
import uvloop
from starlette.types import ASGIApp

from cnr.http.gate import Gate
from cnr.http.trailers import TrailersIgnored

Serve = Callable[..., AbstractAsyncContextManager[int]]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]] | None:
    """What reads sockets in its own way is tried on each loop that the product runs on."""
    loops = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return loops if item.path.name in ("test_long_body.py", "test_guarded.py") else {"asyncio": loops["asyncio"]}


@asynccontextmanager
async def serving(
    app: ASGIApp,
    *,
    head_s: float = 0.5,
    stall_s: float = 30.0,
    gate: Gate | None = None,
    tls: tuple[Path, Path] | None = None,
) -> AsyncIterator[int]:
    """The port of 127.0.0.1 where a real server runs `app`, on the test's own event loop.

    `tls` is its certificate and key.
    """
    files = {"ssl_certfile": tls[0], "ssl_keyfile": tls[1]} if tls else {}
    protocol = type("QuickProtocol", (TrailersIgnored,), {"head_s": head_s, "stall_s": stall_s, "gate": gate})
    config = uvicorn.Config(
        app,
        port=0,
        lifespan="off",
        http=protocol,
        ws="none",
        timeout_keep_alive=60,
        log_config=None,
        **files,  # type: ignore[arg-type]
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running


@pytest.fixture
def serve() -> Serve:
    return serving
