"""Plain words: prose and messages use the field's terms. Prints what does not; exits 1 if anything does.

python scripts/check_words.py
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_COUNTED = (
    r"(?:kilo)?bytes|rows|codes|tokens|numbers|units|scales|seconds|milliseconds|trainings|gradients|[KMG]?B|MiB|GiB"
    r"|requests|items|queries|figures|vectors|directions|positions|products|multiplications|ns"
)
_ONE = r"one|(?:one )?process|hash|message|figure|number|lines?|file|files|scale|vector|pass|column"
_PER = (
    r"row|second|minute|page|pass|piece|layer|block|shard|batch|GPU|query|class|choice|ranking|checkpoint|test point"
    r"|device|worker|parameter|job"
)
#: Pattern of what not to write -> what to write.
WORDS = {
    rf"\b(?:{_COUNTED}) an? (?:{_PER})\b(?! (?:may|can|has|stands|computes))": "per",
    rf"\b(?:one )?(?:{_ONE}) an? (?:{_PER})\b": "per",
    r"\bstands? on (?:this|that|it)\b": "depends on",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\bnot to be found\b": "not found",
    r"\breach(?:es)? for the hub\b": "download from the hub",
    r"\bfields? (?:are|is) off\b": "failed validation",
    r"\bdoes not know what it does\b": "say what it would change",
    r"\bhas been heard of\b": "is running",
    r"\bof late\b|\blately\b": "recently",
}
_SUFFIXES = {".py", ".md", ".toml", ".yml", ".js", ".html"}
#: Sample texts are meant to sound like people; this file lists the words themselves.
_EXEMPT = ("cli/samples/", "scripts/check_words.py", "tests/")


def prose_files() -> Iterator[Path]:
    """Tracked files that a user or a contributor reads."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        if Path(name).suffix in _SUFFIXES and not name.startswith(_EXEMPT) and Path(name).is_file():
            yield Path(name)


def findings(path: Path) -> Iterator[str]:
    """One line per use of a word that has a plainer one."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        for pattern, plain in WORDS.items():
            for match in re.finditer(pattern, line, re.IGNORECASE):
                yield f"{path}:{number}: '{match[0]}': {plain}"


def main() -> int:
    """0 when nothing is found."""
    found = [finding for path in prose_files() for finding in findings(path)]
    print("\n".join(found) or "Every word is a plain one.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
