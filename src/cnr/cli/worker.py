"""One worker process of `cnr serve`."""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
import uvloop

from cnr.cli.failures import sentence
from cnr.cli.listening import BACKLOG
from cnr.cli.prefork import READY, Report
from cnr.config import Config
from cnr.http.application import Application
from cnr.http.trailers import TrailersIgnored
from cnr.settings.setting import ConfigError
from cnr.store.base import StoreRefused

GRACE_S: Final = 7
"""Seconds for requests under way after the signal to stop. (uvicorn takes whole ones.)"""
LAST_WORD_S: Final = 0.5
"""Seconds for what the grace has cut off to say so to its client and in the log; after them it is cut off again."""
LAST_S: Final = 9.5
"""Seconds after which a worker that was told to stop ends in any case, also without a parent to kill it."""
KEEP_ALIVE_S: Final = 75


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the worker's business."""
        yield


def work(
    config: Config, make: Callable[[Config], Application], listener: socket.socket, lifeline: int, report: Report
) -> int:
    """Serve `listener` until SIGTERM, or until the parent that holds the other end of `lifeline` is gone.

    Returns the exit code. Reports READY, or one sentence about what keeps the application from starting.
    """
    _log_to_stderr(config.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_work(config, make, listener, lifeline, report))


async def _work(
    config: Config, make: Callable[[Config], Application], listener: socket.socket, lifeline: int, report: Report
) -> int:
    try:
        app = make(config)
        await app.startup()
    except Exception as exc:
        logging.getLogger("cnr").debug("start-up failed", exc_info=exc)
        report(str(exc) if isinstance(exc, ConfigError | StoreRefused) else sentence(exc))
        return 1
    server = _Server(settings(config, app))
    _stop_when_told(server, lifeline)
    listener.listen(BACKLOG)
    report(READY)
    try:
        await server.serve(sockets=[listener])
        await _last_words(set(server.server_state.tasks))
    finally:
        await app.shutdown()
    return 0


async def _last_words(requests: set[asyncio.Task[None]]) -> None:
    for _ in range(2):
        if requests:
            _, requests = await asyncio.wait(requests, timeout=LAST_WORD_S)
        for request in requests:
            request.cancel()


def _stop_when_told(server: uvicorn.Server, lifeline: int) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(lifeline)
        server.should_exit = True
        last = threading.Timer(LAST_S, os._exit, (1,))
        last.daemon = True
        last.start()

    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_reader(lifeline, stop)


def settings(config: Config, app: Application) -> uvicorn.Config:
    """How uvicorn runs a worker."""
    return uvicorn.Config(
        app,
        loop="none",
        http=TrailersIgnored,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=bool(config.trusted_proxies),
        forwarded_allow_ips=list(config.trusted_proxies),
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Their warnings are about what strangers send; a line for each would let them fill the disk.
    for library in ("uvicorn", "python_multipart"):
        logging.getLogger(library).setLevel(logging.DEBUG if level == "debug" else logging.ERROR)
