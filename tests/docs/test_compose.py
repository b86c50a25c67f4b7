"""The example of several servers: its YAML, the names of its settings, and what has to agree in it.

test_compose_runs.py starts what is in it, without containers.
"""

import re
from typing import Any

import pytest
import yaml
from tests.docs.conftest import ROOT

from cnr.config import Config, table
from cnr.store.object_address import ObjectAddress

EXAMPLES = ROOT / "docs" / "examples"
NOT_OURS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())["services"]
    return found


def test_every_variable_is_a_setting(services: dict[str, Any]) -> None:
    known = {name for row in table() for name in row.env}
    for name in ("server1", "server2", "server3"):
        environment = services[name]["environment"]
        assert environment.keys() - NOT_OURS <= known
        config = Config.load(environment)
        assert config.records_url.scheme == "etcd"
        assert config.blob_storage is not None
        assert ObjectAddress.of(config.blob_storage).bucket == "cnr"


def test_the_parts_name_one_another(services: dict[str, Any]) -> None:
    server, s3 = services["server1"]["environment"], services["s3"]
    config = Config.load(server)
    assert {host.name for host in config.records_url.hosts} == {name for name in services if name.startswith("etcd")}
    assert config.blob_storage is not None
    assert config.blob_storage.query["endpoint"] == "http://s3:7070"
    assert "--port :7070" in s3["entrypoint"][2]
    assert s3["environment"]["ROOT_ACCESS_KEY"] == server["AWS_ACCESS_KEY_ID"]
    assert s3["environment"]["ROOT_SECRET_KEY"] == server["AWS_SECRET_ACCESS_KEY"]
    nginx = (EXAMPLES / "nginx.conf").read_text()
    assert re.findall(r"server (\w+):(\d+);", nginx) == [(f"server{n}", str(config.port)) for n in (1, 2, 3)]
    for name in ("etcd1", "etcd2", "etcd3"):
        assert f"--name {name} " in services[name]["command"]
        assert services[name]["command"].count(f"http://{name}:") == 3
