"""A machine reads /openapi.json and tries everything that it allows, and what it forbids.

No answer may be a 5xx, undocumented, or of another type or shape than documented; what the document forbids is refused
and what it allows is not. CNR_LONG=1 tries ten times as much.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.protocols.cnr.server import ROOT, Server

HERE = Path(__file__).parent
EXAMPLES, LIMIT_S = (300, 7200) if os.environ.get("CNR_LONG") else (30, 280)
SEED = 20161116


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server.start()
    server.kill()
    server.check()


@pytest.mark.parametrize("prefix", ["", "/cnr"])
def test_the_server_does_what_its_document_says(server: Server, tmp_path: Path, prefix: str) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": "tests.protocols.openapi.hooks",
        "NO_PROXY": "127.0.0.1",
    }
    words = [
        *(str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(HERE / "schemathesis.toml"), "run"),
        *(f"{server.url}{prefix}/openapi.json", "--url", f"{server.url}{prefix}"),
        *("--seed", str(SEED), "--max-examples", str(EXAMPLES), "--generation-database", "none", "--no-color"),
    ]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    tried = re.search(r"(\d+) generated", done.stdout)
    assert tried is not None, done.stdout
    assert int(tried[1]) > 1000
    assert server.process.poll() is None
