"""docs/design.md is normative for bytes on disk, so it names every key and every field of every record."""

import re

import msgspec
import pytest
from tests.docs.conftest import ROOT

from cnr.store import keys, records
from cnr.store.probe import StoreFormat

DESIGN = (ROOT / "docs" / "design.md").read_text()
RECORDS = [kind for kind in vars(records).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]


def test_the_keys_are_the_code_s() -> None:
    drawn = re.findall(r"^\w+/.*$", keys.__doc__ or "", re.MULTILINE)
    assert drawn
    assert "\n".join(drawn) in DESIGN


@pytest.mark.parametrize("kind", [*RECORDS, StoreFormat], ids=lambda kind: kind.__name__)
def test_every_field_is_described(kind: type[msgspec.Struct]) -> None:
    missing = [field for field in kind.__struct_fields__ if f"`{field}`" not in DESIGN]
    assert not missing


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (records.INLINE_BLOB, "16 KiB"),
        (records.INLINE_MANIFEST, "128 KiB"),
        (records.TAG_LIMIT, "400 KiB"),
        (records.FORMAT, "format number (1)"),
    ],
)
def test_numbers(number: int, text: str) -> None:
    assert text in DESIGN
    assert number == {"16 KiB": 16384, "128 KiB": 131072, "400 KiB": 409600}.get(text, 1)
