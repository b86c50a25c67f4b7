"""What holds in every store, and what a deep check found that does not.

The statements are normative; docs/design.md ("What holds in every store") has the same list.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Severity = Literal["error", "warning", "garbage"]
"""Data is lost or wrong; something is not as it should be and nobody is answered wrongly; nothing needs it."""

KEPT: Final = 1000
"""Findings of one rule that are kept with all their words; of the others only the number."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A statement that holds in every store, what it means where it does not, and what to do then."""

    severity: Severity
    statement: str
    means: str
    remedy: str


_FORGET = "cnr storage forget KEY, with the key that stands here, then push it again"
_PUSH = "push it again with force, or restore the store from a backup"
RULES: Final[dict[int, Rule]] = {
    1: Rule(
        "error",
        "Every record can be read: its key is built of legal parts, its value begins with a known format and decodes.",
        "the engine lost or changed bytes, or a program that is not cnr wrote there",
        f"{_FORGET} with force; or restore the store from a backup",
    ),
    2: Rule(
        "error",
        "Every record carries the id of the write that made it.",
        "a program that is not cnr wrote the record; a writer whose answer is lost cannot tell what became of it",
        "push again what it belongs to, with force",
    ),
    3: Rule(
        "error",
        "The bytes of every blob and every manifest are there, have the size that their record says, and hash to "
        "their name.",
        "bytes are lost or were changed: whoever pulls this gets an error or, from local files, the wrong bytes",
        f"put the right bytes back, if you have them (they hash to this digest); or {_FORGET}, with force",
    ),
    4: Rule(
        "error",
        "What a tag points at (a release's manifest, those of its formats, its index) is there, with the same birth.",
        "the release or tag cannot be pulled by OCI: its manifest is lost, or a DELETE of it was cut off by a crash",
        f"if the manifest was deleted by its digest, send that DELETE again; else {_PUSH}",
    ),
    5: Rule(
        "error",
        "Every blob that a manifest names (config and layers, unless kept elsewhere) is in its repository; of a "
        "manifest that the server made, while a tag reaches it.",
        "who pulls the manifest gets 404 for a part of it",
        "push the blob again (any client does when it pushes the same image), or restore the store from a backup",
    ),
    6: Rule(
        "warning",
        "Nothing that is named as in 4, 5 and 7 is condemned.",
        "garbage collection took it for unused and then saw its use: it looks before it deletes, so nothing is lost",
        "nothing: the next collection takes that back",
    ),
    7: Rule(
        "error",
        "For each format of a live release contents/ names a blob that is there, and the sizes in all three records "
        "agree.",
        "the release cannot be pulled by the CNR API",
        _PUSH,
    ),
    8: Rule(
        "error",
        "The gzip that contents/ names unpacks to the tar digest in its key.",
        "the CNR API serves other content than the digest that it shows",
        _PUSH,
    ),
    9: Rule(
        "error",
        "A channel's current release is one of its members.",
        "the channel shows another release than it was set to, or none",
        "set the channel again: cnr channel REFERENCE -c NAME --set-release",
    ),
    10: Rule(
        "error",
        "Stored bytes are named by one record alone.",
        "deleting one of the two would take the bytes of the other",
        f"{_FORGET}; and report this, it is a fault of the server",
    ),
    11: Rule(
        "error",
        "The views are what a scan of all records gives.",
        "lists, search or index.yaml of this host show something that is not so; no package is lost",
        "rebuild the views: stop this host's servers, delete the file, start them; and report this",
    ),
    12: Rule(
        "warning",
        "repos/ says that a package is live while it has a live release, and only then.",
        "a server stopped between a push or delete and its last step; only the package's age may be wrong",
        "nothing: the next push or delete of a release of this package puts it right",
    ),
    13: Rule(
        "warning",
        "A manifest that refers to another is among the referrers of that.",
        "a server stopped in the middle of this push, which was never acknowledged: the referrers API leaves it out",
        "push it again, or delete it",
    ),
    14: Rule(
        "warning",
        "Every manifest that an index lists is there, unless it was deleted by its digest.",
        "one part of the index cannot be pulled: somebody deleted it by its digest, or it is lost",
        "nothing, if it was deleted on purpose; else push it again",
    ),
    15: Rule(
        "warning",
        "The parts of every open upload are there, and of the size that its record says.",
        "the upload cannot be ended; its client begins anew, as after an upload that took too long",
        "nothing: it is removed a day after its last byte",
    ),
    16: Rule(
        "garbage",
        "Whatever is stored is named.",
        "a crash or a lost race left it, and nothing needs it",
        "nothing: garbage collection removes it (cnr storage gc), files an hour after it saw them first",
    ),
}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """That a rule does not hold. `where` is a key, an id of bytes, or a file."""

    rule: int
    where: str
    problem: str


@dataclass(slots=True)
class CheckReport:
    """What was looked at, and what was found."""

    records: Counter[str] = field(default_factory=Counter)
    files: int = 0
    size: int = 0
    found: Counter[int] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    readable: bool = True
    """False where the engine finds its own files damaged: what it says of records is worth nothing then."""

    def add(self, finding: Finding) -> None:
        """Count it, and keep it unless there are KEPT of its rule already."""
        self.found[finding.rule] += 1
        if self.found[finding.rule] <= KEPT:
            self.findings.append(finding)

    def count(self, severity: Severity) -> int:
        """How many findings are of this severity."""
        return sum(number for rule, number in self.found.items() if RULES[rule].severity == severity)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is lost or wrong."""
        return not self.count("error")

    def as_json(self) -> dict[str, Any]:
        """For programs. `found` counts also those of which `findings` has no words."""
        return {
            "clean": self.is_clean,
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "garbage": self.count("garbage"),
            "records": dict(sorted(self.records.items())),
            "files": self.files,
            "bytes": self.size,
            "skipped": self.skipped,
            "found": {str(rule): number for rule, number in sorted(self.found.items())},
            "findings": [_as_json(finding) for finding in sorted(self.findings)],
        }


def _as_json(finding: Finding) -> dict[str, Any]:
    rule = RULES[finding.rule]
    return {
        "severity": rule.severity,
        "rule": finding.rule,
        "where": finding.where,
        "problem": finding.problem,
        "means": rule.means,
        "remedy": rule.remedy,
    }
