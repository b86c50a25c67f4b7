"""JSON answers."""

import pytest

from cnr.http.json_response import SLICE, pretty_list, pretty_response


@pytest.mark.parametrize("count", [0, 1, 2, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE + 7])
async def test_a_long_list_is_written_as_a_short_one(count: int) -> None:
    def shown(number: int) -> dict[str, object]:
        return {"number": number, "nested": [[], {}, ["]", "\n]"]]}

    made = await pretty_list(range(count), shown)
    assert made.body == pretty_response([shown(number) for number in range(count)]).body
