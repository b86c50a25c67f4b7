from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.legacy.registries import registry_in_memory

from cnr.registry.registry import Registry


@pytest.fixture(scope="session")
def corpus(pytestconfig: pytest.Config) -> Path:
    """The shared packages, which lie beside the repository."""
    folder = pytestconfig.rootpath.parent / "shared" / "corpus"
    assert folder.is_dir(), f"the corpus of packages is missing: {folder}"
    return folder


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    """An empty registry."""
    async with registry_in_memory(tmp_path) as made:
        yield made
