"""What a study found: its question, one sentence that answers it, and the numbers behind the sentence."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.evaluation.comparison import points
from core.evaluation.intervals import Difference


@dataclass(frozen=True)
class Finding:
    """One study.

    Attributes:
        name: of the study, as in `ilora study NAME`.
        question: what was asked, in words.
        sentence: what was found, with n; computed from the numbers.
        numbers: JSON values only; its plot is drawn from them alone.
    """

    name: str
    question: str
    sentence: str
    numbers: Mapping[str, Any]

    def save(self, folder: Path) -> Path:
        """Write NAME.json into a folder, made if need be; the same finding gives the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> "Finding":
        """Read what `save` wrote. Raises DataError for anything else."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{path} holds no finding of a study: make it with `ilora study`.") from error


def read_findings(folder: Path) -> list[Finding]:
    """All findings of a folder, by name; none where there is no folder."""
    return [Finding.load(path) for path in sorted(folder.glob("*.json"))]


def gain(difference: Difference) -> str:
    """A difference with its interval: +2.3 [0.4, 4.1]."""
    return f"{points(difference.mean, signed=True)} [{points(difference.low)}, {points(difference.high)}]"
