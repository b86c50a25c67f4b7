"""Write the table of settings into docs/running.md, from cnr.config: `python scripts/settings_table.py [--check]`.

With --check nothing is written; the status is 1 where the page is not up to date.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from cnr.config import Row, table

PAGE = Path(__file__).parents[1] / "docs" / "running.md"
BEGIN = "<!-- settings: begin (made by scripts/settings_table.py) -->\n"
END = "<!-- settings: end -->\n"


def rendered() -> str:
    """The table as Markdown."""
    head = ["| Variable | Flag of `cnr serve` | Default | |", "|---|---|---|---|"]
    return "\n".join([*head, *map(_line, table())]) + "\n"


def _line(row: Row) -> str:
    names = ", ".join(f"`{name}`" for name in row.env)
    flag = f"`{row.flag}`" if row.flag else ""
    default = row.default if row.default == "none" or " " in row.default else f"`{row.default}`"
    return f"| {names} | {flag} | {default} | {row.help} |"


def with_table(page: str) -> str:
    """The page with the table as it is today. Raises ValueError where it has no place for it."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError("the page has no marks for the table")
    return f"{before}{BEGIN}{rendered()}{END}{after}"


def main(arguments: Sequence[str]) -> int:
    page = PAGE.read_text()
    wanted = with_table(page)
    if "--check" in arguments:
        return int(page != wanted)
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
