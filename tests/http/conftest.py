import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import uvicorn
from starlette.types import ASGIApp

from cnr.http.trailers import TrailersIgnored

Serve = Callable[[ASGIApp], AbstractAsyncContextManager[int]]


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    """The port of 127.0.0.1 where a real server runs `app`, on the test's own event loop."""
    protocol = type("QuickProtocol", (TrailersIgnored,), {"head_s": 0.5})
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
