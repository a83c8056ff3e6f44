"""What stands in for texts that are still to be written, when an experiment's cost is estimated."""

from collections.abc import Sequence

import polars as pl

from baez_pipeline.tables import Labels, NlaExplanations, Outcome

_PARAGRAPH = "A paragraph about the text in which the token stands, its kind, its subject and its form, with "
STAND_IN_EXPLANATION = "\n\n".join(
    [
        _PARAGRAPH + "a phrase quoted from it and a word on what the phrase is there for, so that this is as long as "
        "such paragraphs are.",
        _PARAGRAPH + "the words before the token quoted, and what they leave open.",
        'Final token "token" ends a phrase of the text and opens another one, which the sentence needs to be complete; '
        'the next words may be "that is", "of the kind" or "for which", and further on an account of the same subject '
        "is to be expected, in the same form and tone, with names, places or numbers that belong to it and have been "
        "mentioned before.",
    ]
)
"""166 tokens by SmolLM2's tokenizer, 80 of them in the last paragraph; released explanations have 173 and 81 on average
(field guide, scoring audit 9)."""


def stand_in_explanations(splits: pl.DataFrame) -> pl.DataFrame:
    """NlaExplanations of the train examples of ExampleSplits, all with the same text."""
    empty = NlaExplanations.create_empty()
    train = splits.filter(pl.col("role") == "train").select(
        "feature", "example", "rank", "peak_activation", position="peak_position"
    )
    written = train.with_columns(
        token=pl.lit(""),
        layer=pl.lit(0),
        engine=pl.lit("stand-in"),
        engine_model=pl.lit("stand-in"),
        below_minimum=pl.lit(False),
        explanation=pl.lit(STAND_IN_EXPLANATION),
        n_paragraphs=pl.lit(3),
        outcome=pl.lit(Outcome.OK.value),
    )
    absent = [pl.lit(None).alias(name) for name in empty.columns if name not in written.columns]
    return NlaExplanations.validate(written.with_columns(absent).select(empty.columns), cast=True)


def stand_in_labels(features: Sequence[str], methods: Sequence[str], *, words: int) -> pl.DataFrame:
    """Labels of features by methods, no two alike: equal questions would be counted once."""
    empty = Labels.create_empty()
    rows = [
        {
            "feature": feature,
            "method": method,
            "label": " ".join([method, feature, *["words"] * (words - 2)]),
            "n_shown": 0,
            "model": "stand-in",
            "outcome": Outcome.OK.value,
        }
        for method in methods
        for feature in features
    ]
    frame = pl.DataFrame(rows, schema={name: empty.schema[name] for name in rows[0]})
    absent = [pl.lit(None).alias(name) for name in empty.columns if name not in frame.columns]
    return Labels.validate(frame.with_columns(absent).select(empty.columns), cast=True)
