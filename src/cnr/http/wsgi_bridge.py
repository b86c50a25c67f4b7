"""An ASGI application behind a WSGI server such as gunicorn.

Our own, because what exists reads a chunked body as empty, holds whole bodies, or starts its event loop when it
is imported, which then dies in the server's fork.

The server's thread stays with its request and does all blocking reads and writes; the application runs on one
event loop in a thread of its own. They meet in Exchange, one step at a time, so a slow client slows down only
its own request.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from typing import Any, Final

import uvloop

from cnr.http.application import Application
from cnr.http.wsgi_exchange import Environ, Exchange, StartResponse

SHUTDOWN_S: Final = 8.0
"""Seconds that the application has to shut down when the process ends."""


class WsgiBridge:
    """A WSGI application that runs the ASGI application of `factory`.

    Nothing is built before a process's first request, so it may be imported, and the server may fork, at any
    time before. An application that fails to start fails that request (the server answers 500 and logs why); the
    next request tries again. Works in any number of threads.
    """

    def __init__(self, factory: Callable[[], Application]) -> None:
        self._factory = factory
        self._lock = threading.Lock()
        self._runtime: _Runtime | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request. Source: PEP 3333."""
        runtime = self._running()
        exchange = Exchange(runtime.loop, environ)
        runtime.serve(exchange)
        exchange.start(start_response)
        return exchange

    def _running(self) -> "_Runtime":
        runtime = self._runtime
        if runtime is not None and runtime.pid == os.getpid():
            return runtime
        with self._lock:
            if self._runtime is None or self._runtime.pid != os.getpid():
                self._runtime = _Runtime(self._factory)
            return self._runtime


class _Runtime:
    """One process's event loop, in a thread, with the started application."""

    def __init__(self, factory: Callable[[], Application]) -> None:
        self.pid = os.getpid()
        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        # A daemon: Python waits for other threads before it tells anybody that the process ends.
        self._thread = threading.Thread(target=self._run, name="cnr-event-loop", daemon=True)
        self._thread.start()
        self._requests: set[Future[None]] = set()
        try:
            self.application: Application = self._submit(_started(factory)).result()
        except BaseException:
            self._stop_loop()
            raise
        _at_exit(self._shut_down)

    def serve(self, exchange: Exchange) -> None:
        """Begin to run the application on this exchange."""
        request = self._submit(exchange.run(self.application))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)

    def _submit(self, coroutine: Coroutine[Any, Any, Any]) -> "Future[Any]":
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def _shut_down(self) -> None:
        if self.pid != os.getpid():
            return
        # The server has already given requests their time. A thread whose request is never ended would keep the
        # process from ending.
        for request in tuple(self._requests):
            request.cancel()
        try:
            self._submit(self.application.shutdown()).result(SHUTDOWN_S)
        finally:
            self._stop_loop()

    def _stop_loop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(SHUTDOWN_S)


async def _started(factory: Callable[[], Application]) -> Application:
    application = factory()
    await application.startup()
    return application


def _at_exit(function: Callable[[], None]) -> None:
    # atexit comes after all thread pools have been closed, too late for an application that needs one to close
    # its files. This hook of the threading module, which the pools use themselves, runs ours before theirs.
    register = getattr(threading, "_register_atexit", atexit.register)
    register(function)
