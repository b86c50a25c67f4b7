import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import uvicorn
from starlette.types import ASGIApp

from cnr.http.gate import Gate
from cnr.http.trailers import TrailersIgnored

Serve = Callable[..., AbstractAsyncContextManager[int]]


@asynccontextmanager
async def serving(
    app: ASGIApp, *, head_s: float = 0.5, stall_s: float = 30.0, gate: Gate | None = None
) -> AsyncIterator[int]:
    """The port of 127.0.0.1 where a real server runs `app`, on the test's own event loop."""
    protocol = type("QuickProtocol", (TrailersIgnored,), {"head_s": head_s, "stall_s": stall_s, "gate": gate})
    config = uvicorn.Config(
        app, port=0, lifespan="off", http=protocol, ws="none", timeout_keep_alive=60, log_config=None
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
