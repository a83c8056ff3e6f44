"""Labels and scores as one flat table that pandas, polars, R or a spreadsheet reads without this package.

The Parquet file holds every text as it is. In the CSV file (UTF-8, no byte order mark, all texts quoted, an empty cell
is null) a text that a spreadsheet would take for a formula gets an apostrophe before it: one whose first character, or
first after blanks, is = + - @ or their full-width forms, and one that begins with a tab or a line break.
"""

import io

import dataframely as dy
import polars as pl

from baez_pipeline.tables.features import feature_column

FORMULA_START = r"^([\t\r\n]|\s*[=+\-@＝＋－＠])"


class LabelScores(dy.Schema):
    """One row per feature and method, whatever became of the label.

    Scores as in FeatureScores. All columns of a benchmark are null where it judged nothing of the label.
    """

    feature = feature_column()
    model = dy.String(description="Neuronpedia's id of the subject model")
    source = dy.String(description="Neuronpedia's source id")
    index = dy.Int64(min=0, description="index of the feature in its source")
    method = dy.String(description="the labelling method")
    label = dy.String(nullable=True, description="the label; null unless the outcome is ok")
    outcome = dy.String(description="what became of the label (Outcome), as plain text")
    detail = dy.String(nullable=True, description="why the outcome is not ok, in a sentence")
    label_writer = dy.String(description="the model that wrote the label, with revision")
    detection_accuracy = dy.Float64(nullable=True, description="(TP + TN) / answered")
    detection_auroc = dy.Float64(nullable=True, description="area under the ROC curve; .5 = chance")
    detection_n_answered = dy.Int64(nullable=True, min=0, description="judged examples with outcome ok")
    detection_n_failed = dy.Int64(nullable=True, min=0, description="the others")
    fuzz_random_accuracy = dy.Float64(nullable=True, description="(TP + TN) / answered")
    fuzz_random_auroc = dy.Float64(nullable=True, description="area under the ROC curve; .5 = chance")
    fuzz_random_n_answered = dy.Int64(nullable=True, min=0, description="judged examples with outcome ok")
    fuzz_random_n_failed = dy.Int64(nullable=True, min=0, description="the others")
    fuzz_contrastive_accuracy = dy.Float64(nullable=True, description="(TP + TN) / answered")
    fuzz_contrastive_auroc = dy.Float64(nullable=True, description="area under the ROC curve; .5 = chance")
    fuzz_contrastive_n_answered = dy.Int64(nullable=True, min=0, description="judged examples with outcome ok")
    fuzz_contrastive_n_failed = dy.Int64(nullable=True, min=0, description="the others")
    embedding_auroc = dy.Float64(nullable=True, description="area under the ROC curve by similarity; .5 = chance")
    embedding_gap = dy.Float64(nullable=True, description="mean similarity of test examples minus that of negatives")
    embedding_n_answered = dy.Int64(nullable=True, min=0, description="judged examples with outcome ok")
    embedding_n_failed = dy.Int64(nullable=True, min=0, description="the others")


SCORES = {
    "detection": ("accuracy", "auroc", "n_answered", "n_failed"),
    "fuzz_random": ("accuracy", "auroc", "n_answered", "n_failed"),
    "fuzz_contrastive": ("accuracy", "auroc", "n_answered", "n_failed"),
    "embedding": ("auroc", "gap", "n_answered", "n_failed"),
}
"""Benchmark -> its columns of FeatureScores."""


def flat_table(labels: pl.DataFrame, scores: pl.DataFrame, records: pl.DataFrame) -> pl.DataFrame:
    """LabelScores, by feature and method.

    Args:
        labels: Labels of all methods.
        scores: FeatureScores of own labels (shuffle 0) on all benchmarks.
        records: FeatureRecords of the features in `labels`.
    """
    places = records.select("feature", model="modelId", source="layer", index=pl.col("index").cast(pl.Int64))
    table = labels.rename({"model": "label_writer"}).with_columns(pl.col("outcome").cast(pl.String))
    table = table.join(places, on="feature", how="left")
    for benchmark, metrics in SCORES.items():
        columns = {f"{benchmark}_{metric}": metric for metric in metrics}
        of_benchmark = scores.filter(pl.col("benchmark") == benchmark).select("feature", "method", **columns)
        table = table.join(of_benchmark, on=["feature", "method"], how="left")
    return LabelScores.validate(table.select(LabelScores.column_names()).sort("feature", "method"))


def as_parquet(table: pl.DataFrame) -> bytes:
    """The table with every text as it is."""
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def as_csv(table: pl.DataFrame) -> bytes:
    """The table for spreadsheets: no text in it is a formula."""
    text = pl.col(pl.String)
    harmless = pl.when(text.str.contains(FORMULA_START)).then(pl.lit("'") + text).otherwise(text).name.keep()
    return table.with_columns(harmless).write_csv(quote_style="non_numeric").encode()
