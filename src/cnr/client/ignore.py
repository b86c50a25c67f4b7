"""Which files a package leaves out: ignore files with helm's rules.

Source: helm.sh, "The .helmignore file", and the behaviour of helm 3. One pattern a line, `#` begins a comment; globs
are Go's filepath.Match; a pattern without `/` is held against the last part of a path, one with `/` against the whole
path; a trailing `/` means directories only. The first rule that says "ignore" ends it, and `!pattern` ignores what
does NOT match: helm's negation, which is not that of .gitignore.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cnr.client.errors import InvalidPackage

IGNORE_FILES = (".helmignore", ".apprignore", ".kpmignore")
"""Every one that is there counts, in this order. (Old clients took the first.)"""

HELM_DEFAULT = "templates/.?*"
"""What helm always leaves out of a chart."""


@dataclass(frozen=True, slots=True)
class _Rule:
    glob: re.Pattern[str]
    whole_path: bool
    directories_only: bool
    negated: bool

    def ignores(self, path: str, is_directory: bool) -> bool:
        if self.directories_only and not is_directory:
            return self.negated
        subject = path if self.whole_path else path.rpartition("/")[2]
        return (self.glob.fullmatch(subject) is not None) != self.negated


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The rules of a directory, in order."""

    rules: tuple[_Rule, ...] = ()

    @classmethod
    def parse(cls, lines: Iterable[str]) -> "IgnoreRules":
        """Raises InvalidPackage for `**` and for globs that cannot be read, as helm does."""
        texts = (line.strip() for line in lines)
        return cls(tuple(_rule(text) for text in texts if text and not text.startswith("#")))

    def ignores(self, path: str, *, is_directory: bool) -> bool:
        """Whether `path`, relative to the directory and with `/` between parts, is left out, with all below it."""
        return any(rule.ignores(path, is_directory) for rule in self.rules)


def _rule(text: str) -> _Rule:
    if "**" in text:
        raise InvalidPackage(f"the ignore rule {text!r} has a double star, which helm's rules do not know")
    pattern = text.removeprefix("!")
    directories_only = pattern.endswith("/")
    pattern = pattern.removesuffix("/")
    whole_path = "/" in pattern
    return _Rule(_glob(pattern.removeprefix("/"), text), whole_path, directories_only, text.startswith("!"))


_TOKEN = re.compile(r"\*|\?|\[(\^?)((?:(?:\\.|[^\\\]-])(?:-(?:\\.|[^\\\]-]))?)+)\]|\\(.)|([^*?\[\\])", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def _glob(pattern: str, rule: str) -> re.Pattern[str]:
    """A glob as Go's filepath.Match reads it: `*` and `?` stop at `/`, `[^…]` negates, a backslash quotes."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None:
            raise InvalidPackage(f"the ignore rule {rule!r} is no glob that can be read")
        parts.append(_expression(token, rule))
        at = token.end()
    return re.compile("".join(parts), re.DOTALL)


def _expression(token: re.Match[str], rule: str) -> str:
    if token[0] == "*":
        return "[^/]*"
    if token[0] == "?":
        return "[^/]"
    if token[2]:
        return _character_class(token[1], token[2], rule)
    return re.escape(token[3] or token[4])


def _character_class(negation: str, members: str, rule: str) -> str:
    inside = "".join(
        "-" if part == "-" else re.escape(_ESCAPE.sub(r"\1", part)) for part in re.findall(r"\\.|.", members, re.DOTALL)
    )
    try:
        expression = f"[{negation}{inside}]"
        re.compile(expression)
    except re.error:
        raise InvalidPackage(f"the ignore rule {rule!r} has a range that ends before it begins") from None
    return f"(?!/){expression}" if negation else expression
