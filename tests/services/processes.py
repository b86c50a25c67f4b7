"""Servers that tests start: on 127.0.0.1, on a free port, and stopped with the test."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest


def need(command: str) -> str:
    """The path of a program. Skips the test where there is none."""
    path = shutil.which(command)
    if path is None:
        pytest.skip(f"{command} is not installed; ./run-tests gets it (scripts/programs.sh)")
    return path


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Return when somebody listens on the port."""
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not listen")


@contextmanager
def running(command: Sequence[str], port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """The process of a server, which listens on the port."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield process
    finally:
        process.kill()
        process.wait()
