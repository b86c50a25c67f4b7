"""Tenants and charts in a path. A tenant is what repositories have before their last component; `library` is none."""

from collections.abc import Mapping

from cnr.domain.errors import InvalidName, PackageNotFound
from cnr.domain.names import LIBRARY, Repository, parse_repository, require_writable


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
    """What a route's variables name, for authorisation: a chart, or all of a tenant."""
    try:
        namespace = _namespace(values["tenant"])
        name = values.get("name")
        return parse_repository("/".join(part for part in (namespace, name) if part))
    except (KeyError, InvalidName):
        return None


def no_chart() -> PackageNotFound:
    """As ChartMuseum says it."""
    return PackageNotFound("chart not found")


def _namespace(tenant: str) -> str:
    if tenant in ("", LIBRARY):
        return ""
    if tenant.startswith(f"{LIBRARY}/"):
        raise InvalidName(f"{LIBRARY} stands for charts without a tenant, and has no tenants below it")
    return parse_repository(tenant)
