"""How far apart two methods' labels of the same feature are.

Goes in: the table LabelDistances. Stays out: the embedder; vectors come in.
"""

import dataframely as dy
import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.metrics.pairwise import paired_cosine_distances

from baez_pipeline.tables import LabelDistances, Outcome


def label_distances(
    labels_a: pl.DataFrame,
    labels_b: pl.DataFrame,
    vectors_a: npt.ArrayLike,
    vectors_b: npt.ArrayLike,
    embedder: str,
) -> dy.DataFrame[LabelDistances]:
    """Cosine distance of two methods' labels per feature, farthest first, ties by feature key.

    Only features where both labels are ok; none left gives an empty table.

    Args:
        labels_a: Labels of one method, one row per feature.
        labels_b: Labels of the other; its features may differ and stand in another order.
        vectors_a: sentence embeddings of labels_a's rows, shape (rows of labels_a, dimensions); rows of
            failed labels are not read.
        vectors_b: the same for labels_b.
        embedder: the embedder that made them, with its revision.

    Raises:
        ValueError: vectors do not go with the labels row by row, or an ok label has a vector of length zero.
    """
    matrix_a, matrix_b = _matrix(labels_a, vectors_a), _matrix(labels_b, vectors_b)
    # A join may reorder rows; the row numbers lead back to the vectors.
    pairs = _ok(labels_a).join(_ok(labels_b), on="feature", suffix="_b", validate="1:1")
    chosen_a, chosen_b = matrix_a[pairs["row"].to_numpy()], matrix_b[pairs["row_b"].to_numpy()]
    for chosen in (chosen_a, chosen_b):
        if not (np.linalg.norm(chosen, axis=1) > 0).all():
            raise ValueError("the embedding of an ok label has length zero or is not a number: it has no direction")
    distances = paired_cosine_distances(chosen_a, chosen_b) if pairs.height else np.empty(0)
    ranked = (
        pairs.with_columns(distance=pl.Series(distances, dtype=pl.Float64))
        .sort("distance", "feature", descending=[True, False])
        .with_row_index("rank", offset=1)
    )
    return LabelDistances.validate(
        ranked.select(
            "rank",
            "feature",
            "distance",
            method_a="method",
            method_b="method_b",
            label_a="label",
            label_b="label_b",
            embedder=pl.lit(embedder),
        ),
        cast=True,
    )


def _matrix(labels: pl.DataFrame, vectors: npt.ArrayLike) -> npt.NDArray[np.float64]:
    matrix = np.asarray(vectors, dtype=np.float64)
    if matrix.ndim != 2 or len(matrix) != labels.height:
        raise ValueError(f"vectors of shape {matrix.shape} do not go with {labels.height} labels: one row per label")
    return matrix


def _ok(labels: pl.DataFrame) -> pl.DataFrame:
    return (
        labels.with_row_index("row")
        .filter(pl.col("outcome") == Outcome.OK.value)
        .select("row", "feature", "method", "label")
    )
