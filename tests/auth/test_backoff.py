import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from cnr.auth.backoff import FORGET_S, REMEMBERED, Backoff
from cnr.auth.passwords import Passwords
from cnr.domain.errors import TooManyFailures

HERE, THERE = "192.0.2.1", "198.51.100.7"


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def waits(backoff: Backoff, address: str, name: str) -> int:
    """Seconds that another wrong password would have to wait; where it need not, it is tried."""
    try:
        backoff.attempt(address, name).begin()
    except TooManyFailures as exc:
        return int(exc.details["retry_after_s"])
    return 0


def test_each_wrong_password_waits_longer(clock: Clock) -> None:
    backoff = Backoff(clock, free=3)
    assert [waits(backoff, HERE, "root") for _ in range(4)] == [0, 0, 0, 1]
    found = []
    for _ in range(12):
        wait = waits(backoff, HERE, "root")
        clock.now += wait
        assert waits(backoff, HERE, "root") == 0
        found.append(wait)
    assert found == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_a_refused_try_makes_it_no_longer(clock: Clock) -> None:
    backoff = Backoff(clock, free=1)
    waits(backoff, HERE, "root")
    assert {waits(backoff, HERE, "root") for _ in range(100)} == {1}
    clock.now += 1
    assert waits(backoff, HERE, "root") == 0


def test_another_user_and_another_address_do_not_wait(clock: Clock) -> None:
    backoff = Backoff(clock, free=3)
    while not waits(backoff, HERE, "root"):
        pass
    assert waits(backoff, HERE, "alice") == 0
    assert waits(backoff, THERE, "root") == 0


def test_the_right_password_forgets_the_wrong_ones(clock: Clock) -> None:
    backoff = Backoff(clock, free=3)
    for _ in range(10):
        waits(backoff, HERE, "root")
        attempt = backoff.attempt(HERE, "root")
        attempt.begin()
        attempt.right()


def test_who_knows_one_password_cannot_guess_others_for_ever(clock: Clock) -> None:
    backoff = Backoff(clock, free=1)
    refused = 0
    for number in range(20):
        refused += waits(backoff, HERE, f"user{number}") > 0
        with_own = backoff.attempt(HERE, "mallory")
        try:
            with_own.begin()
        except TooManyFailures:
            continue
        with_own.right()
    assert refused > 10


def test_many_users_from_one_address_wait(clock: Clock) -> None:
    backoff = Backoff(clock, free=2)
    assert sum(waits(backoff, HERE, f"user{number}") == 0 for number in range(100)) == 8


def test_one_user_from_many_addresses_waits_a_second_at_most(clock: Clock) -> None:
    backoff = Backoff(clock, free=2)
    tried = sum(waits(backoff, f"10.0.{number // 250}.{number % 250}", "root") == 0 for number in range(1000))
    assert tried == 40
    clock.now += 1.5
    assert waits(backoff, THERE, "root") == 0


def test_addresses_of_one_network_count_together(clock: Clock) -> None:
    backoff = Backoff(clock, free=2)
    assert [waits(backoff, f"2001:db8::{number}", "root") for number in range(3)] == [0, 0, 1]


def test_all_is_forgotten_after_a_rest(clock: Clock) -> None:
    backoff = Backoff(clock, free=2)
    while not waits(backoff, HERE, "root"):
        pass
    clock.now += FORGET_S + 400
    assert [waits(backoff, HERE, "root") for _ in range(3)] == [0, 0, 1]


def test_memory_is_bounded(clock: Clock) -> None:
    backoff = Backoff(clock, free=2)
    for number in range(REMEMBERED + 500):
        waits(backoff, f"10.{number >> 16}.{(number >> 8) & 255}.{number & 255}", f"user{number}" * 100)
    assert all(len(table) <= REMEMBERED for table in (backoff.pairs, backoff.addresses, backoff.names))


async def test_a_password_that_was_right_never_waits(clock: Clock) -> None:
    with ThreadPoolExecutor(2) as pool:
        passwords = Passwords(pool, clock)
        stored = await passwords.hash("good")
        tries: list[str] = []

        async def right(password: str) -> bool:
            return await passwords.right("alice", password, stored, None, before=lambda: tries.append(password))

        assert await right("good")
        assert not await right("bad")
        assert not await right("bad")
        assert tries == ["good", "bad", "bad"]
        clock.now += 3600  # checked anew, but no try
        assert await right("good")
        assert tries == ["good", "bad", "bad"]


async def test_the_same_password_at_the_same_time_is_one_try(clock: Clock) -> None:
    with ThreadPoolExecutor(2) as pool:
        passwords = Passwords(pool, clock)
        stored = await passwords.hash("good")
        tries: list[str] = []

        async def right(password: str) -> bool:
            return await passwords.right("alice", password, stored, None, before=lambda: tries.append(password))

        assert await asyncio.gather(*(right("good") for _ in range(100))) == [True] * 100
        assert tries == ["good"]
