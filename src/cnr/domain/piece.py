"""Some of the bytes of something long."""

from typing import TypeAlias

Piece: TypeAlias = bytes | memoryview
"""What a view shows does not change."""
