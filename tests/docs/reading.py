"""The commands that README and docs tell people to type."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(?:bash|sh|shell|console)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
FIRST = ("docs/import.md", "docs/teams.md", "README.md")
"""What the others rely on."""
READERS = ("ilora recommend", "ilora batch", "ilora evaluate", "ilora compare", "ilora study", "ilora runs")
"""Commands that read what the others of any document have made: they come last."""


@dataclass(frozen=True)
class Told:
    """One command as a document tells it.

    Attributes:
        document: relative to the repository's root.
        line: as it stands there, continued lines joined, without its comment.
        words: as a shell divides it, without what is set for it alone (NAME=value).
    """

    document: str
    line: str
    words: tuple[str, ...]

    @property
    def kind(self) -> str:
        """What is executed: "ilora train", "ilora data import", "make", "curl"."""
        many = 3 if self.words[:2] == ("ilora", "data") else 2 if self.words[0] == "ilora" else 1
        return " ".join(self.words[:many])


def told(repository: Path) -> list[Told]:
    """Every command of every block, each line once, in the order in which they can be run."""
    documents = sorted(
        path.relative_to(repository).as_posix() for path in (repository / "docs").rglob("*.md")
    )
    found: dict[str, Told] = {}
    for document in (*FIRST, *(name for name in documents if name not in FIRST)):
        text = (repository / document).read_text(encoding="utf-8")
        for block in FENCE.findall(text):
            for line in re.sub(r"\\\n\s*", "", block).splitlines():
                words = shlex.split(line, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                    del words[0]
                if words:
                    found.setdefault(shlex.join(words), Told(document, line.strip(), tuple(words)))
    return sorted(found.values(), key=lambda told: told.kind in READERS)
