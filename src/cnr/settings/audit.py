"""Settings of the audit log."""

from collections.abc import Mapping
from typing import Any, Final

from cnr.settings import types
from cnr.settings.setting import Setting


def _beside(above: Mapping[str, Any]) -> str:
    return str(above["database_url"] / "audit.log")


AUDIT: Final = (
    Setting(
        "audit_log",
        types.place_of_log,
        _beside,
        ("CNR_AUDIT_LOG",),
        "--audit-log",
        "Where changes, logins and denials are written down: a file, stdout or stderr; off for nowhere.",
        "audit.log in the store's folder",
    ),
    Setting(
        "audit_size",
        types.size,
        "64MiB",
        ("CNR_AUDIT_SIZE",),
        "--audit-size",
        "Size at which the file of the audit log is set aside and a new one begun.",
    ),
    Setting(
        "audit_days",
        types.whole(1, 3650),
        "90",
        ("CNR_AUDIT_DAYS",),
        "--audit-days",
        "Days after which it is set aside in any case.",
    ),
    Setting(
        "audit_keep",
        types.whole(1, 1000),
        "10",
        ("CNR_AUDIT_KEEP",),
        "--audit-keep",
        "Files of the audit log that are kept once they are set aside.",
    ),
    Setting(
        "audit_strict",
        types.yes_or_no,
        "false",
        ("CNR_AUDIT_STRICT",),
        "--audit-strict",
        "Whether changes are refused (503) while the audit log cannot be written.",
    ),
)
