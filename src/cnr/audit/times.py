"""Times as the audit log writes them: RFC 3339 in UTC, with milliseconds."""

from datetime import UTC, datetime


def written(at_us: int) -> str:
    """Microseconds UTC as text."""
    second, micros = divmod(at_us, 1_000_000)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{micros // 1000:03d}Z"


def microseconds(text: str) -> int:
    """An ISO time as microseconds UTC; without a zone it is UTC. Raises ValueError."""
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1_000_000)
