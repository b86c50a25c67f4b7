"""The commands of a Markdown page, and a shell that runs them against a server on a free port.

A ```console block holds commands after `$ ` (continued after `> `) and, under each, what it prints; `...` in it
stands for anything, on a line of its own for any lines. Only a command whose output shows an error (`cnr: `) may fail.
A ```sh block is one script. A comment `<!-- no-run: reason -->` before a block keeps it from being run; any other
block must say that it is no command.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.services.ports import free_port

BLOCK = re.compile(
    r"(?:^<!-- no-run: (?P<reason>[^\n]+) -->\n+)?^```(?P<kind>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
NOT_COMMANDS = {"text", "json", "yaml", "ini", "python", "html", "http", "nginx"}
SERVER = re.compile(
    r"(?:^|&& |\b[A-Z_]+=\S+ )(?:\./run-server(?:\.sh)?|cnr serve|gunicorn)(?! --help)(?= |$)(?!.*\|\|)"
)
ADDRESS = re.compile(r"(?P<host>\blocalhost|127\.0\.0\.1|0\.0\.0\.0|(?<=-b ))(?P<colon>:)5000\b")
GAP = re.compile(r"(?<=\S) {2,}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}")
START_S = 180
COMMAND_S = 120


class PageError(Exception):
    """A page that is not written as it must be, or whose commands do something else than it says."""


@dataclass(frozen=True)
class Command:
    """A command and what it should print, if the page says so. `line` is where its block begins."""

    text: str
    expected: str
    line: int

    @property
    def starts_a_server(self) -> bool:
        return SERVER.search(self.text) is not None

    @property
    def may_fail(self) -> bool:
        """Whether the page shows an error of `cnr`."""
        return re.search(r"^cnr: ", self.expected, re.MULTILINE) is not None


def commands(markdown: str) -> Iterator[Command]:
    """The commands of a page, in order. Raises PageError for a block that does not say what it is."""
    for block in BLOCK.finditer(markdown):
        kind, line = block["kind"].strip(), markdown.count("\n", 0, block.start("kind")) + 1
        if block["reason"] or kind in NOT_COMMANDS:
            continue
        if kind == "sh":
            yield Command(block["body"], "", line)
        elif kind == "console":
            yield from _console(block["body"], line)
        else:
            raise PageError(f"line {line}: a block must be one of console, sh, {', '.join(sorted(NOT_COMMANDS))}")


def _console(body: str, line: int) -> Iterator[Command]:
    text: list[str] = []
    output: list[str] = []
    for row in body.splitlines():
        if row.startswith("$ "):
            if text:
                yield Command("\n".join(text), "\n".join(output), line)
            text, output = [row[2:]], []
        elif row.startswith("> ") and text and not output:
            text.append(row[2:])
        elif text:
            output.append(row)
        else:
            raise PageError(f"line {line}: a console block begins with a command after `$ `")
    yield Command("\n".join(text), "\n".join(output), line)


def matches(expected: str, printed: str) -> bool:
    """Whether `printed` is what the page shows; moments, the width of columns and white space at ends may differ."""
    pattern = ""
    for row in _rows(expected):
        pattern += r"(?:.*\n)*?" if row == "..." else re.escape(row).replace(r"\.\.\.", ".*") + r"\n"
    rows = "".join(f"{row}\n" for row in _rows(printed))
    return re.fullmatch(pattern, rows) is not None


def _rows(text: str) -> list[str]:
    """Lines as they are compared: the port of a test may be longer than 5000, and columns then wider."""
    return [GAP.sub("  ", MOMENT.sub("2016-11-16T17:13:07", row.rstrip())) for row in text.strip("\n").splitlines()]


class Shell:
    """Runs commands one after another, each in the folder and with the variables that the one before left.

    A command that starts a server goes on in the background, on a free port instead of 5000, until `close` or until
    the next server is started; with `port`, one runs there already. What is printed names port 5000 again.
    """

    def __init__(self, folder: Path, state: Path, environ: Mapping[str, str], *, port: int | None = None) -> None:
        self._port = port or free_port()
        self._state = state
        self._environ = {**environ, "PORT": str(self._port)}
        self._server: subprocess.Popen[bytes] | None = None
        self._printed = state / "server.txt"
        state.mkdir()
        (state / "pwd").write_text(f"{folder}\n")
        (state / "env").write_text("")

    def run(self, command: Command) -> str:
        """What the command printed. Raises PageError where it fails or prints something else."""
        printed = self._start(command) if command.starts_a_server else self._run(command)
        if command.expected and not matches(command.expected, printed):
            raise PageError(f"line {command.line}: {command.text}\nprinted\n{printed}\nand not\n{command.expected}")
        return printed

    def close(self) -> None:
        """Stop the server as Ctrl-C does. Raises PageError if it does not end within 15 s."""
        if self._server is None:
            return
        server, self._server = self._server, None
        if server.poll() is not None:
            raise PageError(f"the server has ended:\n{self._as_printed(self._printed.read_bytes())}")
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            raise PageError("the server did not end within 15 s after Ctrl-C") from None

    def _script(self, command: Command) -> list[str]:
        text = ADDRESS.sub(rf"\g<host>\g<colon>{self._port}", command.text)
        return ["bash", "-c", f'source "{self._state}/env"; cd "$(cat "{self._state}/pwd")"; {text}']

    def _run(self, command: Command) -> str:
        script = self._script(command)
        script[2] = (
            f'trap \'export -p >"{self._state}/env"; pwd >"{self._state}/pwd"\' EXIT; set -eo pipefail; {script[2]}'
        )
        done = subprocess.run(
            script,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_S,
        )
        printed = self._as_printed(done.stdout)
        if done.returncode != 0 and not command.may_fail:
            raise PageError(f"line {command.line}: {command.text}\nended with status {done.returncode}:\n{printed}")
        return printed

    def _start(self, command: Command) -> str:
        self.close()
        with self._printed.open("wb") as output:
            self._server = subprocess.Popen(
                self._script(command),
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._server.poll() is None:
            printed = self._as_printed(self._printed.read_bytes())
            if self._listens() and (not command.expected or matches(command.expected, printed)):
                return printed
            time.sleep(0.05)
        printed = self._as_printed(self._printed.read_bytes())
        if self._server.poll() is not None:
            self._server = None
            raise PageError(f"line {command.line}: {command.text}\nended:\n{printed}")
        return printed

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def _as_printed(self, output: bytes) -> str:
        return re.sub(rf":{self._port}\b", ":5000", output.decode(errors="replace"))


def environment(home: Path, *, path: str) -> dict[str, str]:
    """What a person's shell has: a home of its own, but pip's settings and cache from here."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "LC_", "SSL_", "REQUESTS_"))}
    kept |= {name: os.environ[name] for name in os.environ if name.lower().endswith("_proxy")}
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return kept | {"HOME": str(home), "PATH": path, "XDG_CACHE_HOME": cache, "LANG": "C.UTF-8"}


def path_without_venv() -> str:
    """PATH as it is outside of the virtual environment that runs the tests, its own Python first."""
    folders = os.environ["PATH"].split(os.pathsep)
    kept = [folder for folder in folders if Path(folder) != Path(sys.prefix) / "bin"]
    return os.pathsep.join([str(Path(sys.base_prefix) / "bin"), *kept])
