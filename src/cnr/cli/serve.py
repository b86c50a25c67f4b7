"""`cnr serve`: run a registry on this machine."""

import gc
import ipaddress
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

import click

from cnr import __version__
from cnr.app import App
from cnr.cli.listening import CannotListen, bind, shown
from cnr.cli.prefork import STOP_S, Prefork, Report, StartFailed
from cnr.cli.store_options import load, store_options
from cnr.cli.worker import work
from cnr.config import Config, table
from cnr.domain.store_url import FILE
from cnr.http.application import Served

SETTINGS: Final = tuple(row.name for row in table() if row.flag)


@click.command("serve")
@store_options(*SETTINGS)
@click.option("-p", "old_port", hidden=True)
@click.option("-b", "--bind", "old_host", hidden=True)
@click.option("--db-class", "old_storage", hidden=True)
def command(old_port: str | None, old_host: str | None, old_storage: str | None, **flags: Any) -> None:
    """Run a registry.

    Every option is also an environment variable; an option wins.
    """
    # What the old command called them. Source: contracts/cnr.md section 8, "Original entry points".
    old = {"port": old_port, "host": old_host, "storage": old_storage}
    config = load({**flags, **{name: value for name, value in old.items() if flags[name] is None}})
    _refuse_open(config)
    try:
        serve(config, bind(config.host, config.port, config.workers))
    except (CannotListen, StartFailed) as exc:
        raise click.ClickException(str(exc)) from None


def _refuse_open(config: Config) -> None:
    """Raises click.ClickException where anybody on the network could change everything."""
    if config.auth == "open" and not config.insecure_open and not _is_local(config.host):
        raise click.ClickException(
            f"{config.host} lets others reach this server, and without accounts they may change everything: make an"
            " administrator (cnr user add NAME --admin) and set CNR_AUTH=authenticated, or give --insecure-open"
        )


def serve(config: Config, listeners: list[socket.socket], make: Callable[[Config], Served] = App) -> None:
    """Serve with one worker process per listener until SIGTERM or SIGINT. Raises StartFailed."""

    def do(number: int, lifeline: int, report: Report) -> int:
        # A listener that anybody holds goes on taking connections when its worker has stopped.
        _close(listener for listener in listeners if listener is not listeners[number])
        return work(config, make, listeners[number], lifeline, report)

    port = listeners[0].getsockname()[1]
    gc.freeze()  # so that the workers' collectors leave alone the pages that they share with this process
    Prefork(
        do,
        len(listeners),
        on_ready=lambda: _tell(_welcome(config, port)),
        on_stop=lambda: _close(listeners),
        tell=lambda text: _tell(f"cnr: {text}"),
        stop_s=config.drain + STOP_S,
    ).run()


def _close(listeners: Iterable[socket.socket]) -> None:
    for listener in listeners:
        listener.close()


def _welcome(config: Config, port: int) -> str:
    scheme = "http" if config.tls_cert is None else "https"
    workers = "1 worker" if config.workers == 1 else f"{config.workers} workers"
    lines = [
        f"cnr {__version__} listens on {scheme}://{shown(config.host, port)} with {workers}.",
        f"Packages are kept in {_place(config)}.",
    ]
    if _is_local(config.host):
        lines.append(
            "Only this machine can reach it; --host 0.0.0.0 with --auth authenticated opens it to the network."
        )
    return "\n".join([*lines, "Ctrl-C stops it."])


def _place(config: Config) -> str:
    url = config.records_url
    place = f"{url.path} (filesystem)" if url.scheme == FILE else str(url)
    return place if config.blob_storage is None else f"{place}, files in {config.blob_storage}"


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
