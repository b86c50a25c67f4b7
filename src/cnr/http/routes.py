"""Routes: one table per adapter, matched by splitting the path once.

A path's segments walk a tree; static segments win over variables, and a trailing slash changes nothing. A variable
`{path}` is the last one and takes all that is left of the path, with its slashes.
(Trying regular expressions in turn cost more than a cached answer itself; docs/benchmarks.md.)
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from starlette.responses import Response

from cnr.domain.access import Action

REST: Final = "{path}"
Handler = Callable[..., Awaitable[Response]]


class RouteNotFound(Exception):
    """No route has this path."""


class MethodNotAllowed(Exception):
    """The path exists, not with this method. `allow`: the methods that it has."""

    def __init__(self, allow: Sequence[str]) -> None:
        super().__init__(", ".join(allow))
        self.allow = tuple(allow)


@dataclass(frozen=True, slots=True)
class Route:
    """`method path`, such as `GET /api/v1/packages/{namespace}/{name}`; variables go to `handler` by name.

    `login`: whether credentials are shown there to be let in later.
    """

    method: str
    path: str
    handler: Handler
    action: Action
    login: bool = False

    @property
    def changes(self) -> bool:
        """Whether something may be different afterwards."""
        return self.method != "GET" and not self.login

    @property
    def variables(self) -> tuple[str, ...]:
        """The names in braces, in order."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


@dataclass(slots=True)
class _Node:
    static: dict[str, "_Node"] = field(default_factory=dict)
    variable: "_Node | None" = None
    rest: "_Node | None" = None
    routes: dict[str, tuple[Route, tuple[str, ...]]] = field(default_factory=dict)


class Router:
    """Finds the route of a method and path among `routes`, each mounted under every one of `prefixes`."""

    def __init__(self, routes: Iterable[Route], *, prefixes: Sequence[str] = ("",)) -> None:
        self.routes = tuple(routes)
        self._root = _Node()
        for route in self.routes:
            for prefix in prefixes:
                self._add(prefix, route)

    def _add(self, prefix: str, route: Route) -> None:
        node = self._root
        for segment in _segments(prefix + route.path):
            if segment == REST:
                node.rest = node.rest or _Node()
                node = node.rest
            elif segment.startswith("{"):
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.static.setdefault(segment, _Node())
        if route.method in node.routes:
            raise ValueError(f"two routes for {route.method} {prefix}{route.path}")
        node.routes[route.method] = (route, route.variables)

    def match(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route, and the values of its variables. HEAD matches GET.

        Raises RouteNotFound, MethodNotAllowed.
        """
        values: list[str] = []
        node = _walk(self._root, _segments(path), 0, values)
        if node is None:
            raise RouteNotFound(path)
        found = node.routes.get("GET" if method == "HEAD" else method)
        if found is None:
            raise MethodNotAllowed(_allowed(node.routes))
        route, variables = found
        return route, dict(zip(variables, values, strict=True))


class PatternRouter(Router):
    """Finds the routes of `routes` whose path is the pattern that `split` makes of a request's, with its variables.

    For paths in which a variable has slashes.
    """

    def __init__(self, routes: Iterable[Route], split: Callable[[str], tuple[str, Mapping[str, str]]]) -> None:
        super().__init__(())
        self.routes = tuple(routes)
        self._split = split
        self._table: dict[str, dict[str, Route]] = {}
        for route in self.routes:
            self._table.setdefault(route.path, {})[route.method] = route

    def match(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """As Router.match."""
        pattern, values = self._split(path)
        methods = self._table.get(pattern)
        if methods is None:
            raise RouteNotFound(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            raise MethodNotAllowed(_allowed(methods))
        return route, values


def _allowed(routes: Mapping[str, object]) -> list[str]:
    return sorted({*routes, "OPTIONS"} | ({"HEAD"} if "GET" in routes else set()))


def _segments(path: str) -> list[str]:
    segments = path.split("/")[1:]
    if segments and not segments[-1]:
        segments.pop()
    return segments


def _walk(node: _Node, segments: Sequence[str], at: int, values: list[str]) -> _Node | None:
    if at == len(segments):
        return node if node.routes else None
    static = node.static.get(segments[at])
    if static is not None and (found := _walk(static, segments, at + 1, values)) is not None:
        return found
    if node.variable is not None and segments[at]:
        values.append(segments[at])
        found = _walk(node.variable, segments, at + 1, values)
        if found is not None:
            return found
        values.pop()
    if node.rest is None:
        return None
    values.append("/".join(segments[at:]))
    return node.rest
