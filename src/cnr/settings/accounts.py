"""Settings of who may do what."""

from typing import Final

from cnr.domain.policy import VISIBILITIES
from cnr.settings import types
from cnr.settings.setting import Setting

ACCOUNTS: Final = (
    Setting(
        "auth",
        types.one_of("open", "authenticated"),
        "open",
        ("CNR_AUTH",),
        "--auth",
        "open: who reaches the server may do everything; authenticated: what accounts and tokens have a right to.",
    ),
    Setting(
        "auth_scheme",
        types.one_of("bearer", "basic"),
        "bearer",
        ("CNR_AUTH_SCHEME",),
        "--auth-scheme",
        "What OCI clients are asked for: bearer (tokens of /token) or basic. Both are taken.",
    ),
    Setting(
        "insecure_open",
        types.yes_or_no,
        "false",
        ("CNR_INSECURE_OPEN",),
        "--insecure-open",
        "Whether an open server may listen on addresses that others reach.",
    ),
    Setting(
        "visibility",
        types.one_of(*VISIBILITIES),
        "private",
        ("CNR_VISIBILITY",),
        "--visibility",
        "Who may pull what has no visibility of its own, where there are accounts: public (anybody) or private.",
    ),
    Setting(
        "htpasswd",
        types.optional_file,
        "",
        ("CNR_HTPASSWD",),
        "--htpasswd",
        "A file of users with bcrypt hashes (htpasswd -B) who may log in, too; changes of it are seen within seconds.",
    ),
)
