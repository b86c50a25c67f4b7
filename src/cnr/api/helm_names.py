"""Tenants and charts in a path. A tenant is what repositories have before their last component; `library` is none."""

from collections.abc import Mapping

from cnr.domain.access import Grant
from cnr.domain.account import Path
from cnr.domain.errors import InvalidName, LoginRequired, PackageNotFound
from cnr.domain.names import LIBRARY, Repository, parse_repository, require_writable
from cnr.registry.chart_index import ChartIndex
from cnr.registry.chart_selection import only


def readable_tenant(tenant: str) -> str:
    """The namespace of a tenant. Raises PackageNotFound where no tenant can have this name."""
    try:
        return _namespace(tenant)
    except InvalidName:
        raise no_chart() from None


def readable_chart(tenant: str, name: str) -> Repository:
    """The repository of a chart that is read. Raises PackageNotFound where no chart can have this name."""
    try:
        namespace = _namespace(tenant)
        return parse_repository(f"{namespace}/{name}" if namespace else name)
    except InvalidName:
        raise no_chart() from None


def writable_tenant(tenant: str) -> str:
    """The namespace of a tenant to which is pushed. Raises InvalidName."""
    namespace = _namespace(tenant)
    if namespace:
        require_writable(parse_repository(f"{namespace}/chart"))
    return namespace


def locate(values: Mapping[str, str]) -> Repository | None:
    """The chart that a route's variables name, for authorisation."""
    try:
        namespace, name = _namespace(values["tenant"]), values["name"]
        return parse_repository(f"{namespace}/{name}" if namespace else name)
    except (KeyError, InvalidName):
        return None


def place(values: Mapping[str, str]) -> Path | None:
    """Where a right must be held for all of a tenant; None where a chart is named, which has its own place."""
    if "name" in values or "tenant" not in values:
        return None
    try:
        return Path(_namespace(values["tenant"]) or LIBRARY)
    except InvalidName:
        return None


async def shown_to(grant: Grant, index: ChartIndex, namespace: str, *, whole: bool) -> ChartIndex:
    """What the caller may pull of a tenant's index, or of a part that is not `whole`.

    Raises LoginRequired for anybody who may pull nothing of it.

    So a tenant that is private and one that is missing look alike, and a client without a password hears of it.
    """
    if grant.sees is None:
        return index
    names = list(index.names())
    seen = await grant.sees([Repository(f"{namespace}/{name}" if namespace else name) for name in names])
    if grant.is_anybody() and not any(seen) and not await grant.may_pull(_any_chart(namespace)):
        raise LoginRequired("this needs a user with the right to do it: log in")
    if whole and names and all(seen):
        return index  # a part has the time of the whole, which may be that of a chart that he may not see
    return only(index, [name for name, visible in zip(names, seen, strict=True) if visible])


def _any_chart(namespace: str) -> Repository:
    """One that no tenant has, so that it has no visibility of its own."""
    return Repository(f"{namespace}/-" if namespace else "-")


def no_chart() -> PackageNotFound:
    """As ChartMuseum says it."""
    return PackageNotFound("chart not found")


def _namespace(tenant: str) -> str:
    if tenant in ("", LIBRARY):
        return ""
    if tenant.startswith(f"{LIBRARY}/"):
        raise InvalidName(f"{LIBRARY} stands for charts without a tenant, and has no tenants below it")
    return parse_repository(tenant)
