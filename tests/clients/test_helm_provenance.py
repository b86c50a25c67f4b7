"""Charts that are signed with a real PGP key: pushed with their provenance, and verified when they are pulled."""

import json
from pathlib import Path

import httpx
import pytest
from tests.clients.charts import chart_folder
from tests.clients.conftest import Keyrings
from tests.clients.program import Helm
from tests.protocols.cnr.client import Cnr, done
from tests.protocols.oci.client import CHART_LAYER

PROVENANCE = "application/vnd.cncf.helm.chart.provenance.v1.prov"


@pytest.fixture
def signed(helm: Helm, keyrings: Keyrings, tmp_path: Path) -> Path:
    """A chart's .tgz with its .prov beside it, made by helm."""
    folder = chart_folder(tmp_path, "web", "1.0.0+b.1")
    key = ("--key", "Signer", "--keyring", keyrings.secret)
    helm.run("package", folder, "--destination", tmp_path, "--sign", *key)
    return tmp_path / "web-1.0.0+b.1.tgz"


def test_provenance_is_pushed_pulled_and_verified(
    helm: Helm, signed: Path, keyrings: Keyrings, namespace: str, http: httpx.Client
) -> None:
    helm.push(signed, namespace)
    path, version = f"{namespace}/web", ("--version", "1.0.0+b.1")
    manifest = json.loads(http.get(f"/v2/{path}/manifests/1.0.0_b.1").content)
    assert {each["mediaType"] for each in manifest["layers"]} == {CHART_LAYER, PROVENANCE}
    pulled = helm.pull(path, *version, "--prov")
    assert (pulled / f"{signed.name}.prov").read_bytes() == signed.with_name(f"{signed.name}.prov").read_bytes()
    pulled = helm.pull(path, *version, "--verify", "--keyring", keyrings.public)
    assert (pulled / signed.name).read_bytes() == signed.read_bytes()


def test_a_signed_chart_is_a_package_whichever_layer_comes_first(
    helm: Helm, signed: Path, namespace: str, api: Cnr, tmp_path: Path
) -> None:
    """Helm orders the layers by digest. Case 84."""
    helm.push(signed, namespace)
    assert done(api.show(f"{namespace}/web", "1.0.0+b.1"))["content"]["size"] == signed.stat().st_size


def test_a_chart_without_provenance_does_not_verify(
    helm: Helm, signed: Path, keyrings: Keyrings, namespace: str
) -> None:
    signed.with_name(f"{signed.name}.prov").unlink()
    helm.push(signed, namespace)
    words = (helm.url(f"{namespace}/web"), "--version", "1.0.0+b.1", "--plain-http")
    helm.run.refused("pull", *words, "--verify", "--keyring", keyrings.public)
