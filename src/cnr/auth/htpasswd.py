"""Apache's files of users. Source: observed from `htpasswd -B`."""

from cnr.auth.passwords import is_bcrypt
from cnr.domain.account import parse_user
from cnr.domain.errors import InvalidName, InvalidUsage


def htpasswd_entries(text: str) -> list[tuple[str, str]]:
    """Names and hashes, all of which are good. Raises InvalidUsage, which names the line and not what is in it."""
    found: list[tuple[str, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, stored = line.strip().partition(":")
        try:
            parse_user(name)
        except InvalidName as exc:
            raise InvalidUsage(f"line {number}: {exc.message}") from None
        if not is_bcrypt(stored):
            raise InvalidUsage(f"line {number} has no bcrypt hash: make it with htpasswd -B")
        found.append((name, stored))
    return found
