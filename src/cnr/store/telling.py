"""What is stored, told to somebody meanwhile: for drivers that have no thread of their own for a piece."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from functools import partial
from typing import Final

from cnr.domain.piece import Piece
from cnr.store.base import Tell

GATHERED: Final = 256 * 1024
"""Bytes gathered for one hop to a thread: more fall out of the processor's cache, and cost a third more."""


async def telling(chunks: AsyncIterable[Piece], tell: Tell | None) -> AsyncIterator[Piece]:
    """The same bytes. Each piece is told in a thread, while it is stored and the next one comes.

    At the end all of them have been told.
    """
    telling: asyncio.Task[None] | None = None
    async for piece in gathered(chunks):
        if tell is not None:
            if telling is not None:
                await telling
            telling = asyncio.create_task(asyncio.to_thread(partial(_tell, tell, piece)))
        for each in piece:
            yield each
    if telling is not None:
        await telling


async def gathered(chunks: AsyncIterable[Piece], size: int = GATHERED) -> AsyncGenerator[list[Piece], None]:
    """The chunks, as many together as make a hop to a thread worth its while."""
    held: list[Piece] = []
    length = 0
    async for chunk in chunks:
        if chunk:
            held.append(chunk)
            length += len(chunk)
        if length >= size:
            yield held
            held, length = [], 0
    if held:
        yield held


def _tell(tell: Tell, piece: list[Piece]) -> None:
    for each in piece:
        tell(each)
