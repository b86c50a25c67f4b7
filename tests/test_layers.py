"""Who may import whom. A layer knows the ones named beside it and nothing else of cnr.

Source: architecture, section 1 (docs/design.md, "Layers").
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"

STORE_INTERFACE = {f"cnr.store.{name}" for name in ("base", "keys", "records", "update", "views")}
EVERYTHING = {"cnr"}
ENTRIES = {
    f"cnr.cli.{name}"
    for name in (
        "serve",
        "worker",
        "storage",
        "namespace",
        "storage_deep",
        "storage_forget",
        "storage_migrate",
        "storage_upgrade",
        "import_",
        "export",
        "user",
        "store_options",
        "group",
        "grant",
        "token",
        "account_options",
        "administration",
        "audit",
        "audited",
    )
}
RULES: dict[str, set[str]] = {
    "cnr.domain": {"cnr.domain"},
    "cnr.store": {"cnr.domain", "cnr.store"},
    "cnr.registry": {"cnr.domain", "cnr.registry"} | STORE_INTERFACE,
    "cnr.auth": {"cnr.domain", "cnr.auth"} | STORE_INTERFACE,
    "cnr.audit": {"cnr.domain", "cnr.audit"},
    # A backup holds manifests as the CNR API shows them.
    "cnr.legacy": {"cnr.domain", "cnr.registry", "cnr.legacy", "cnr.api.cnr_messages"} | STORE_INTERFACE,
    "cnr.http": {"cnr.domain", "cnr.http"},
    "cnr.api": {"cnr.domain", "cnr.http", "cnr.registry", "cnr.auth", "cnr.api"} | STORE_INTERFACE,
    "cnr.web": {"cnr.domain", "cnr.http", "cnr.registry", "cnr.auth", "cnr.web"} | STORE_INTERFACE,
    "cnr.config": {"cnr.domain", "cnr.settings"},
    "cnr.settings": {"cnr.domain", "cnr.settings"},
    "cnr.app": EVERYTHING,
    "cnr.api.asgi": EVERYTHING,
    "cnr.api.wsgi": EVERYTHING,
    "cnr.client": {"cnr.domain", "cnr.client"},
    "cnr.cli": {"cnr.domain", "cnr.client", "cnr.cli"},
    **dict.fromkeys(ENTRIES, EVERYTHING),
}
"""For a module the longest name counts that is it or above it."""
DOMAIN_LIBRARIES = sys.stdlib_module_names | {"cnr", "msgspec", "semantic_version", "yaml"}
ADAPTERS = {"openapi": "cnr", "docs": "cnr"}
"""The protocol of a module in api/ is the first word of its name, but for these."""


def below(name: str, layer: str) -> bool:
    return name == layer or name.startswith(f"{layer}.")


def imported(source: str) -> Iterator[str]:
    """Full names that a module imports, also inside functions; `.` for a relative import."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." if node.level else node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


def protocol(module: str) -> str:
    word = module.split(".")[2].split("_")[0]
    return ADAPTERS.get(word, word)


def forbidden(module: str, name: str) -> bool:
    """Whether `module` must not import `name`."""
    layer = max((layer for layer in RULES if below(module, layer)), key=len, default=None)
    if layer is None or name.startswith("."):
        return True
    if name.split(".")[0] != "cnr":
        return layer == "cnr.domain" and name.split(".")[0] not in DOMAIN_LIBRARIES
    if name == "cnr.__version__":
        return False
    if below(module, "cnr.api") and below(name, "cnr.api") and RULES[layer] != EVERYTHING:
        return name == "cnr.api" or protocol(name) != protocol(module)
    if layer == "cnr.cli" and any(below(name, entry) for entry in ENTRIES):
        return True
    return not any(below(name, allowed) for allowed in RULES[layer])


def breaches(module: str, source: str) -> list[str]:
    return [f"{module} imports {name}" for name in imported(source) if forbidden(module, name)]


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(SRC.rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def test_layers() -> None:
    found = [breach for module, path in modules() if module != "cnr" for breach in breaches(module, path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("cnr.domain.names", "import httpx"),
        ("cnr.domain.names", "from cnr.store.base import Record"),
        ("cnr.domain.names", "def f():\n    import starlette.routing"),
        ("cnr.store.sqlite", "from cnr.registry.core import Core"),
        ("cnr.registry.core", "from cnr.store.sqlite import SqliteRecords"),
        ("cnr.registry.core", "from cnr.store import views_sqlite"),
        ("cnr.registry.core", "from cnr.http.routes import Route"),
        ("cnr.http.body", "import cnr.registry.core"),
        ("cnr.api.cnr", "from cnr.api.helm import index"),
        ("cnr.api.cnr", "from cnr.api import helm"),
        ("cnr.api.cnr", "from cnr.app import App"),
        ("cnr.client.cnr", "from cnr.http.ranges import parse"),
        ("cnr.cli.push", "from cnr.app import App"),
        ("cnr.cli.push", "from . import serve"),
        ("cnr.cli.push", "from cnr.cli.serve import command"),
        ("cnr.newcomer", "from cnr.domain.names import Format"),
    ],
)
def test_a_breach_is_found(module: str, line: str) -> None:
    assert breaches(module, line)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("cnr.domain.names", "import re\nimport yaml\nfrom cnr.domain import errors"),
        ("cnr.registry.core", "from cnr.store import keys\nfrom cnr.store.views import ViewStore"),
        ("cnr.api.cnr", "from cnr.api.cnr_errors import TABLE\nfrom cnr.api import cnr_files"),
        ("cnr.api.asgi", "from cnr.app import App"),
        ("cnr.cli.import_", "from cnr.app import App\nfrom cnr import __version__"),
    ],
)
def test_what_is_allowed(module: str, line: str) -> None:
    assert breaches(module, line) == []
