import polars as pl
import pytest

from baez_pipeline.statistics import label_distances
from baez_pipeline.tables import Labels


def labels(method, **outcomes):
    """Labels of the features in the given order, with these outcomes."""
    rows = [
        {
            "feature": feature,
            "method": method,
            "label": f"{method} of {feature}" if outcome == "ok" else None,
            "n_shown": 5,
            "model": "writer",
            "outcome": outcome,
        }
        for feature, outcome in outcomes.items()
    ]
    return Labels.validate(pl.DataFrame(rows, schema=Labels.create_empty().schema), cast=True)


def test_distances_are_one_minus_cosine_farthest_first():
    a = labels("baez", f0="ok", f1="ok", f2="ok")
    b = labels("baez_last", f0="ok", f1="ok", f2="ok")
    found = label_distances(a, b, [[1, 0], [1, 0], [3, 0]], [[2, 0], [-1, 0], [0, 5]], "embedder@1")
    assert found.select("rank", "feature").rows() == [(1, "f1"), (2, "f2"), (3, "f0")]
    assert found["distance"].to_list() == pytest.approx([2, 1, 0])
    assert found.row(0, named=True) | {"distance": 2.0} == {
        "rank": 1,
        "feature": "f1",
        "method_a": "baez",
        "method_b": "baez_last",
        "label_a": "baez of f1",
        "label_b": "baez_last of f1",
        "distance": 2.0,
        "embedder": "embedder@1",
    }


def test_ties_are_broken_by_feature():
    a, b = labels("baez", f2="ok", f0="ok", f1="ok"), labels("baez_last", f1="ok", f2="ok", f0="ok")
    found = label_distances(a, b, [[1, 0]] * 3, [[0, 1]] * 3, "embedder@1")
    assert found["feature"].to_list() == ["f0", "f1", "f2"]


def test_a_failed_label_has_no_distance_and_its_vector_is_not_read():
    a, b = labels("baez", f0="refused", f1="ok"), labels("baez_last", f1="ok", f0="ok")
    found = label_distances(a, b, [[0, 0], [1, 0]], [[0, 1], [1, 0]], "embedder@1")
    assert found.select("feature", "distance").rows() == [("f1", pytest.approx(1))]


def test_no_pair_of_labels_gives_an_empty_table():
    a, b = labels("baez", f0="refused"), labels("baez_last", f0="ok")
    assert label_distances(a, b, [[1, 0]], [[1, 0]], "embedder@1").is_empty()


def test_vectors_that_do_not_go_with_the_labels_are_refused():
    a, b = labels("baez", f0="ok"), labels("baez_last", f0="ok")
    with pytest.raises(ValueError, match="one row per label"):
        label_distances(a, b, [[1, 0], [0, 1]], [[1, 0]], "embedder@1")


@pytest.mark.parametrize("vector", [[0, 0], [float("nan"), 1]])
def test_a_vector_without_a_direction_is_refused(vector):
    a, b = labels("baez", f0="ok"), labels("baez_last", f0="ok")
    with pytest.raises(ValueError, match="no direction"):
        label_distances(a, b, [vector], [[1, 0]], "embedder@1")
