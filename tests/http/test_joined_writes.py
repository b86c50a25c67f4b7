"""Writes of one turn go out together, in order, and nothing is held longer than that."""

import asyncio

import pytest

from cnr.http.joined_writes import HELD_BYTES, JoinedWrites


class Wire(asyncio.Transport):
    """Notes each write that reaches the socket."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def joined(wire: Wire) -> JoinedWrites:
    return JoinedWrites(wire, asyncio.get_running_loop())


async def test_head_and_body_are_one_write(wire: Wire, joined: JoinedWrites) -> None:
    joined.write(b"head ")
    joined.write(b"body")
    assert wire.writes == []
    await asyncio.sleep(0)
    assert wire.writes == [b"head body"]


async def test_the_next_turn_is_another_write(wire: Wire, joined: JoinedWrites) -> None:
    joined.write(b"1")
    await asyncio.sleep(0)
    joined.write(b"2")
    await asyncio.sleep(0)
    assert wire.writes == [b"1", b"2"]


async def test_much_goes_out_at_once(wire: Wire, joined: JoinedWrites) -> None:
    joined.write(b"head")
    joined.write(b"x" * HELD_BYTES)
    assert wire.writes == [b"head" + b"x" * HELD_BYTES]
    await asyncio.sleep(0)
    assert len(wire.writes) == 1


async def test_close_sends_what_was_written(wire: Wire, joined: JoinedWrites) -> None:
    joined.write(b"last words")
    joined.close()
    assert (wire.writes, wire.closed) == ([b"last words"], True)


async def test_nothing_is_written_to_a_connection_that_is_gone(wire: Wire, joined: JoinedWrites) -> None:
    joined.write(b"too late")
    wire.closed = True
    await asyncio.sleep(0)
    assert wire.writes == []


async def test_all_else_is_the_inner_transports(joined: JoinedWrites) -> None:
    assert joined.get_extra_info("peername") == ("127.0.0.1", 1)
