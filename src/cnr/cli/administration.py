"""Where the verbs about accounts and rules work: on a store itself, or at a registry over HTTP. One code for both."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from cnr.app import access_control
from cnr.auth.people import StoredPeople
from cnr.auth.robots import StoredRobots
from cnr.cli.options import Settings, credentials_for
from cnr.cli.store_options import STORE, load, store_options, with_registry
from cnr.client.administration import AdminClient
from cnr.client.reference import parse_registry
from cnr.domain.people import People
from cnr.domain.robots import Robots
from cnr.domain.rulebook import Rulebook
from cnr.registry.registry import Registry
from cnr.registry.rulebook import StoredRulebook

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Desk:
    """What can be administered at one place."""

    people: People
    robots: Robots
    rulebook: Rulebook


def place_options(command: Command) -> Command:
    """Adds --registry with what it needs, and the flags of the store; the command hands all of them to `at`."""
    command = store_options(*STORE)(command)
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option(
        "--registry",
        metavar="HOST[:PORT]",
        help="Work at this registry, as who you are logged in there. Else on the store itself.",
    ),
    click.option("-k", "--insecure", is_flag=True, help="Do not verify the registry's certificate."),
    click.option(
        "--cacert",
        metavar="FILE",
        envvar="APPR_CA_BUNDLES",
        type=click.Path(path_type=Path),
        help="Certificates of the authorities to trust as well.",
    ),
)


def at(flags: Mapping[str, Any], work: Callable[[Desk], Awaitable[T]]) -> T:
    """What `work` returns for the registry that the flags name, else for the store of flags and environment.

    Raises what `work` raises: ClientError of a registry, CnrError of a store.
    """
    store = {name: value for name, value in flags.items() if name not in ("registry", "insecure", "cacert")}
    if flags["registry"] is None:
        return _on_store(store, work)
    if any(value is not None for value in store.values()):
        raise click.UsageError("--registry names a server, and the other flags a store: give one of them")
    settings = Settings(flags["insecure"], flags["cacert"], None, "text")
    address = parse_registry(flags["registry"])

    async def run() -> T:
        with AdminClient(settings.connection(address, credentials_for(address))) as client:
            return await work(Desk(client, client, client))

    return asyncio.run(run())


def _on_store(flags: Mapping[str, Any], work: Callable[[Desk], Awaitable[T]]) -> T:
    async def run(registry: Registry) -> T:
        control = access_control(registry)
        people = StoredPeople(control.accounts, control.passwords)
        robots = StoredRobots(control.tokens, control.bearers, operator=_operator())
        try:
            return await work(Desk(people, robots, StoredRulebook(registry.policies)))
        finally:
            await control.close()

    return with_registry(load(flags), run)


def _operator() -> str:
    try:
        return f"{getpass.getuser()} on the store"
    except (KeyError, OSError):
        return "somebody on the store"
