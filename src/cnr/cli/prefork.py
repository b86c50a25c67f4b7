"""Worker processes and the parent that watches over them.

Ours, because uvicorn's supervisor starts a failing worker again for ever, and leaves its workers behind when it
is killed itself.
"""

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

STOP_S: Final = 9.0
"""Seconds that workers have to finish when they are told to stop; then they are killed."""
STARTS: Final = 5
"""Starts in a row that may fail before the parent gives up."""
_PAUSE_S: Final = 0.5
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

Report = Callable[[str], None]
Work = Callable[[int, int, Report], int]
"""What a worker does, from (its number, a lifeline, its report) to its exit code. It stops on SIGTERM, and when
the lifeline, a file descriptor, becomes readable: then the parent is gone. It reports READY, or why it cannot
start."""
READY: Final = "ready"


class StartFailed(Exception):
    """Workers cannot start. The message is what the last one reported."""


@dataclass(slots=True)
class _Worker:
    number: int
    pid: int
    reports: int
    started: float
    report: str = ""


class Prefork:
    """`count` processes that do `work`. A worker that dies is replaced.

    The first one is started alone: what keeps it from starting would keep the others too. `on_ready` is called
    once, when all are ready; `on_stop` when they begin to stop, for which they have `stop_s` seconds; `tell` gets lines
    for whoever watches. Must be made and run in the main thread of a process without other threads: it forks.
    """

    def __init__(
        self,
        work: Work,
        count: int,
        *,
        on_ready: Callable[[], None],
        on_stop: Callable[[], None],
        tell: Callable[[str], None],
        stop_s: float = STOP_S,
    ) -> None:
        self._work = work
        self._count = count
        self._on_ready = on_ready
        self._on_stop = on_stop
        self._tell = tell
        self._stop_s = stop_s
        self._workers: dict[int, _Worker] = {}
        self._due: dict[int, float] = {}
        self._failures = 0
        self._announced = False
        self._stop_by: float | None = None
        self._failed: str | None = None
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Work until SIGTERM or SIGINT, then let workers finish what is under way. A second SIGINT kills them.

        No worker is left when it returns, or when this process is killed. Raises StartFailed.
        """
        self._lifeline, self._lifeline_end = os.pipe()
        self._wake, wake_end = socket.socketpair()
        for end in (self._wake, wake_end):
            end.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ)
        handlers = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
        previous = signal.set_wakeup_fd(wake_end.fileno(), warn_on_full_buffer=False)
        try:
            self._start(0)
            while self._workers or self._due:
                self._step()
        finally:
            self._kill()
            signal.set_wakeup_fd(previous)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._selector.close()
            for end in (self._wake, wake_end):
                end.close()
            os.close(self._lifeline)
            os.close(self._lifeline_end)
        if self._failed is not None:
            raise StartFailed(self._failed)

    def _step(self) -> None:
        for key, _ in self._selector.select(self._wait_s()):
            if key.fileobj is self._wake:
                for number in self._wake.recv(4096):
                    self._signalled(number)
            else:
                self._hear(key.data)
        self._reap()
        now = time.monotonic()
        for number in [number for number, due in self._due.items() if due <= now]:
            del self._due[number]
            self._start(number)
        if self._stop_by is not None and now >= self._stop_by:
            self._kill()

    def _wait_s(self) -> float | None:
        moments = [*self._due.values(), *([self._stop_by] if self._stop_by else [])]
        return max(min(moments) - time.monotonic(), 0) if moments else None

    def _signalled(self, number: int) -> None:
        if number == signal.SIGINT and self._stop_by is not None:
            self._kill()
        elif number in (signal.SIGTERM, signal.SIGINT):
            self._stop()

    def _stop(self) -> None:
        if self._stop_by is None:
            self._stop_by = time.monotonic() + self._stop_s
            self._on_stop()
        self._due.clear()
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)

    def _kill(self) -> None:
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)
        for worker in list(self._workers.values()):
            os.waitpid(worker.pid, 0)
            self._forget(worker)

    def _hear(self, worker: _Worker) -> None:
        if worker.pid not in self._workers:
            return  # killed a moment ago
        text = os.read(worker.reports, 65536).decode(errors="replace")
        if not text:
            self._selector.unregister(worker.reports)
            return
        worker.report += text
        if worker.report == READY:
            self._ready()

    def _ready(self) -> None:
        self._failures = 0
        for number in range(self._count):
            if number not in self._numbers() and not self._announced and self._stop_by is None:
                self._start(number)
        if not self._announced and all(worker.report == READY for worker in self._workers.values()):
            self._announced = True
            self._on_ready()

    def _numbers(self) -> set[int]:
        return {worker.number for worker in self._workers.values()} | set(self._due)

    def _reap(self) -> None:
        for worker in list(self._workers.values()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._hear_last(worker)
                self._forget(worker)
                if self._stop_by is None:
                    self._replace(worker, status)

    def _hear_last(self, worker: _Worker) -> None:
        os.set_blocking(worker.reports, False)
        try:
            worker.report += os.read(worker.reports, 65536).decode(errors="replace")
        except BlockingIOError:
            return

    def _forget(self, worker: _Worker) -> None:
        del self._workers[worker.pid]
        if worker.reports in self._selector.get_map():
            self._selector.unregister(worker.reports)
        os.close(worker.reports)

    def _replace(self, worker: _Worker, status: int) -> None:
        was_ready = worker.report.startswith(READY)
        how = _ending(status)
        reason = f"a worker {how}" if was_ready else worker.report or f"a worker {how} while it started"
        if not was_ready:
            self._failures += 1
        if not was_ready and (not self._announced or self._failures >= STARTS):
            self._failed = reason
            self._stop()
            return
        self._tell(f"{reason}; starting another")
        lived = time.monotonic() - worker.started
        self._due[worker.number] = time.monotonic() + (0 if was_ready and lived > _PAUSE_S else _PAUSE_S)

    def _start(self, number: int) -> None:
        reports, reports_end = os.pipe()
        # A signal between the fork and the worker's own handlers must wait, or it would be lost in ours.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._become_worker(number, reports_end)
        os.close(reports_end)
        worker = _Worker(number, pid, reports, time.monotonic())
        self._workers[pid] = worker
        self._selector.register(reports, selectors.EVENT_READ, worker)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _become_worker(self, number: int, reports_end: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            # Ctrl-C reaches every process of a terminal; when workers stop is the parent's word.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            # As long as a worker held this end, nobody would notice that the parent is gone.
            os.close(self._lifeline_end)
            for other in self._workers.values():
                os.close(other.reports)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            code = self._work(number, self._lifeline, lambda text: _write(reports_end, text))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _write(fd: int, text: str) -> None:
    try:
        os.write(fd, text.encode()[:4096])
    except BrokenPipeError:
        return  # the parent is gone, the lifeline tells


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
