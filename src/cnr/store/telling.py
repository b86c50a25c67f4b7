"""What is stored, told to somebody meanwhile: for drivers that have no thread of their own for a piece."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

from cnr.domain.piece import Piece
from cnr.store.base import Tell

GATHERED: Final = 256 * 1024
"""Bytes gathered for one hop to a thread: more fall out of the processor's cache, and cost a third more."""


def telling(chunks: AsyncIterable[Piece], tell: Tell | None) -> AsyncIterable[Piece]:
    """The same bytes. Each piece is told in a thread, while it is stored and the next one comes.

    At the end all of them have been told.
    """
    return chunks if tell is None else _telling(chunks, tell)


async def _telling(chunks: AsyncIterable[Piece], tell: Tell) -> AsyncIterator[Piece]:
    under_way: asyncio.Task[None] | None = None
    async for piece in _gathered(chunks):
        if under_way is not None:
            await under_way
        under_way = asyncio.create_task(asyncio.to_thread(_tell, tell, piece))
        for each in piece:
            yield each
    if under_way is not None:
        await under_way


async def _gathered(chunks: AsyncIterable[Piece]) -> AsyncIterator[list[Piece]]:
    """The chunks, as many together as make a hop to a thread worth its while."""
    held: list[Piece] = []
    length = 0
    async for chunk in chunks:
        if chunk:
            held.append(chunk)
            length += len(chunk)
        if length >= GATHERED:
            yield held
            held, length = [], 0
    if held:
        yield held


def _tell(tell: Tell, piece: list[Piece]) -> None:
    for each in piece:
        tell(each)
