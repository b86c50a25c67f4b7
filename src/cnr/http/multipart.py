"""Files in a multipart form, each written to the spool while it arrives; file names are not looked at.

Source: RFC 7578; python-multipart's parser.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from cnr.domain.errors import InvalidUsage
from cnr.http.spool import Spool

PARTS: Final = 32
"""Parts that a form may have."""
FORM_DATA: Final = "multipart/form-data"


class FormFiles:
    """The first part of each of the names `wanted`; the others are dropped as they come."""

    def __init__(self, wanted: Collection[str], spool_folder: Path) -> None:
        self.files: dict[str, Spool] = {}
        self._wanted = wanted
        self._folder = spool_folder
        self._header = bytearray()
        self._value = bytearray()
        self._name = ""
        self._parts = 0
        self._current: Spool | None = None
        self._ended = False

    async def read(self, chunks: AsyncIterator[bytes], content_type: str) -> None:
        """Read the form. Raises InvalidUsage, what `chunks` raises, StoreFull and StoreUnavailable (spool)."""
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= 70:
            raise InvalidUsage("the multipart form has no boundary, or one that is too long")
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._add_header,
                "on_header_value": self._add_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._open,
                "on_part_data": self._write,
                "on_end": self._end,
            },
        )
        try:
            async for chunk in chunks:
                parser.write(chunk)
                await self._flush()
        except FormParserError as exc:
            raise InvalidUsage(f"the multipart form cannot be read: {str(exc)[:200]}") from None
        if not self._ended:
            raise InvalidUsage("the multipart form has no end")

    def close(self) -> None:
        """Let go of all files."""
        for file in self.files.values():
            file.close()

    async def _flush(self) -> None:
        for file in self.files.values():
            if file.full:
                await asyncio.to_thread(file.flush)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > PARTS:
            raise InvalidUsage(f"a form may have {PARTS} parts")
        self._name, self._current = "", None

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            with suppress(UnicodeDecodeError):
                _, options = parse_options_header(bytes(self._value))
                self._name = options.get(b"name", b"").decode()
        self._header.clear()
        self._value.clear()

    def _open(self) -> None:
        if self._name in self._wanted and self._name not in self.files:
            self._current = self.files[self._name] = Spool(self._folder)

    def _write(self, data: bytes, start: int, end: int) -> None:
        if self._current is not None:
            self._current.write(data[start:end])

    def _end(self) -> None:
        self._ended = True
