import pytest

from cnr.domain.errors import TooManyRequests
from cnr.http.admission import HEALTH, PARTIES, Admission, Rate


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def asked(method: str = "GET", path: str = "/v2/", address: str = "192.0.2.1") -> dict[str, object]:
    return {"type": "http", "method": method, "path": path, "client": (address, 1234)}


def allowed(admission: Admission, count: int, **how: str) -> int:
    """How many of `count` requests are let in."""
    found = 0
    for _ in range(count):
        try:
            admission.arrived(asked(**how))
        except TooManyRequests:
            continue
        found += 1
    return found


def test_a_burst_and_then_the_rate(clock: Clock) -> None:
    rate = Rate(10, 3, clock)
    assert sum(rate.take("a") == 0 for _ in range(1000)) == 30
    clock.now += 1
    assert sum(rate.take("a") == 0 for _ in range(1000)) == 10
    wait = rate.take("a")
    assert 0 < wait < 0.101
    clock.now += wait
    assert rate.take("a") == 0


@pytest.mark.parametrize(("per_s", "burst_s"), [(0.1, 1), (1, 1), (50, 10), (1000, 60)])
def test_over_a_long_time_the_rate_is_kept(per_s: float, burst_s: float, clock: Clock) -> None:
    rate = Rate(per_s, burst_s, clock)
    seconds, passed = 600, 0
    for _ in range(seconds * 20):
        passed += sum(rate.take("a") == 0 for _ in range(max(1, int(per_s / 10))))
        clock.now += 0.05
    most = per_s * (seconds + burst_s) + 1
    assert most - per_s * burst_s - 3 <= passed <= most


def test_parties_do_not_disturb_one_another(clock: Clock) -> None:
    rate = Rate(1, 5, clock)
    while not rate.take("a"):
        pass
    assert rate.take("b") == 0


def test_memory_is_bounded(clock: Clock) -> None:
    rate = Rate(1, 5, clock)
    for number in range(5 * PARTIES):
        rate.take(str(number))
    assert len(rate) <= 2 * PARTIES
    clock.now += 100
    rate.take("a")
    clock.now += 100
    rate.take("a")
    assert len(rate) == 2


def test_addresses_of_one_network_are_one(clock: Clock) -> None:
    admission = Admission(address=Rate(1, 3, clock))
    assert allowed(admission, 2, address="2001:db8::1") == 2
    assert allowed(admission, 2, address="2001:db8::2") == 1
    assert allowed(admission, 2, address="2001:db8:0:1::2") == 2
    assert allowed(admission, 2, address="192.0.2.1") == 2
    assert allowed(admission, 2, address="::ffff:192.0.2.1") == 1


def test_changes_count_twice(clock: Clock) -> None:
    admission = Admission(address=Rate(10, 1, clock), address_writes=Rate(2, 1, clock))
    assert allowed(admission, 5, method="PUT") == 2
    assert allowed(admission, 10) == 5
    with pytest.raises(TooManyRequests, match="too many requests by your address: try again in 1 s"):
        admission.arrived(asked())


def test_health_and_unknown_addresses_are_never_refused(clock: Clock) -> None:
    admission = Admission(address=Rate(1, 1, clock))
    assert allowed(admission, 3) == 1
    for path in HEALTH:
        assert allowed(admission, 3, path=path) == 3
    for _ in range(3):
        admission.arrived({**asked(), "client": None})


def test_callers_count_by_name(clock: Clock) -> None:
    admission = Admission(caller=Rate(1, 2, clock), caller_writes=Rate(1, 1, clock))
    for _ in range(5):
        admission.known(asked(), None)
        admission.arrived(asked())
    admission.known(asked("PUT"), "alice")
    with pytest.raises(TooManyRequests, match="too many changes by alice"):
        admission.known(asked("PUT"), "alice")
    admission.known(asked(), "bob")
