"""Ranked search: a user's text into words, and words into one statement over `packages` and `about`."""

import re
from typing import Final

from cnr.store.views import TERM_LIMIT

QUERY_LIMIT: Final = 256
"""Characters of a search that count; the rest is ignored."""
_PREFIX_FROM: Final = 3
"""A shorter word must be a whole word of a description: as a beginning it would find nearly everything."""
_BETWEEN_WORDS = re.compile(r"[\s\x00-\x1f\x7f]+")

_BASE = "substr(name, instr(name, '/') + 1)"
_FOUND = "(instr(name, :t{i}) OR id IN (SELECT rowid FROM about WHERE about MATCH :a{i}))"
_IN_NAME = f"""CASE
    WHEN name = :t{{i}} OR {_BASE} = :t{{i}} THEN 900
    WHEN instr({_BASE}, :t{{i}}) = 1 THEN 600 + 100 * length(:t{{i}}) / length({_BASE})
    ELSE 400 + 100 * length(:t{{i}}) / length(name) END"""
_SCORE = (
    f"CASE WHEN instr(name, :t{{i}}) THEN {_IN_NAME}"  # noqa: S608 nothing of the user's: words are parameters
    " WHEN id IN (SELECT rowid FROM about WHERE about MATCH :k{i}) THEN 200"
    " WHEN id IN (SELECT rowid FROM about WHERE about MATCH :a{i}) THEN 100 END"
)


def words(query: str) -> list[str]:
    """The different words of a user's text, lower case, at most TERM_LIMIT of them."""
    # no surrogates: SQLite stores UTF-8 only
    text = query[:QUERY_LIMIT].lower().encode("utf-8", "ignore").decode()
    return list(dict.fromkeys(word for word in _BETWEEN_WORDS.split(text) if word))[:TERM_LIMIT]


def statement(found: list[str]) -> tuple[str, dict[str, str]]:
    """SQL for (id, name, score) of the packages that have all the words, best first, and its parameters.

    The caller adds :score and :name, after which to begin, and :limit. Scores are whole numbers.
    """
    marks = range(len(found))
    score = " + ".join(_SCORE.format(i=i) for i in marks)
    # a score of nothing is NULL and drops out below; with several words it is quicker to look before computing
    where = " AND ".join(_FOUND.format(i=i) for i in marks) if len(found) > 1 else "TRUE"
    # the inner LIMIT keeps SQLite from merging the two, which would compute every score three times
    sql = f"""
    SELECT id, name, score FROM (
        SELECT id, name, ({score}) / {len(found)} AS score FROM packages WHERE {where} LIMIT -1
    )
    WHERE score < :score OR (score = :score AND name > :name)
    ORDER BY score DESC, name LIMIT :limit
    """  # noqa: S608 nothing of the user's: words are parameters
    values: dict[str, str] = {}
    for i, word in enumerate(found):
        # quoted, so that nothing in it is an operator of FTS5
        match = '"' + word.replace('"', '""') + '"' + ("*" if len(word) >= _PREFIX_FROM else "")
        values |= {f"t{i}": word, f"a{i}": match, f"k{i}": f"keywords : {match}"}
    return sql, values
