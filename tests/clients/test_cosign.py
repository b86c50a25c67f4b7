"""cosign signs a chart with a key of its own and verifies it. No transparency log: that is a server of others."""

import json
from pathlib import Path

import pytest
from tests.clients.charts import chart_file
from tests.clients.program import Helm, Program

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGNING = ("--key", "cosign.key", "--tlog-upload=false", "--use-signing-config=false", "--yes", "--allow-http-registry")
VERIFYING = ("--key", "cosign.pub", "--insecure-ignore-tlog", "--allow-http-registry")


@pytest.fixture
def chart(cosign: Program, command: Program, site: str, namespace: str, tmp_path: Path) -> str:
    """A chart in the registry, by its digest; and a key pair in cosign's folder."""
    cosign("generate-key-pair")
    command("push", chart_file(tmp_path, "web", "1.0.0"), f"{site}/{namespace}")
    found = json.loads(command.out("show", f"{site}/{namespace}/web@1.0.0", "--output", "json"))
    assert len(found) == 1
    return f"{site}/{namespace}/web"


def _digest(oras: Program, chart: str) -> str:
    return oras.out("resolve", "--plain-http", f"{chart}:1.0.0").strip()


def test_a_signature_holds_also_after_another_format_was_added(
    cosign: Program, oras: Program, command: Program, chart: str, corpus: Path
) -> None:
    """It lies on the chart's manifest, which the tag goes on to mean. Case 105."""
    digest = _digest(oras, chart)
    cosign("sign", *SIGNING, f"{chart}@{digest}")
    command("push", corpus / "kpm" / "kube-ui-1.0.0.tgz", f"{chart}@1.0.0", "--media-type", "kpm")
    assert _digest(oras, chart) == digest
    found = json.loads(oras.out("discover", "--plain-http", "--format", "json", f"{chart}:1.0.0"))
    assert BUNDLE in [each["artifactType"] for each in found["referrers"]]
    verified = json.loads(cosign.out("verify", *VERIFYING, f"{chart}:1.0.0"))
    assert verified[0]["critical"]["image"]["docker-manifest-digest"] == digest
    # The signature is no release and no channel.
    assert oras.out("repo", "tags", "--plain-http", chart).split() == ["1.0.0"]


def test_what_is_not_signed_does_not_verify(cosign: Program, chart: str) -> None:
    assert "no signatures found" in cosign.refused("verify", *VERIFYING, f"{chart}:1.0.0")


def test_a_signed_chart_is_copied_with_its_signature(
    cosign: Program, oras: Program, helm: Helm, chart: str, other: str, namespace: str
) -> None:
    digest = _digest(oras, chart)
    cosign("sign", *SIGNING, f"{chart}@{digest}")
    copy = f"{other}/{namespace}/web"
    oras("copy", "--recursive", "--from-plain-http", "--to-plain-http", f"{chart}:1.0.0", f"{copy}:1.0.0")
    cosign("verify", *VERIFYING, f"{copy}:1.0.0")
    assert helm.at(other).version_of(f"{namespace}/web@{digest}") == "1.0.0"


def test_signatures_and_attestations_of_both_kinds(
    cosign: Program, oras: Program, command: Program, chart: str, other: str, namespace: str, tmp_path: Path
) -> None:
    """The older kind is an image under a tag made of the digest. Neither is a channel, also after `cosign copy`."""
    digest = _digest(oras, chart)
    cosign("sign", *SIGNING, "--new-bundle-format=false", f"{chart}@{digest}")
    (tmp_path / "facts.json").write_text('{"a": 1}')
    cosign("attest", *SIGNING, "--predicate", "facts.json", "--type", "custom", f"{chart}@{digest}")
    tag = digest.replace(":", "-")
    assert oras.out("repo", "tags", "--plain-http", chart).split() == ["1.0.0", f"{tag}.sig"]
    cosign("verify", *VERIFYING, "--new-bundle-format=false", f"{chart}:1.0.0")
    cosign("verify-attestation", *VERIFYING, "--type", "custom", f"{chart}:1.0.0")
    copy = f"{other}/{namespace}/web"
    for _ in range(2):
        cosign("copy", "--allow-http-registry", f"{chart}:1.0.0", f"{copy}:1.0.0")
    cosign("verify", *VERIFYING, "--new-bundle-format=false", f"{copy}:1.0.0")
    for each in (chart, copy):
        assert json.loads(command.out("channel", each, "--output", "json")) == []
