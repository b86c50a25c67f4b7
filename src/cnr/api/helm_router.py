"""Routes of the classic repository and the ChartMuseum API: a tenant has any number of components.

`C/<tenant>/index.yaml`, `C/<tenant>/charts/<file>`, `C/api/<tenant>/charts/…`; without a tenant one slash less.
Source: contracts/oci-helm.md section 5.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from cnr.http.routes import PatternRouter, Route

FIXED: Final = ("/", "/info", "/health")
INDEXES: Final = ("index.yaml", "index.json")
CHANNELS: Final = "channels"
CHARTS: Final = "charts"

_CHART_ROUTES: Final = ("", "/{name}", "/{name}/{version}", "/{name}/{version}/{what}")


class HelmRouter(PatternRouter):
    """Finds the routes of `routes`, whose paths are below the context path `prefix` (may be empty)."""

    def __init__(self, routes: Iterable[Route], *, prefix: str) -> None:
        super().__init__(routes, lambda path: _split(path.removeprefix(prefix) or "/"))


def _split(path: str) -> tuple[str, dict[str, str]]:
    """The pattern of a path, and the values of its variables."""
    if path in FIXED:
        return path, {}
    parts = path.split("/")[1:]
    if parts[-1] == "":
        parts.pop()
    if parts[0] == "api":
        return _api(parts[1:])
    if parts[-1] in INDEXES:
        start, values = _place(parts[:-1])
        return f"{start}/{parts[-1]}", values
    for count, end in ((1, "/charts/{file}"), (2, "/charts/{name}/{file}")):
        if len(parts) > count and parts[-count - 1] == CHARTS:
            start, values = _place(parts[: -count - 1])
            return start + end, {**values, **dict(zip(("file", "name"), reversed(parts[-count:]), strict=False))}
    return "", {}


def _place(parts: Sequence[str]) -> tuple[str, dict[str, str]]:
    """A tenant, or a channel of a tenant of at most one part: no repository has `channels` in that place."""
    if 2 <= len(parts) <= 3 and parts[-2] == CHANNELS:
        return "/{tenant}/channels/{channel}", {"tenant": "/".join(parts[:-2]), "channel": parts[-1]}
    return "/{tenant}", {"tenant": "/".join(parts)}


def _api(parts: Sequence[str]) -> tuple[str, dict[str, str]]:
    if parts and parts[-1] == "prov" and CHARTS not in parts:
        return "/api/{tenant}/prov", {"tenant": "/".join(parts[:-1])}
    if CHARTS not in parts:
        return "", {}
    at = parts.index(CHARTS)
    rest = parts[at + 1 :]
    if len(rest) >= len(_CHART_ROUTES):
        return "", {}
    values = dict(zip(("name", "version", "what"), rest, strict=False))
    return "/api/{tenant}/charts" + _CHART_ROUTES[len(rest)], {"tenant": "/".join(parts[:at]), **values}
