import gzip

from hypothesis import given
from hypothesis import strategies as st

from cnr.domain.archive import COMPOSE, inspect
from cnr.domain.compose import BYTES_LIMIT, project_archive, project_files
from cnr.domain.digest import Digest
from cnr.domain.limits import Limits
from cnr.domain.manifest import Descriptor, Manifest, MediaType
from cnr.domain.shape import is_file_name

YAML = MediaType("application/vnd.docker.compose.file+yaml")


def layer(name: str, size: int = 1) -> Descriptor:
    notes = {"com.docker.compose.file": name}
    return Descriptor(media_type=YAML, digest=Digest(f"sha256:{0:064}"), size=size, annotations=notes)


@given(st.text(max_size=300))
def test_a_file_name_is_one_part_of_a_path(name: str) -> None:
    if is_file_name(name):
        assert name not in ("", ".", "..")
        assert not set(name) & set("/\\:\0")
        assert len(name.encode()) <= 255


@given(st.lists(st.tuples(st.text(max_size=12), st.integers(-5, BYTES_LIMIT)), max_size=5))
def test_what_is_taken_is_safe_and_small(files: list[tuple[str, int]]) -> None:
    found = project_files(Manifest(layers=tuple(layer(name, size) for name, size in files)))
    if found is not None:
        assert [(file.name, file.size) for file in found] == files
        assert len({file.name.casefold() for file in found}) == len(files)
        assert sum(file.size for file in found) <= BYTES_LIMIT


def test_names_that_people_use() -> None:
    for name in ("compose.yaml", "docker-compose.yml", ".env", "my compose.yaml", "f\u00fcr.yaml", "0a" * 32 + ".env"):
        assert is_file_name(name), name


def test_the_archive_of_the_same_files_is_the_same() -> None:
    files = [("compose.yaml", b"services: {web: {}}\n"), ("b.env", b"")]
    archive = project_archive(files)
    assert gzip.decompress(archive) == gzip.decompress(project_archive(list(files)))
    contents = inspect([archive], Limits(), COMPOSE)
    assert (contents.members, list(contents.files)) == (2, ["compose.yaml"])
    assert contents.tar_digest == "c592fc028e4d57eb8d04f23d3ecb265c41edb2a1912772e568bd0253468ab32a", "for ever"
