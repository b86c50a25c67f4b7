from collections.abc import Iterator

import httpx
import pytest
from tests.protocols.auth.world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The registry that most tests share; its challenges are of the scheme Bearer."""
    world = World.start(tmp_path_factory.mktemp("auth"))
    yield world
    world.server.kill()


@pytest.fixture(scope="session")
def basic_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Another one, whose challenges are of the scheme Basic."""
    world = World.start(tmp_path_factory.mktemp("basic"), CNR_AUTH_SCHEME="basic")
    yield world
    world.server.kill()


@pytest.fixture
def http(world: World) -> Iterator[httpx.Client]:
    with world.http() as client:
        yield client
