"""Durable CNR pushes of a 1-KiB chart from 8 clients, against artifact pushes to Debian's docker-registry.

Bars: >= 600 a second on an idle machine, and >= 3.5 times docker-registry in the same run. docker-registry's
pushes are three requests each (upload, layer, manifest; the config is there before) and are not fsynced.
"""

import base64
import hashlib
import os
import tempfile
from pathlib import Path

import httpx
from corpus import chart
from servers import cnr, docker_registry
from wrk import rate

CLIENTS = 8
HERE = Path(__file__).parent
PUSHES = 24_000
SECONDS = 8
LAYER = 1024


def main() -> None:
    """Measure and print both rates and their ratio."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as text:
        folder = Path(text)
        os.environ["PUSHES"] = str(pushes(folder / "pushes"))
        os.environ["LAYERS"] = str(_layers(folder / "layers"))
        os.environ["LAYER"] = str(LAYER)
        with cnr(folder) as (address, _):
            ours = rate(address, seconds=SECONDS, threads=CLIENTS, connections=CLIENTS, script=HERE / "cnr_push.lua")
        with docker_registry(folder) as address:
            _configs(address)
            script = HERE / "oci_push.lua"
            peer = rate(address, seconds=SECONDS, threads=CLIENTS, connections=CLIENTS, script=script) / 3
    verdicts = ["met" if met else "MISSED" for met in (ours >= 600, ours >= 3.5 * peer)]
    print(f"CNR pushes, durable  {ours:>8,.0f}/s  bar 600: {verdicts[0]}")
    print(f"docker-registry      {peer:>8,.0f}/s  ratio {ours / peer:.2f}, bar 3.5: {verdicts[1]}")


def pushes(path: Path) -> Path:
    """The file that cnr_push.lua reads."""
    with path.open("w") as out:
        for number in range(PUSHES):
            name = f"chart{number % CLIENTS}"
            release = f"1.0.{number // CLIENTS}"
            data, _ = chart(name, release, 700)
            out.write(f"bench/{name} {release} {base64.b64encode(data).decode()}\n")
    return path


def _layers(path: Path) -> Path:
    with path.open("w") as out:
        for number in range(PUSHES):
            text = f"{number:016d}"
            digest = hashlib.sha256(text.ljust(LAYER, "x").encode()).hexdigest()
            out.write(f"{text} sha256:{digest}\n")
    return path


def _configs(address: str) -> None:
    """The empty config, once in each client's repository."""
    digest = "sha256:" + hashlib.sha256(b"{}").hexdigest()
    with httpx.Client(base_url=address) as http:
        for client in range(CLIENTS):
            begun = http.post(f"/v2/bench/artifact{client}/blobs/uploads/")
            where = begun.headers["location"]
            mark = "&" if "?" in where else "?"
            http.put(f"{where}{mark}digest={digest}", content=b"{}").raise_for_status()


if __name__ == "__main__":
    main()
