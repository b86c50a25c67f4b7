"""Ranked search: a user's text into words, and words into statements over `packages` and `about`."""

import re
from typing import Final

from cnr.store.views import TERM_LIMIT

QUERY_LIMIT: Final = 256
"""Characters of a search that count; the rest is ignored."""
_PREFIX_FROM: Final = 3
"""A shorter word must be a whole word of a description: as a beginning it would find nearly everything."""
_BETWEEN_WORDS = re.compile(r"[\s\x00-\x1f\x7f]+")

_BASE = "substr(name, instr(name, '/') + 1)"
_IN_KEYWORDS = "id IN (SELECT rowid FROM about WHERE about MATCH :k{i})"
_IN_ABOUT = "id IN (SELECT rowid FROM about WHERE about MATCH :a{i})"
_NAME_SCORE = f"""CASE
    WHEN name = :t{{i}} OR {_BASE} = :t{{i}} THEN 900
    WHEN instr({_BASE}, :t{{i}}) = 1 THEN 600 + 100 * length(:t{{i}}) / length({_BASE})
    ELSE 400 + 100 * length(:t{{i}}) / length(name) END"""
_SCORE = f"CASE WHEN instr(name, :t{{i}}) THEN {_NAME_SCORE} WHEN {_IN_KEYWORDS} THEN 200 ELSE 100 END"
_FOUND = f"(instr(name, :t{{i}}) OR {_IN_ABOUT})"
# The inner LIMIT keeps SQLite from merging the two, which would compute every score three times.
_RANKED = """
SELECT id, name, score FROM (SELECT id, name, {score} AS score FROM packages WHERE {where} LIMIT -1)
WHERE score < :score OR (score = :score AND name > :name) ORDER BY score DESC, name LIMIT :limit
"""
_LEVEL = """
SELECT id, name, {score} AS score FROM packages
WHERE {where} AND ({score} < :score OR ({score} = :score AND name > :name)) ORDER BY name LIMIT :limit
"""


def words(query: str) -> list[str]:
    """The different words of a user's text, lower case, at most TERM_LIMIT of them."""
    # no surrogates: SQLite stores UTF-8 only
    text = query[:QUERY_LIMIT].lower().encode("utf-8", "ignore").decode()
    return list(dict.fromkeys(word for word in _BETWEEN_WORDS.split(text) if word))[:TERM_LIMIT]


def statements(found: list[str]) -> list[str]:
    """SQL for (id, name, score) of the packages that have all the words: the second goes on where the first ends.

    Best first. Scores are whole numbers. Parameters: those of `values`, :score and :name after which to begin, :limit.
    """
    if len(found) > 1:
        marks = range(len(found))
        score = " + ".join(_SCORE.format(i=i) for i in marks)
        where = " AND ".join(_FOUND.format(i=i) for i in marks)
        return [_RANKED.format(score=f"({score}) / {len(found)}", where=where)]
    # one word may be in every description: level by level, each in the order of the index, the first names are enough
    keywords, about = _IN_KEYWORDS.format(i=0), _IN_ABOUT.format(i=0)
    return [
        _RANKED.format(score=_NAME_SCORE.format(i=0), where="instr(name, :t0)"),
        _LEVEL.format(score=200, where=f"NOT instr(name, :t0) AND {keywords}"),
        _LEVEL.format(score=100, where=f"NOT instr(name, :t0) AND NOT {keywords} AND {about}"),
    ]


def values(found: list[str]) -> dict[str, str | float]:
    """The parameters of the words: as text, as a match anywhere, and as one in keywords."""
    parameters: dict[str, str | float] = {}
    for i, word in enumerate(found):
        # quoted, so that nothing in it is an operator of FTS5
        match = '"' + word.replace('"', '""') + '"' + ("*" if len(word) >= _PREFIX_FROM else "")
        parameters |= {f"t{i}": word, f"a{i}": match, f"k{i}": f"keywords : {match}"}
    return parameters
