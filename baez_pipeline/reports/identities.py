"""Which models and data an experiment used, as its tables record them.

Goes in: names with revisions, for people. Stays out: settings, which the experiment has.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from baez_pipeline.reports.wording import MISSING, listed


@dataclass(frozen=True, kw_only=True)
class Identities:
    """Each with its revision; several are joined by 'and', '–' stands for none."""

    subject_model: str
    source: str
    verbalizer: str
    writer: str
    judge: str
    embedder: str


def identities_of(
    *, records: pl.DataFrame, explanations: pl.DataFrame, labels: pl.DataFrame, judged: pl.DataFrame
) -> Identities:
    """The identities in FeatureRecords, NlaExplanations, Labels and JudgedExamples of one experiment.

    Of the records only `modelId`, `layer` and `sourceSetName` are read; those of planted features name no source, and
    are left out by the caller.
    """
    sources = records.select(pl.concat_str("layer", "sourceSetName", separator=" of ", ignore_nulls=True))
    by_embedding = pl.col("benchmark") == "embedding"
    return Identities(
        subject_model=_names(records["modelId"]),
        source=_names(sources.to_series()),
        verbalizer=_names(explanations["engine_model"]),
        writer=_names(labels["model"]),
        judge=_names(judged.filter(~by_embedding)["judge"]),
        embedder=_names(judged.filter(by_embedding)["judge"]),
    )


def _names(column: Iterable[str | None]) -> str:
    return listed(sorted({name for name in column if name})) or MISSING
