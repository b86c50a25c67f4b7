import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def run_to_end() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run this Python with arguments, in the repository's folder, until it ends by itself."""

    def run(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, *arguments]
        variables = {**os.environ, **environ}
        return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60)

    return run
