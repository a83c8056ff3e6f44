import polars as pl

from baez_pipeline.reports.examples import Piece, example_view, example_views


def view(tokens, activations, *, peak, window=None, largest=10.0):
    start, end = window or (0, len(tokens))
    return example_view(
        {
            "rank": 1,
            "role": "train",
            "document": None,
            "tokens": tokens,
            "activations": activations,
            "peak_position": peak,
            "peak_activation": activations[peak],
            "window_start": start,
            "window_end": end,
        },
        largest=largest,
    )


def texts(pieces):
    return [piece.text for piece in pieces]


def test_silent_tokens_run_together_and_active_ones_stand_alone():
    found = view(["a", " b", " c", " d", " e"], [0, 0, 5, 10, 0], peak=3)
    assert texts(found.window) == ["a b ", "c", " ", "d", " e"]
    assert [piece.shade for piece in found.window] == [0, 0.5, 0, 1, 0]
    assert [piece.peak for piece in found.window] == [False, False, False, True, False]
    assert found.window[1].value == "activation 5, 50 % of the largest peak"


def test_a_token_of_blanks_keeps_them():
    found = view(["a", "  ", "b"], [0, 5, 0], peak=1)
    assert texts(found.window) == ["a", "  ", "b"]
    assert found.window[1].peak


def test_the_context_is_cut_at_the_window():
    found = view(list("abcdef"), [0, 3, 0, 5, 0, 0], peak=3, window=(2, 5))
    assert (texts(found.before), texts(found.window), texts(found.after)) == (["a", "b"], ["c", "d", "e"], ["f"])
    assert found.window[1].peak
    assert not found.before[1].peak


def test_nothing_is_lost_or_added():
    tokens = [" x", "", "\n", "y ", " ", "z"]
    found = view(tokens, [1, 2, 0, 3, 4, 0], peak=4, window=(1, 5))
    assert "".join(texts(found.before + found.window + found.after)) == "".join(tokens)


def test_a_value_above_the_largest_peak_is_fully_shaded():
    # Another token may be stronger than the peak that the source names.
    assert view(["a"], [12.0], peak=0).window == (
        Piece("a", shade=1.0, value="activation 12, 120 % of the largest peak", peak=True),
    )


def test_examples_are_shaded_by_the_largest_peak_of_the_feature(tables):
    of_feature = tables.splits.filter(pl.col("feature") == tables.splits["feature"].first())
    found = example_views(of_feature.sort("rank", descending=True))
    assert [view.rank for view in found] == list(range(1, 16))
    assert (found[0].share, found[1].share < 1) == (1.0, True)
    assert example_views(of_feature.clear()) == []
