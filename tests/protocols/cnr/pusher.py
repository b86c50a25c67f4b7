"""A process that pushes: one JSON job per line of its input, one status per line of its output.

Run as `python pusher.py PORT`. A job is `{"path": …, "body": …}`; every push goes over a connection of its own, so
that it may reach any worker of the server. The standard library is all that it needs, so twenty start quickly.
"""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def push(port: int, path: str, body: object) -> int:
    """The status of one push."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", path, json.dumps(body))
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


class Pushers:
    """A number of pushing processes, which all get their jobs at once."""

    def __init__(self, processes: Sequence["subprocess.Popen[str]"]) -> None:
        self._processes = processes

    def race(self, jobs: Sequence[tuple[str, object]]) -> list[int]:
        """Give each process one job, all at the same moment; returns their statuses."""
        lines = [json.dumps({"path": path, "body": body}) + "\n" for path, body in jobs]
        for process, line in zip(self._processes, lines, strict=True):
            assert process.stdin is not None
            process.stdin.write(line)
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.flush()
        return [int(process.stdout.readline()) for process in self._processes if process.stdout is not None]


@contextmanager
def pushers(ports: Sequence[int]) -> Iterator[Pushers]:
    """A process for each of `ports`, which pushes to the server there."""
    command = [sys.executable, str(Path(__file__))]
    processes = [
        subprocess.Popen([*command, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for port in ports
    ]
    try:
        yield Pushers(processes)
    finally:
        for process in processes:
            process.communicate()


def main() -> None:
    """Push what the input says until it ends."""
    for line in sys.stdin:
        job = json.loads(line)
        print(push(int(sys.argv[1]), job["path"], job["body"]), flush=True)


if __name__ == "__main__":
    main()
