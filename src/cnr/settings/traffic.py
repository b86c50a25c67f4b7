"""Settings of how much may come from one address, one caller, and all of them; each counts per worker process."""

from typing import Final

from cnr.settings import types
from cnr.settings.setting import Setting

TRAFFIC: Final = (
    Setting(
        "header_timeout",
        types.whole(1, 86400),
        "10",
        ("CNR_HEADER_TIMEOUT",),
        "--header-timeout",
        "Seconds for the complete head of a request (cnr serve).",
    ),
    Setting(
        "keep_alive_timeout",
        types.whole(1, 86400),
        "75",
        ("CNR_KEEP_ALIVE_TIMEOUT",),
        "--keep-alive-timeout",
        "Seconds for which an idle connection is kept for its next request (cnr serve).",
    ),
    Setting(
        "write_timeout",
        types.whole(1, 86400),
        "30",
        ("CNR_WRITE_TIMEOUT",),
        "--write-timeout",
        "Seconds after which an answer that the client does not read is given up (cnr serve).",
    ),
    Setting(
        "max_connections",
        types.whole(1, 10**6),
        "10000",
        ("CNR_MAX_CONNECTIONS",),
        "--max-connections",
        "Most open connections of a worker process (cnr serve); fewer where it may open fewer files.",
    ),
    Setting(
        "max_connections_per_address",
        types.whole(0, 10**6),
        "1000",
        ("CNR_MAX_CONNECTIONS_PER_ADDRESS",),
        "--max-connections-per-address",
        "Most of them from one address, trusted proxies aside (cnr serve); 0 for no limit.",
    ),
    Setting(
        "rate_per_address",
        types.rate_or_off,
        "off",
        ("CNR_RATE_PER_ADDRESS",),
        "--rate-per-address",
        "Requests per second from one address and a worker process; off: any number.",
    ),
    Setting(
        "write_rate_per_address",
        types.rate_or_off,
        "off",
        ("CNR_WRITE_RATE_PER_ADDRESS",),
        "--write-rate-per-address",
        "Of these, requests other than GET and HEAD.",
    ),
    Setting(
        "rate_per_caller",
        types.rate_or_off,
        "off",
        ("CNR_RATE_PER_CALLER",),
        "--rate-per-caller",
        "Requests per second of one user or token and a worker process, where there are accounts.",
    ),
    Setting(
        "write_rate_per_caller",
        types.rate_or_off,
        "off",
        ("CNR_WRITE_RATE_PER_CALLER",),
        "--write-rate-per-caller",
        "Of these, requests other than GET and HEAD.",
    ),
    Setting(
        "rate_burst",
        types.whole(1, 3600),
        "10",
        ("CNR_RATE_BURST",),
        "--rate-burst",
        "Seconds of a rate that may be used at once after a rest.",
    ),
    Setting(
        "login_failures",
        types.whole(0, 10**6),
        "5",
        ("CNR_LOGIN_FAILURES",),
        "--login-failures",
        "Wrong passwords for one user from one address before the next one has to wait; 0: nobody waits.",
    ),
)
