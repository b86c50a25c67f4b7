from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def corpus(pytestconfig: pytest.Config) -> Path:
    """The shared packages, which lie beside the repository."""
    folder = pytestconfig.rootpath.parent / "shared" / "corpus"
    assert folder.is_dir(), f"the corpus of packages is missing: {folder}"
    return folder
