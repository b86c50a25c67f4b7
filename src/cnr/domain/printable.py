"""Text from strangers, made fit for a terminal, an index and a page."""

_NOT_SPACE_IN_GO = frozenset("\x1c\x1d\x1e\x1f")


def printable(text: str) -> str:
    """`text` with every kind of white space as a space, and without control, format and unassigned characters.

    So escape codes and text that runs backwards go no further. Source: observed from helm, which does the same to
    nearly every field of Chart.yaml (Go's unicode.IsSpace and IsPrint).
    """
    if text.isprintable():
        return text
    spaced = (" " if char.isspace() and char not in _NOT_SPACE_IN_GO else char for char in text)
    return "".join(char for char in spaced if char.isprintable())
