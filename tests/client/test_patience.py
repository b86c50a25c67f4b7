"""How often, and after which pauses, something is tried again."""

from collections.abc import Callable

import pytest

from cnr.client.errors import BadAnswer, ClientError, NoConnection, NotFound, Refusal, Unreachable
from cnr.client.patience import Patience


class Failing:
    """Raises the failures one after another, then returns `done`."""

    def __init__(self, *failures: ClientError) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def patience(pauses: list[float]) -> Patience:
    return Patience(attempts=4, sleep=pauses.append, chance=lambda: 1.0)


def broken() -> Unreachable:
    return Unreachable("broken off")


def test_pauses_grow(patience: Patience, pauses: list[float]) -> None:
    assert patience.run(Failing(broken(), broken(), broken())) == "done"
    assert pauses == [0.5, 1.0, 2.0]


def test_the_last_failure_is_raised_and_not_tried_again_further_out(patience: Patience, pauses: list[float]) -> None:
    action = Failing(*(broken() for _ in range(9)))
    with pytest.raises(Unreachable):
        patience.run(action)
    assert action.calls == 4
    outer = Failing(*(broken() for _ in range(9)))
    with pytest.raises(Unreachable):
        patience.run(lambda: patience.run(outer))
    assert outer.calls == 4


@pytest.mark.parametrize(("asked", "waits"), [(0.0, [0.0]), (7.0, [7.0]), (60.0, [60.0])])
def test_what_the_registry_asks_for(patience: Patience, pauses: list[float], asked: float, waits: list[float]) -> None:
    assert patience.run(Failing(Unreachable("busy", retry_after=asked))) == "done"
    assert pauses == waits


@pytest.mark.parametrize(
    "failure",
    [
        lambda: Unreachable("busy", retry_after=61.0),
        lambda: NotFound("gone", status=404),
        lambda: Refusal("no", status=400),
        lambda: NoConnection("no such name"),
    ],
)
def test_what_is_not_tried_again(patience: Patience, pauses: list[float], failure: Callable[[], ClientError]) -> None:
    action = Failing(failure())
    with pytest.raises(ClientError):
        patience.run(action)
    assert (action.calls, pauses) == (1, [])


def test_an_error_of_the_server_is(patience: Patience) -> None:
    assert patience.run(Failing(Refusal("oops", status=500))) == "done"


def test_a_registry_that_was_there_may_come_back(patience: Patience) -> None:
    assert patience.run(Failing()) == "done"
    assert patience.run(Failing(NoConnection("refused"))) == "done"


def test_other_failures_pass(patience: Patience) -> None:
    action = Failing(BadAnswer("what"))
    with pytest.raises(BadAnswer):
        patience.run(action)
    assert action.calls == 1
