"""Loads packages into a running server over HTTP."""

import base64
import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import httpx

CORPUS = Path(__file__).parents[1] / ".." / "shared" / "corpus"


def load(address: str) -> int:
    """Push the whole corpus; returns how many packages that was."""
    items = json.loads((CORPUS / "index.json").read_text())
    with httpx.Client(base_url=address, timeout=60) as http:
        for item in items:
            push(http, item["package"], item["release"], item["format"], (CORPUS / item["file"]).read_bytes())
    return len(items)


def push(http: httpx.Client, package: str, release: str, format: str, data: bytes) -> None:
    """Push one package; what is there already is fine."""
    body = {"release": release, "media_type": format, "blob": base64.b64encode(data).decode()}
    answer = http.post(f"/api/v1/packages/{package}", json=body)
    if answer.status_code not in (200, 409):
        raise SystemExit(f"{package} {release}: {answer.status_code} {answer.text[:300]}")


def chart(name: str, release: str, padding: int) -> tuple[bytes, str]:
    """A Helm chart with `padding` incompressible bytes in it, and the digest of its tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, f"{name}/Chart.yaml", f"apiVersion: v2\nname: {name}\nversion: {release}\n".encode())
        _add(tar, f"{name}/data", os.urandom(padding))
    return gzip.compress(out.getvalue(), mtime=0), hashlib.sha256(out.getvalue()).hexdigest()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
