"""Chart.yaml in helm's field list: what helm would read from it, or why it would refuse.

Source: observed from helm's chart metadata (fields, types, validation) and from its loader; contracts/oci-helm.md
sections 4 and 6.1. Two things differ, both on purpose: an unquoted `version: 1.10` stays `1.10` (helm makes it 1.1),
and what different readers would understand differently (duplicate keys, `Name` beside `name`) is refused.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from cnr.domain.archive import CHART, COMPOSE, HELM, REQUIREMENTS, PackageContents
from cnr.domain.errors import InvalidArchive
from cnr.domain.limits import MIB
from cnr.domain.printable import printable
from cnr.domain.version import HELM_VERSION
from cnr.domain.yaml_text import Plain, Value, load

CONFIG_LIMIT = MIB
"""Bytes of a chart as JSON. Its annotations go into the manifest too, which may have 4 MiB in all."""

_DESCRIPTION_LIMIT = 1024
_KEYWORD_LIMIT = 64
_KEYWORDS_LIMIT = 20

_ALIAS = re.compile(r"[A-Za-z0-9_-]+")
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"})


class Maintainer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who keeps a chart."""

    name: str = ""
    email: str = ""
    url: str = ""


class Dependency(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A chart that a chart needs. helm writes `name` and `repository` even when they are empty."""

    name: str
    repository: str
    version: str = ""
    condition: str = ""
    tags: tuple[str, ...] = ()
    enabled: bool = False
    import_values: tuple[str | dict[str, str], ...] = msgspec.field(default=(), name="import-values")
    alias: str = ""


class Chart(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """Chart.yaml, checked as helm checks it, text made printable. Encodes to helm's config JSON."""

    name: str
    version: str
    api_version: str
    home: str = ""
    sources: tuple[str, ...] = ()
    description: str = ""
    keywords: tuple[str, ...] = ()
    maintainers: tuple[Maintainer, ...] = ()
    icon: str = ""
    condition: str = ""
    tags: str = ""
    app_version: str = ""
    deprecated: bool = False
    annotations: dict[str, str] = {}
    kube_version: str = ""
    dependencies: tuple[Dependency, ...] = ()
    type: str = ""


class Summary(msgspec.Struct, frozen=True):
    """A package in a line, for search: at most 1 KiB of text and 20 keywords of 64 bytes, all printable."""

    description: str = ""
    keywords: tuple[str, ...] = ()


def summarize(contents: PackageContents) -> Summary:
    """What search knows of a package, from its describing file; empty where there is none or it says nothing.

    Chart.yaml's and kpm's description and keywords (kpm's are under `package`), a compose file's services as
    keywords. Taken leniently: also from a chart that helm would refuse.
    """
    document = _dict(contents.document)
    if contents.format == COMPOSE:
        return Summary(_line(document.get("description")), _words(list(_dict(document.get("services")))))
    about = _dict(document.get("package")) if "package" in document else document
    return Summary(_line(about.get("description")), _words(about.get("keywords")))


def _dict(value: Value) -> Mapping[str, Value]:
    return value if isinstance(value, dict) else {}


def _line(value: Value) -> str:
    return _cut(value, _DESCRIPTION_LIMIT) if isinstance(value, str) else ""


def _words(value: Value) -> tuple[str, ...]:
    words = value if isinstance(value, list) else ()
    cut = (_cut(word, _KEYWORD_LIMIT) for word in words if isinstance(word, str))
    return tuple(dict.fromkeys(word for word in cut if word))[:_KEYWORDS_LIMIT]


def _cut(text: str, limit: int) -> str:
    """`text` in one printable line of at most `limit` bytes of UTF-8, cut between characters."""
    line = " ".join(printable(text[: 4 * limit]).split())
    return line.encode()[:limit].decode(errors="ignore").strip()


def helm_visible(contents: PackageContents, name: str, release: str) -> Chart | None:
    """The chart by which helm, index.yaml and ChartMuseum show a package; None if the CNR API alone shows it."""
    try:
        return helm_chart(contents, name, release)
    except InvalidArchive:
        return None


def helm_chart(contents: PackageContents, name: str, release: str) -> Chart:
    """The chart in a package, if it is `name` at `release` and helm can load it. Raises InvalidArchive: why not.

    `contents.shape.loadable` says whether helm loads the archive as it is. Source: contracts/oci-helm.md 6.1.
    """
    if contents.shape.refusal is not None:
        raise InvalidArchive(f"helm could not load the archive: {contents.shape.refusal}")
    if contents.format != HELM or CHART not in contents.files:
        raise InvalidArchive(f"there is no {CHART} (a regular file) at the top of the archive")
    document = contents.document or load(contents.files[CHART], what=CHART)
    chart = _chart(_overlaid(document, contents.files.get(REQUIREMENTS)))
    if (chart.name, chart.version) != (name, release):
        raise InvalidArchive(f"{CHART} says {chart.name[:100]} {chart.version}, the package is {name} {release}")
    if len(msgspec.json.encode(chart)) > CONFIG_LIMIT:
        raise InvalidArchive(f"{CHART} has more than {CONFIG_LIMIT:,} bytes as JSON")
    return chart


def parse_chart(data: bytes, requirements: bytes | None = None) -> Chart:
    """The chart of a Chart.yaml. Raises InvalidArchive with the field that helm would refuse.

    `requirements` is an old chart's requirements.yaml: helm lays all its fields over those of Chart.yaml.
    """
    return _chart(_overlaid(load(data, what=CHART), requirements))


def _overlaid(document: Value, requirements: bytes | None) -> Mapping[str, Value]:
    if not isinstance(document, dict):
        raise InvalidArchive(f"{CHART} is no mapping")
    over = load(requirements, what=REQUIREMENTS) if requirements is not None else None
    if over is None:
        return document
    if not isinstance(over, dict):
        raise InvalidArchive(f"{REQUIREMENTS} is no mapping")
    return document | {key: value for key, value in over.items() if value is not None}


def _chart(document: Mapping[str, Value]) -> Chart:
    return check_chart(Chart(**_read(document, _CHART, "")))


def check_chart(chart: Chart) -> Chart:
    """`chart` with its defaults, if helm would load it. Raises InvalidArchive with the field that helm would refuse."""
    if not chart.api_version:
        chart = msgspec.structs.replace(chart, api_version="v1")
    if chart.api_version not in ("v1", "v2"):
        raise InvalidArchive(f"{CHART}: apiVersion must be v1 or v2")
    if not chart.name or "/" in chart.name:
        raise InvalidArchive(f"{CHART}: name is missing, or has a slash")
    if not HELM_VERSION.fullmatch(chart.version) or len(chart.version) > 256:
        raise InvalidArchive(f"{CHART}: version is missing, or no SemVer version")
    if chart.type not in ("", "application", "library"):
        raise InvalidArchive(f"{CHART}: type must be application or library")
    names = [dependency.alias or dependency.name for dependency in chart.dependencies]
    if len(set(names)) < len(names):
        raise InvalidArchive(f"{CHART}: two dependencies have one name or alias")
    if any(dependency.alias and not _ALIAS.fullmatch(dependency.alias) for dependency in chart.dependencies):
        raise InvalidArchive(f"{CHART}: a dependency's alias has characters other than letters, digits, '_' and '-'")
    return chart


_Reader = Callable[[str, Value], Any]
T = TypeVar("T")


def _read(document: Mapping[str, Value], fields: Mapping[str, tuple[str, _Reader]], path: str) -> dict[str, Any]:
    """The attributes that `document` gives. Unknown keys are dropped, as helm drops them."""
    for key in document:
        if key not in fields and key.casefold() in _folded(fields):
            raise InvalidArchive(
                f"{CHART}: {path}{key[:100]!r} is written otherwise: some readers take it, some do not"
            )
    return {attribute: reader(path + key, document.get(key)) for key, (attribute, reader) in fields.items()}


def _folded(fields: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(key.casefold() for key in fields)


def _raw(path: str, value: Value) -> str:
    if isinstance(value, list | dict):
        raise InvalidArchive(f"{CHART}: {path} must be text")
    return str(value or "")


def _text(path: str, value: Value) -> str:
    return printable(_raw(path, value))


def _flag(path: str, value: Value) -> bool:
    if value is None or (isinstance(value, Plain) and value in _FALSE):
        return False
    if isinstance(value, Plain) and value in _TRUE:
        return True
    raise InvalidArchive(f"{CHART}: {path} must be true or false")


def _list(path: str, value: Value, reader: Callable[[str, Value], T]) -> tuple[T, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidArchive(f"{CHART}: {path} must be a list")
    return tuple(reader(f"{path}[{number}]", item) for number, item in enumerate(value))


def _mapping(path: str, value: Value) -> Mapping[str, Value]:
    if not isinstance(value, dict):
        raise InvalidArchive(f"{CHART}: {path} must be a mapping")
    return value


def _texts(path: str, value: Value) -> tuple[str, ...]:
    return _list(path, value, _text)


def _annotations(path: str, value: Value) -> dict[str, str]:
    items = _mapping(path, value) if value is not None else {}
    return {key: _raw(f"{path}.{key[:100]}", item) for key, item in items.items()}


def _maintainer(path: str, value: Value) -> Maintainer:
    return Maintainer(**_read(_mapping(path, value), _MAINTAINER, path + "."))


def _dependency(path: str, value: Value) -> Dependency:
    return Dependency(**_read(_mapping(path, value), _DEPENDENCY, path + "."))


def _import_value(path: str, value: Value) -> str | dict[str, str]:
    return _annotations(path, value) if isinstance(value, dict) else _raw(path, value)


_MAINTAINER: dict[str, tuple[str, _Reader]] = {key: (key, _text) for key in ("name", "email", "url")}
_DEPENDENCY: dict[str, tuple[str, _Reader]] = {
    "name": ("name", _text),
    "version": ("version", _text),
    "repository": ("repository", _text),
    "condition": ("condition", _text),
    "tags": ("tags", _texts),
    "enabled": ("enabled", _flag),
    "import-values": ("import_values", lambda path, value: _list(path, value, _import_value)),
    "alias": ("alias", _raw),
}
_CHART: dict[str, tuple[str, _Reader]] = {
    "name": ("name", _text),
    "home": ("home", _text),
    "sources": ("sources", _texts),
    "version": ("version", _raw),
    "description": ("description", _text),
    "keywords": ("keywords", _texts),
    "maintainers": ("maintainers", lambda path, value: _list(path, value, _maintainer)),
    "icon": ("icon", _text),
    "apiVersion": ("api_version", _raw),
    "condition": ("condition", _text),
    "tags": ("tags", _text),
    "appVersion": ("app_version", _text),
    "deprecated": ("deprecated", _flag),
    "annotations": ("annotations", _annotations),
    "kubeVersion": ("kube_version", _text),
    "dependencies": ("dependencies", lambda path, value: _list(path, value, _dependency)),
    "type": ("type", _raw),
}
