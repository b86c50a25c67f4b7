"""Fuzzes one parser: `python -m tests.fuzz.parsers TARGET [FILE...] [-runs=N] [other flags of libFuzzer]`.

A fault leaves its input in `crash-<sha1>` in the working folder; the name of that file as argument runs it again.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["cnr", "python_multipart"]):
    from tests.fuzz.parsers.targets import TARGETS


def main(words: list[str]) -> None:
    """Does not return: libFuzzer ends the process."""
    if not words or words[0] not in TARGETS:
        raise SystemExit(f"one of {', '.join(TARGETS)} is needed")
    target = TARGETS[words[0]]
    with tempfile.TemporaryDirectory() as folder:
        seeds = Path(folder, "seeds")
        seeds.mkdir()
        for number, seed in enumerate(target.seeds):
            (seeds / str(number)).write_bytes(seed)
        files = [word for word in words[1:] if word[0] != "-"] or [str(seeds)]
        flags = ["-timeout=30", *(word for word in words[1:] if word[0] == "-")]
        if target.words:
            dictionary = Path(folder, "words")
            dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
            flags.append(f"-dict={dictionary}")
        atheris.Setup([sys.argv[0], *files, *flags], target.check)
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main(sys.argv[1:])
