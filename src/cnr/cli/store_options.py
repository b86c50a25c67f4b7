"""The options of verbs that work on a store itself, and the registry that they open."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Final, TypeVar

import click

from cnr.app import POOL_THREADS, open_registry, open_stores
from cnr.cli.audited import audited
from cnr.config import Config, table
from cnr.registry.registry import Registry
from cnr.settings.setting import ConfigError
from cnr.store.base import StoreRefused
from cnr.store.open import Stores

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

STORE: Final = ("storage", "database_url", "spool", "blob_storage", "max_chunked_blob", "audit_log")
"""Settings that say where the store is, and the log of what is changed in it."""
LIMITS: Final = ("max_package", "max_unpacked", "max_members", "max_ratio", "max_chart_file", "max_metadata")
"""Settings that say what may come in."""


def store_options(*names: str) -> Callable[[Command], Command]:
    """Adds the flags of these settings to a command, which hands what it gets for them to `load`."""
    rows = [row for row in table() if row.name in names]

    def add(command: Command) -> Command:
        for row in reversed(rows):
            assert row.flag is not None
            text = f"{row.help} Also {', '.join(row.env)}. Default: {row.default}."
            # a switch may stand alone: --insecure-open
            switch: dict[str, Any] = {"is_flag": False, "flag_value": "true"} if row.is_switch else {}
            command = click.option(row.flag, row.name, metavar="VALUE", help=text, **switch)(command)
        return command

    return add


def load(flags: Mapping[str, Any], *, unless_set: Mapping[str, str] = MappingProxyType({})) -> Config:
    """The settings of flags, environment, and of `unless_set` for variables that the environment has not.

    Raises click.ClickException with one sentence.
    """
    try:
        return Config.load({**unless_set, **os.environ}, flags)
    except ConfigError as exc:
        raise click.ClickException(str(exc)) from None


def with_registry(config: Config, work: Callable[[Registry], Awaitable[T]]) -> T:
    """What `work` returns for the registry over the store of `config`, which may be in use by a server.

    The audit log gets a line, unless the verb only reads.
    Raises what `work` raises, and click.ClickException where the store cannot be opened.
    """

    async def run() -> T:
        async with open_registry(config, own_only=True) as registry:
            with audited(config):
                return await work(registry)

    return _run(run())


def with_stores(config: Config, work: Callable[[Stores], Awaitable[T]]) -> T:
    """As with_registry, for what needs the stores alone."""

    async def run() -> T:
        with ThreadPoolExecutor(POOL_THREADS) as pool:
            stores = await open_stores(config, pool, own_only=True)
            try:
                with audited(config):
                    return await work(stores)
            finally:
                await stores.close()

    return _run(run())


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except StoreRefused as exc:
        raise click.ClickException(str(exc)) from None
