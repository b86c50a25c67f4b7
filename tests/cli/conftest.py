"""The command in this process, against a real server in another."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cli.servers import distribution_served, served

from cnr.cli.main import main

_VARIABLES = (
    *("CNR_TOKEN", "CNR_USERNAME", "CNR_PASSWORD", "CNR_DEBUG"),
    *("CNR_SOURCE_TOKEN", "CNR_SOURCE_USERNAME", "CNR_SOURCE_PASSWORD"),
    *("APPR_URL_PREFIX", "APPR_CA_BUNDLES", "APPR_DEFAULT_MEDIA_TYPE"),
    *("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "HELM_CONFIG_HOME", "HELM_REGISTRY_CONFIG"),
    *("XDG_CONFIG_HOME", "PYTHON_KEYRING_BACKEND", "DBUS_SESSION_BUS_ADDRESS"),
)


@dataclass(frozen=True)
class Outcome:
    """What a run of the command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of somebody who has logged in nowhere."""
    home = tmp_path_factory.mktemp("person")
    monkeypatch.setenv("HOME", str(home))
    # Else podman's file of the whole machine would be looked into.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    return home


@pytest.fixture
def cnr(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, person: Path) -> Command:
    """Runs `cnr` with the given words, in an empty folder and without variables of the person who tests."""
    monkeypatch.chdir(tmp_path)
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server with an empty store: its HOST:PORT."""
    with served(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another such server."""
    with served(tmp_path_factory.mktemp("second")) as address:
        yield address


@pytest.fixture(scope="session")
def cnr_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the CNR API alone, as the old ones were."""
    with served(tmp_path_factory.mktemp("old"), app="tests.cli.cnr_only:app") as address:
        yield address


@pytest.fixture(scope="session")
def distribution_2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry of OCI alone: distribution 2.8, as Debian has it."""
    with distribution_served("docker-registry", tmp_path_factory.mktemp("distribution")) as address:
        yield address


@pytest.fixture(scope="session")
def distribution_3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same in its version 3.1."""
    with distribution_served("registry", tmp_path_factory.mktemp("distribution")) as address:
        yield address


@pytest.fixture(params=["distribution_2", "distribution_3"])
def distribution(request: pytest.FixtureRequest) -> str:
    """Each of them."""
    address: str = request.getfixturevalue(request.param)
    return address


_numbers = itertools.count(1)


@pytest.fixture
def home(registry: str) -> str:
    """HOST:PORT/namespace with a namespace that no other test has."""
    return f"{registry}/ns{next(_numbers)}"


@pytest.fixture
def chart(tmp_path: Path) -> Callable[..., Path]:
    """Makes a chart's folder and returns it."""

    def make(name: str = "app", version: str = "1.0.0", **files: str) -> Path:
        folder = tmp_path / "charts" / f"{name}-{version}"
        (folder / "templates").mkdir(parents=True, exist_ok=True)
        head = f"apiVersion: v2\nname: {name}\nversion: {version}\ndescription: The {name} of the tests\n"
        (folder / "Chart.yaml").write_text(head)
        (folder / "templates" / "service.yaml").write_text(f"kind: Service # {version}\n")
        for path, content in files.items():
            (folder / path).write_text(content)
        return folder

    return make
