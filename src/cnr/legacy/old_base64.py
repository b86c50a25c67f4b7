"""Package files as old servers kept them: the base64 text of the push, word for word."""

import string
from collections.abc import Iterable, Iterator

from cnr.domain.base64_text import decode

_ALPHABET = (string.ascii_letters + string.digits + "+/=").encode()
_FOREIGN = bytes(set(range(256)) - set(_ALPHABET))


def decode_leniently(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes that stored base64 stands for. Raises InvalidArchive for missing padding.

    Characters outside the alphabet are skipped, as Python 2 did when the old server served the same text: what could
    be pulled from it must come along. Source: contracts/cnr.md 2.4, "base64 details".
    """
    return decode(chunk.translate(None, _FOREIGN) for chunk in chunks)
