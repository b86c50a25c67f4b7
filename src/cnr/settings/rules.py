"""Settings of what may change, and of what is collected."""

from typing import Final

from cnr.domain.policy import IMMUTABILITIES
from cnr.settings import types
from cnr.settings.setting import Setting

RULES: Final = (
    Setting(
        "gc_interval",
        types.whole(0, 10**9),
        "21600",
        ("CNR_GC_INTERVAL",),
        "--gc-interval",
        "Seconds from one garbage collection in the background to the next; 0 for none.",
    ),
    Setting(
        "gc_grace",
        types.whole(0, 10**9),
        "86400",
        ("CNR_GC_GRACE",),
        "--gc-grace",
        "Seconds for which garbage collection spares what nothing names; the same on all servers of a store.",
    ),
    Setting(
        "gc_untagged_after",
        types.seconds_or_never,
        "never",
        ("CNR_GC_UNTAGGED_AFTER",),
        "--gc-untagged-after",
        "Seconds after which a manifest that a client pushed is collected if no tag names it and nothing refers to it.",
    ),
    Setting(
        "immutability",
        types.one_of(*IMMUTABILITIES),
        "releases",
        ("CNR_IMMUTABILITY",),
        "--immutability",
        "What may change after a push, where a namespace has no rule of its own: releases, strict or none.",
    ),
    Setting(
        "allow_force",
        types.yes_or_no,
        "true",
        ("CNR_ALLOW_FORCE",),
        "--allow-force",
        "Whether a push may replace a release with force, where a namespace has no rule of its own.",
    ),
)
