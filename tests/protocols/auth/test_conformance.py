"""Case 69: the official suite passes whole, with Basic and with Bearer."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.protocols.auth.world import PASSWORD, World
from tests.protocols.oci.test_conformance import suite

__all__ = ["suite"]


@pytest.mark.parametrize("version", ["1.1", "dev"])
@pytest.mark.parametrize("scheme", ["basic", "bearer"])
@pytest.mark.parametrize("entry", ["uvicorn", "gunicorn"])
def test_the_suite_with_a_password(suite: str, scheme: str, entry: str, version: str, tmp_path: Path) -> None:
    world = World.start(tmp_path / "server", entry=entry, CNR_AUTH_SCHEME=scheme)
    try:
        run = subprocess.run(
            [suite],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "OCI_REGISTRY": world.server.url.removeprefix("http://"),
                "OCI_TLS": "disabled",
                "OCI_VERSION": version,
                "OCI_USERNAME": "root",
                "OCI_PASSWORD": PASSWORD,
                "OCI_RESULTS_DIR": str(tmp_path / "results"),
            },
            capture_output=True,
            text=True,
            timeout=240,
        )
    finally:
        world.server.kill()
    counts = {name: int(number) for name, number in re.findall(r"^ +(\w+)\.+: +(\d+)$", run.stdout, re.MULTILINE)}
    assert run.returncode == 0, run.stdout[-5000:]
    assert (counts["FAIL"], counts["Skip"]) == (0, 0), run.stdout[-5000:]
    assert counts["Pass"] > 800
