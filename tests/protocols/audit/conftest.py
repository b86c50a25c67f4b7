from collections.abc import Iterator

import pytest
from tests.protocols.auth.world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A registry with accounts, whose audit log is where it is by default."""
    world = World.start(tmp_path_factory.mktemp("audit"))
    yield world
    world.server.kill()


@pytest.fixture(scope="session")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A registry that became read-only after it was filled."""
    world = World.start(tmp_path_factory.mktemp("closed"))
    world.server.stop()
    world.server.change(CNR_READ_ONLY="true")
    world.server.start()
    yield world
    world.server.kill()
