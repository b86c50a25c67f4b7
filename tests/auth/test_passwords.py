"""What a check costs tells nobody who there is: hashes are counted, by a verifier that is passed in."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest

from cnr.auth.passwords import Hashes, Passwords, is_bcrypt


class Counting:
    """As Hashes, and counts. Its argon2 is `argon2 <password>`, which costs a test nothing."""

    def __init__(self) -> None:
        self._hashes = Hashes()
        self.argon2_checks: list[str] = []
        self.bcrypt_checks: list[str] = []

    def hash(self, password: str) -> str:
        return f"argon2 {password}"

    def of_nobody(self) -> str:
        return "argon2 of nobody"

    def argon2(self, stored: str, password: str) -> bool:
        self.argon2_checks.append(stored)
        return stored == f"argon2 {password}"

    def bcrypt(self, stored: str, password: str) -> bool:
        self.bcrypt_checks.append(stored)
        return self._hashes.bcrypt(stored, password)


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def passwords(counting: Counting, clock: Clock) -> Iterator[Passwords]:
    with ThreadPoolExecutor(2) as pool:
        yield Passwords(pool, clock, counting)


BCRYPT = bcrypt.hashpw(b"right", bcrypt.gensalt(6)).decode()
USERS = {"argon2": "argon2 right", "bcrypt": BCRYPT, "nobody": None}


@pytest.mark.parametrize("kind", list(USERS))
async def test_whoever_is_refused_costs_the_same(passwords: Passwords, counting: Counting, kind: str) -> None:
    assert not await passwords.right("bcrypt", "wrong", BCRYPT, None)  # so that the cost of the store's is known
    counting.argon2_checks.clear()
    counting.bcrypt_checks.clear()
    assert not await passwords.right(kind, "another wrong one", USERS[kind], None)
    assert len(counting.argon2_checks) == 1
    assert [stored[:7] for stored in counting.bcrypt_checks] == ["$2b$06$"]


@pytest.mark.parametrize("kind", ["argon2", "bcrypt"])
async def test_a_right_one_is_let_in(passwords: Passwords, kind: str) -> None:
    assert await passwords.right(kind, "right", USERS[kind], None)
    assert not await passwords.right(kind, "right", None, None)


async def test_what_came_out_is_remembered_for_a_minute(passwords: Passwords, counting: Counting, clock: Clock) -> None:
    for password, right in (("right", True), ("wrong", False)):
        for _ in range(3):
            assert await passwords.right("a", password, "argon2 right", 1) is right  # type: ignore[arg-type]
    assert len(counting.argon2_checks) == 2
    clock.now += 61
    assert not await passwords.right("a", "wrong", "argon2 right", 1)  # type: ignore[arg-type]
    assert len(counting.argon2_checks) == 3


async def test_what_is_remembered_is_one_user_s_and_one_version_s(passwords: Passwords, counting: Counting) -> None:
    """Else a second try of a password with another name would be quick, and tell that this name is nobody's, too."""
    for number, (name, version) in enumerate((("a", 1), ("b", 1), ("a", 2)), 1):
        assert not await passwords.right(name, "wrong", None, version)  # type: ignore[arg-type]
        assert len(counting.argon2_checks) == number


async def test_nobody_s_hash_is_as_dear_as_another() -> None:
    hashes = Hashes()
    mine, nobody = hashes.hash("right").split("$"), hashes.of_nobody().split("$")
    assert [len(part) for part in mine] == [len(part) for part in nobody]
    assert mine[1:4] == nobody[1:4]
    assert hashes.argon2("$".join(mine), "right")
    assert not hashes.argon2("$".join(nobody), "right")


@pytest.mark.parametrize(
    "stored", ["", "$2y$99$abc", "$2b$18$" + "." * 53, "{SHA}abc", "$apr1$x", "$2b$05$" + "é" * 53]
)
def test_what_is_no_bcrypt_hash(stored: str) -> None:
    assert not is_bcrypt(stored)
