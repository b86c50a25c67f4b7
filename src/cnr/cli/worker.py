"""One worker process of `cnr serve`."""

import asyncio
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final

import uvicorn
import uvloop

from cnr.cli.failures import sentence
from cnr.cli.listening import BACKLOG
from cnr.cli.prefork import READY, Report
from cnr.config import Config
from cnr.http.application import Served
from cnr.http.gate import Gate
from cnr.http.tls import HANDSHAKE_S, Certificate, CertificateRefused
from cnr.http.trailers import TrailersIgnored
from cnr.settings.setting import ConfigError
from cnr.store.base import StoreRefused

GRACE_S: Final = 7
"""Seconds for requests under way after the signal to stop. (uvicorn takes whole ones.)"""
LAST_WORD_S: Final = 0.5
"""Seconds for what the grace has cut off to say so to its client and in the log; after them it is cut off again."""
LAST_S: Final = 9.5
"""Seconds after which a worker that was told to stop ends in any case, also without a parent to kill it."""
SHUTDOWN_S: Final = 2.0
"""Seconds that a client has to agree to the end of a TLS connection."""


class _Loop(uvloop.Loop):
    async def create_server(self, *args: Any, **kwargs: Any) -> Any:
        """With less patience in handshakes than asyncio's minute, which uvicorn leaves as it is."""
        if kwargs.get("ssl") is not None:
            kwargs |= {"ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": SHUTDOWN_S}
        return await super().create_server(*args, **kwargs)


FILES_RESERVED: Final = 256
"""Open files of a worker that are not connections: the store's, those being read and spooled."""


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the worker's business."""
        yield


def work(
    config: Config, make: Callable[[Config], Served], listener: socket.socket, lifeline: int, report: Report
) -> int:
    """Serve `listener` until SIGTERM, or until the parent that holds the other end of `lifeline` is gone.

    Returns the exit code. Reports READY, or one sentence about what keeps the application from starting.
    """
    _log_to_stderr(config.log_level)
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(_work(config, make, listener, lifeline, report))


async def _work(
    config: Config, make: Callable[[Config], Served], listener: socket.socket, lifeline: int, report: Report
) -> int:
    try:
        app = make(config)
        certificate = certificate_of(config)
        await app.startup()
    except Exception as exc:
        logging.getLogger("cnr").debug("start-up failed", exc_info=exc)
        report(str(exc) if isinstance(exc, ConfigError | StoreRefused) else sentence(exc))
        return 1
    server = _Server(settings(config, app))
    server.config.load()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(app.shutdown)
        if certificate is not None:
            server.config.ssl = certificate.context
            await stack.enter_async_context(certificate.watched())
        _stop_when_told(server, app, lifeline, config.drain)
        listener.listen(BACKLOG)
        report(READY)
        await server.serve(sockets=[listener])
        await _last_words(set(server.server_state.tasks))
    return 0


def certificate_of(config: Config) -> Certificate | None:
    """What to serve HTTPS with, if that is wanted. Raises ConfigError."""
    if config.tls_key is None:
        return None
    if config.tls_cert is None:
        raise ConfigError("CNR_TLS_KEY is set, and CNR_TLS_CERT is not: HTTPS needs both")
    try:
        return Certificate(config.tls_cert, config.tls_key)
    except CertificateRefused as exc:
        raise ConfigError(f"HTTPS cannot be served: {exc} (CNR_TLS_CERT, CNR_TLS_KEY)") from None


async def _last_words(requests: set[asyncio.Task[None]]) -> None:
    for _ in range(2):
        if requests:
            _, requests = await asyncio.wait(requests, timeout=LAST_WORD_S)
        for request in requests:
            request.cancel()


def _stop_when_told(server: uvicorn.Server, app: Served, lifeline: int, drain_s: float) -> None:
    loop = asyncio.get_running_loop()
    told = False

    def stop() -> None:
        nonlocal told
        loop.remove_reader(lifeline)
        if told:
            return  # the signal may come again
        told = True
        app.drain()
        loop.call_later(drain_s, close)
        last = threading.Timer(drain_s + LAST_S, os._exit, (1,))
        last.daemon = True
        last.start()

    def close() -> None:
        server.should_exit = True

    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_reader(lifeline, stop)


def settings(config: Config, app: Served) -> uvicorn.Config:
    """How uvicorn runs a worker."""
    return uvicorn.Config(
        app,
        loop="none",
        http=_protocol(config),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,  # cnr.http.proxies
        backlog=BACKLOG,
        timeout_keep_alive=config.keep_alive_timeout,
        timeout_graceful_shutdown=GRACE_S,
    )


def _protocol(config: Config) -> type[TrailersIgnored]:
    """The protocol with this server's bounds; its connections are counted together."""
    files = _open_files(config.max_connections + FILES_RESERVED)
    gate = Gate(
        total=min(config.max_connections, max(files - FILES_RESERVED, 1)),
        per_address=config.max_connections_per_address,
        trusted=config.trusted_proxies,
    )
    own = {"head_s": config.header_timeout, "stall_s": config.write_timeout, "gate": gate}
    return type("LimitedProtocol", (TrailersIgnored,), own)


def _open_files(wanted: int) -> int:
    """How many files this process may open: `wanted`, if it may allow itself as many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < wanted:
        soft = wanted if hard == unlimited else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == unlimited else soft


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Their warnings are about what strangers send; a line for each would let them fill the disk.
    for library in ("uvicorn", "python_multipart"):
        logging.getLogger(library).setLevel(logging.DEBUG if level == "debug" else logging.ERROR)
