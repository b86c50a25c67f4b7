"""wrk: the load, one thread and 32 connections unless told otherwise."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

SECONDS = 8


def rate(
    url: str,
    *,
    seconds: int = SECONDS,
    threads: int = 1,
    connections: int = 32,
    script: Path | None = None,
    accept: str = "",
    headers: Mapping[str, str] = MappingProxyType({}),
    env: Mapping[str, str] = MappingProxyType({}),
) -> float:
    """Good answers a second at `url`; `env` is for the script. Anything but a 2xx or 3xx stops the benchmark."""
    command = [
        "wrk",
        f"-t{threads}",
        f"-c{connections}",
        f"-d{seconds}s",
        *(["-s", str(script)] if script else []),
        *(["-H", f"Accept: {accept}"] if accept else []),
        *(part for name, value in headers.items() for part in ("-H", f"{name}: {value}")),
        url,
    ]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **env}).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(f"errors under load at {url}:\n{out}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    if found is None:
        raise SystemExit(out)
    return float(found[1])


def warm_rate(url: str, *, script: Path | None = None, accept: str = "") -> float:
    """As `rate`, after two seconds that do not count."""
    rate(url, seconds=2, script=script, accept=accept)
    return rate(url, script=script, accept=accept)
