"""What limits cost: a manifest by tag with no rate set, and with all of them, in one run. Bar: 0.9 of the rate.

Counted is processor time of the server for each answer, which other work on the machine does not change. The two
servers take turns, so that what changes meanwhile changes both.
"""

import asyncio
import base64
import tempfile
from collections.abc import Mapping
from pathlib import Path

from artifacts import OCI
from cpu import seconds_of
from servers import cnr
from wrk import rate

from auth import PASSWORD, fill, first_users

BAR = 0.9
ROUNDS = 4
SECONDS = 4
OFF = {"CNR_MAX_CONNECTIONS_PER_ADDRESS": "0", "CNR_LOGIN_FAILURES": "0"}
RATES = ("CNR_RATE_PER_ADDRESS", "CNR_WRITE_RATE_PER_ADDRESS", "CNR_RATE_PER_CALLER", "CNR_WRITE_RATE_PER_CALLER")
ON = dict.fromkeys(RATES, "1000000")


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as text:
        folder = Path(text)
        compare(folder / "open", "an open server", {}, {})
        basic = {"Authorization": "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()}
        compare(folder / "accounts", "a user's password", {"CNR_AUTH": "authenticated"}, basic)


def compare(folder: Path, what: str, settings: Mapping[str, str], headers: Mapping[str, str]) -> None:
    """Both servers, each over a store of its own, side by side."""
    sides = {"off": folder / "off", "on": folder / "on"}
    for place in sides.values():
        place.mkdir(parents=True)
        with cnr(place, workers=1) as (address, _):
            fill(address)
        if settings:
            asyncio.run(first_users(place))
    with (
        cnr(sides["off"], workers=1, **OFF, **settings) as off,
        cnr(sides["on"], workers=1, **ON, **settings) as on,
    ):
        found: dict[str, list[float]] = {"off": [], "on": []}
        for _ in range(ROUNDS):
            for name, (address, pid) in (("off", off), ("on", on)):
                found[name].append(cost(f"{address}/v2/private/bench/manifests/one", pid, headers))
    without, with_all = min(found["off"]), min(found["on"])
    ratio = without / with_all
    print(
        f"{what:<20} without {without * 1e6:6.1f} us an answer, with all limits {with_all * 1e6:6.1f} us: {ratio:.2f}"
        f"  bar {BAR}: {'met' if ratio >= BAR else 'MISSED'}"
    )


def cost(url: str, pid: int, headers: Mapping[str, str]) -> float:
    """The server's processor time for one answer, in seconds."""
    rate(url, seconds=1, accept=OCI, headers=headers)
    before = seconds_of(pid)
    answers = rate(url, seconds=SECONDS, accept=OCI, headers=headers) * SECONDS
    return (seconds_of(pid) - before) / answers


if __name__ == "__main__":
    main()
