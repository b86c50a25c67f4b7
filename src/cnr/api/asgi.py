"""The registry for ASGI servers: `uvicorn cnr.api.asgi:app`. Importing it builds nothing."""

import asyncio
import os
from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from cnr.config import Config, warn_if_open
from cnr.http.application import Application


class LazyApp:
    """An ASGI application that `factory` makes at lifespan start, or at the first request where there is none.

    What keeps it from being made is the lifespan's failure, with the reason as its message: one sentence in the
    server's log. Without lifespan that request fails and the next one tries again; and nobody tells the
    application to shut down, so it must survive being killed, which it does.
    """

    def __init__(self, factory: Callable[[], Application]) -> None:
        self._factory = factory
        self._app: Application | None = None
        self._lock: asyncio.Lock | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        app = self._app or await self._started()
        await app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._app = self._factory()
        except Exception as exc:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(exc)})
            return
        await self._app(scope, receive, send)

    async def _started(self) -> Application:
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            if self._app is None:
                app = self._factory()
                await app.startup()
                self._app = app
            return self._app


def _make() -> Application:
    from cnr.app import App  # the registry's modules are left to the process that serves

    config = Config.load(os.environ)
    warn_if_open(config)
    return App(config)


app = LazyApp(_make)
