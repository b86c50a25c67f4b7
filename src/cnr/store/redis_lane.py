"""One connection to redis that all tasks of a process share: what they ask goes out together, answers come in order.

redis-py makes the connection (TLS, password, database, sentinel) and parses what comes. Its pool and its retries are
not used: it would take a connection per caller, and would repeat a write whose answer was lost (10 times, by default)
and report the conflict with its own value.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, AuthorizationError, BusyLoadingError, RedisError, ResponseError

from cnr.store.redis_scripts import REPLICA

BATCH_BYTES: Final = 1024 * 1024
"""What is handed to the socket at once, until it is taken."""
CLOSE_S: Final = 1.0
"""How long a connection that is given up may take to say so to the other side."""
_ANSWERS: Final = (ResponseError, BusyLoadingError, AuthenticationError, AuthorizationError)
"""Errors that redis itself answers with. (Some of them are redis-py's ConnectionError.)"""

Argument = bytes | str | int


class NotSent(Exception):
    """The command never left this process: it changed nothing."""


class NoAnswer(Exception):
    """The command may have been carried out, or not."""


@dataclass(slots=True)
class _Command:
    words: tuple[Argument, ...]
    answers: "list[asyncio.Future[Any]]"


class Lane:
    """Connects when it is first used, and again after each failure. For one event loop.

    `connect` makes an unconnected connection; that may take `connect_s`. Where answers are due and none comes for
    `answer_s` the connection is given up.
    """

    def __init__(self, connect: Callable[[], AbstractConnection], *, connect_s: float, answer_s: float) -> None:
        self._connect = connect
        self._connect_s = connect_s
        self._answer_s = answer_s
        self._waiting: deque[_Command] = deque()
        self._reads: dict[str, _Command] = {}
        self._sent: deque[_Command] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._runs: set[asyncio.Task[None]] = set()
        self._closed = False
        self._quiet_since = 0.0

    async def call(self, *words: Argument) -> Any:
        """The answer to a command. Raises NotSent, NoAnswer, and redis' own ResponseError and its like."""
        return await self._ask(words)[1]

    def get(self, key: str) -> "asyncio.Future[Any]":
        """The answer to GET, shared with everybody who asks for this key before it is sent. Fails as `call` does."""
        return self.shared(key, lambda: ("GET", key))

    def shared(self, name: str, words: Callable[[], tuple[Argument, ...]]) -> "asyncio.Future[Any]":
        """The answer to a read, shared with everybody who asks for it by `name` before it is sent. Fails as `call`."""
        if (command := self._reads.get(name)) is not None:
            answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            command.answers.append(answer)
        else:
            self._reads[name], answer = self._ask(words())
        return answer

    def _ask(self, words: tuple[Argument, ...]) -> "tuple[_Command, asyncio.Future[Any]]":
        if self._closed:
            raise NotSent("the store was closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        command = _Command(words, [answer])
        self._waiting.append(command)
        self._wake.set()
        if self._task is None:
            self._task = loop.create_task(self._run())
            self._runs.add(self._task)
            self._task.add_done_callback(self._runs.discard)
        return command, answer

    async def close(self) -> None:
        """Wait for the answers that are still to come, then let go of the connection."""
        self._closed = True
        loop = asyncio.get_running_loop()
        end = loop.time() + self._answer_s
        while (self._waiting or self._sent) and loop.time() < end:
            await asyncio.sleep(0.005)
        if self._task is not None:
            self._task.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)

    async def _run(self) -> None:
        """Connect, serve until the connection fails, and end. The next call begins anew."""
        connection = self._connect()
        reason: BaseException | None = None
        work: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(self._connect_s):
                await connection.connect()
            parts = (self._send(connection), self._receive(connection), self._watch())
            work = [asyncio.create_task(part) for part in parts]
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            reason = next(iter(done)).exception()
        except (RedisError, OSError, TimeoutError) as exc:
            reason = exc
        finally:
            self._task = None
            self._fail(reason)
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await connection.disconnect()

    def _fail(self, reason: BaseException | None) -> None:
        why = str(reason) or "no answer in time"
        for commands, error in ((self._sent, NoAnswer), (self._waiting, NotSent)):
            while commands:
                failure = error(why)
                failure.__cause__ = reason
                _settle(commands.popleft(), failure)
        self._reads.clear()

    async def _send(self, connection: AbstractConnection) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await connection.send_packed_command(self._batch(connection), check_health=False)

    def _batch(self, connection: AbstractConnection) -> bytes:
        self._reads.clear()
        pieces: list[bytes] = []
        size = 0
        while self._waiting and size < BATCH_BYTES:
            command = self._waiting.popleft()
            if all(answer.done() for answer in command.answers):
                continue  # cancelled, and nothing of it was sent
            if not self._sent:
                self._quiet_since = asyncio.get_running_loop().time()
            self._sent.append(command)
            packed = connection.pack_command(*command.words)
            pieces += packed
            size += sum(map(len, packed))
        return b"".join(pieces)

    async def _receive(self, connection: AbstractConnection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            answer: Any
            try:
                answer = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
            except _ANSWERS as exc:
                answer = exc
            self._quiet_since = loop.time()
            _settle(self._sent.popleft(), answer)
            if isinstance(answer, ResponseError) and str(answer).startswith(REPLICA):
                raise answer  # connect anew: there is another primary by now

    async def _watch(self) -> None:
        """End when nothing comes although it should: nobody knows what becomes of what was sent."""
        loop = asyncio.get_running_loop()
        while not (self._sent and loop.time() - self._quiet_since > self._answer_s):
            await asyncio.sleep(self._answer_s / 20)
        raise TimeoutError(f"no answer in {self._answer_s:g} s")


def _settle(command: _Command, answer: Any) -> None:
    for future in command.answers:
        if future.done():
            continue
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
