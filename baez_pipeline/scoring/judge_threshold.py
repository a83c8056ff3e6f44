"""The embedded judge's thresholds, which `embedded/judge_calibration.py` fitted beforehand."""

import functools
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from baez_pipeline.embedded import DATA
from baez_pipeline.errors import SourceError

Question = Literal["detection", "fuzz"]

CALIBRATION = DATA / "judge_calibration.json"


class Threshold(BaseModel):
    """Where a log-likelihood ratio becomes the answer "active", and how fast the probability rises there."""

    model_config = ConfigDict(frozen=True)

    threshold: float
    scale: float = Field(gt=0)

    def log_odds(self, ratio: float) -> float:
        """Log-odds of "active": 0 at the threshold, 1 a scale above it."""
        return (ratio - self.threshold) / self.scale


@functools.lru_cache(maxsize=1)
def thresholds(path: Path = CALIBRATION) -> dict[str, Threshold]:
    """The thresholds by question.

    Raises:
        SourceError: the file is missing or damaged.
    """
    try:
        return _Calibration.model_validate_json(path.read_bytes()).questions
    except (OSError, ValidationError) as error:
        raise SourceError(
            f"The embedded judge's thresholds cannot be read from {path}: {error}. "
            "Restore the file, or fit them again with: python -m baez_pipeline.embedded.judge_calibration"
        ) from error


class _Calibration(BaseModel):
    questions: dict[str, Threshold]
