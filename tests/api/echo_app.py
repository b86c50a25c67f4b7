"""A small application with every habit that a WSGI server can get wrong. ECHO_LOG names a file for its life story."""

import asyncio
import hashlib
import json
import os
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from cnr.http.body import EarlyAnswers
from cnr.http.streaming import StreamResponse
from cnr.http.wsgi_bridge import WsgiBridge


def tell(event: str) -> None:
    if path := os.environ.get("ECHO_LOG"):
        with Path(path).open("a") as file:
            file.write(f"{event} {os.getpid()}\n")


class EchoApp:
    def __init__(self) -> None:
        tell("built")
        self._app = EarlyAnswers(self._answer)

    async def startup(self) -> None:
        if os.environ.get("ECHO_FAIL"):
            raise RuntimeError("the store is closed today")
        self._heartbeat = asyncio.create_task(asyncio.sleep(3600))
        tell("started")

    def drain(self) -> None:
        return

    async def shutdown(self) -> None:
        self._heartbeat.cancel()
        await asyncio.to_thread(tell, "stopped")  # needs a thread pool, as closing a store does

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await getattr(self, "get" + scope["path"].replace("/", "_"), self.get_scope)(Request(scope, receive))
        await response(scope, receive, send)

    async def get_echo(self, request: Request) -> Response:
        digest, size = hashlib.sha256(), 0
        async for chunk in request.stream():
            digest.update(chunk)
            size += len(chunk)
        return JSONResponse({"size": size, "sha256": digest.hexdigest()})

    async def get_refuse(self, request: Request) -> Response:
        return PlainTextResponse("too large", status_code=413)

    async def get_sleep(self, request: Request) -> Response:
        tell("sleeping")
        await asyncio.sleep(float(request.query_params["s"]))
        return PlainTextResponse("slept")

    async def get_stream(self, request: Request) -> Response:
        async def pieces() -> object:
            try:
                for _ in range(int(request.query_params["n"])):
                    yield bytes(65536)
            finally:
                tell("stream closed")

        return StreamResponse(pieces())  # type: ignore[arg-type]

    async def get_fail(self, request: Request) -> Response:
        raise RuntimeError("as asked")

    async def get_scope(self, request: Request) -> Response:
        scope = request.scope
        shown = {name: scope[name] for name in ("method", "path", "root_path", "scheme", "http_version", "client")}
        raw = {"raw_path": scope["raw_path"].decode(), "query": scope["query_string"].decode()}
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        return Response(json.dumps({**shown, **raw, "headers": headers}), media_type="application/json")


app = WsgiBridge(EchoApp)
