"""What is inside a chart's archive: its templates and its values, as ChartMuseum shows them."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cnr.domain.errors import TooLarge
from cnr.domain.gunzip import gunzip
from cnr.domain.limits import MIB, Limits, too_large
from cnr.domain.shape import inner_parts
from cnr.domain.tally import Tally
from cnr.domain.tar_reader import TarReader
from cnr.domain.yaml_text import Plain, Value, load
from cnr.registry.charts import Charts, StoredChart
from cnr.registry.core import Core

VALUES: Final = "values.yaml"
TEMPLATES: Final = "templates"
SHOWN_LIMIT: Final = 16 * MIB
"""Bytes of all files that one answer shows."""

Wanted = Callable[[tuple[str, ...]], bool]
"""Which files, from the parts of their names below the chart's folder."""

_NUMBER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS: Final[Mapping[str, bool | None]] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}


@dataclass(frozen=True, slots=True)
class File:
    """A file of a chart: its name below the chart's folder."""

    name: str
    data: bytes


class ChartFiles:
    """Reads files out of archives. Bounded as a push is, and by SHOWN_LIMIT."""

    def __init__(self, core: Core, charts: Charts) -> None:
        self._core = core
        self._charts = charts

    async def templates(self, chart: StoredChart) -> tuple[list[File], Any]:
        """The templates, and the values as JSON. Raises TooLarge, InvalidArchive."""
        files = await self._read(chart, lambda parts: parts[0] == TEMPLATES or parts == (VALUES,))
        values = next((file.data for file in files if file.name == VALUES), b"")
        found = await self._core.work(len(values), lambda: as_json(load(values, what=VALUES)))
        return [file for file in files if file.name != VALUES], found if isinstance(found, dict) else {}

    async def values(self, chart: StoredChart) -> bytes | None:
        """values.yaml as it was packed; None where there is none. Raises TooLarge, InvalidArchive."""
        files = await self._read(chart, lambda parts: parts == (VALUES,))
        return files[0].data if files else None

    async def _read(self, chart: StoredChart, wanted: Wanted) -> list[File]:
        archive = await self._charts.archive(chart)
        if archive.record.size > self._core.limits.compressed_bytes:
            raise too_large("a chart whose files are shown", self._core.limits.compressed_bytes)
        reader = await self._charts.open(archive)
        data = b"".join([chunk async for chunk in reader.chunks])
        return await self._core.work(len(data), lambda: list(_files(data, self._core.limits, wanted)))


def _files(data: bytes, limits: Limits, wanted: Wanted) -> Iterator[File]:
    pieces = Tally("the chart, unpacked", limits.unpacked_bytes).through(gunzip([data], member_limit=limits.members))
    reader = TarReader(pieces, member_limit=limits.members)
    left = SHOWN_LIMIT
    for member in reader:
        parts = inner_parts(member.name)[1:]
        if not member.is_file or not parts or not wanted(parts):
            continue
        left -= member.size
        if left < 0:
            raise TooLarge("the chart's templates are too large to be shown", limit=SHOWN_LIMIT, what="templates")
        name = "/".join(parts).encode("utf-8", "replace").decode()
        yield File(name, b"".join(reader.data()))


def as_json(value: Value) -> Any:
    """A YAML document as JSON: what is written without quotes may be a number, a truth value or null."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if not isinstance(value, Plain):
        return value
    if value in _WORDS:
        return _WORDS[value]
    if len(value) <= 40 and _NUMBER.fullmatch(value):
        return int(value) if value.lstrip("+-").isdigit() else _finite(float(value), value)
    return str(value)


def _finite(number: float, text: str) -> float | str:
    return number if abs(number) < float("inf") else str(text)
