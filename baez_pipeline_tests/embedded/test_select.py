import numpy as np
import torch

from baez_pipeline.embedded.select import NO_BIN, choose_examples, example_values, window_peaks


def test_peaks_are_the_largest_value_of_each_feature_in_each_window():
    values = torch.tensor([[[3.0, 1.0], [5.0, 0.0]], [[2.0, 0.0], [0.0, 0.0]]])
    features = torch.tensor([[[0, 2], [0, 1]], [[2, 0], [1, 3]]], dtype=torch.int16)
    assert window_peaks(values, features, 4).tolist() == [[5, 0, 1, 0], [0, 0, 2, 0]]


def test_the_strongest_windows_come_first_then_two_of_each_interval_below():
    # Window w has peak w, so that the top 3 of 103 windows are 102, 101, 100, and 5 intervals of width 20 lie below.
    peaks = np.arange(103, dtype=np.float32)[:, None]
    chosen = choose_examples(peaks, seed=0, top=3)
    assert chosen.window[:3].tolist() == [102, 101, 100]
    assert (chosen.bin_max[:3] == NO_BIN).all()
    assert len(chosen.window) == 13
    assert np.array_equal(chosen.rank, np.arange(13))
    assert (np.diff(chosen.window) < 0).all()
    lower = slice(3, None)
    assert (chosen.bin_min[lower] < chosen.window[lower]).all()
    assert (chosen.window[lower] <= chosen.bin_max[lower]).all()
    assert sorted(chosen.bin_max[lower].tolist()) == [20, 20, 40, 40, 60, 60, 80, 80, 100, 100]
    assert np.allclose(chosen.bin_contains[lower], 20 / 102)


def test_rare_features_give_what_they_have_and_dead_ones_nothing():
    peaks = np.zeros((50, 3), dtype=np.float32)
    peaks[[4, 9], 0] = 1.0
    peaks[:22, 2] = 7.0
    chosen = choose_examples(peaks, seed=0)
    assert chosen.window[chosen.feature == 0].tolist() == [4, 9]
    assert not (chosen.feature == 1).any()
    # All peaks are equal: the two beyond the top 20 lie in the highest interval, whose upper edge is inclusive.
    assert (chosen.feature == 2).sum() == 22
    assert (chosen.bin_max[chosen.feature == 2][-2:] == 7.0).all()


def test_a_feature_is_drawn_alike_whatever_the_others_are():
    peaks = np.random.default_rng(0).random((200, 4)).astype(np.float32)
    alone = np.zeros_like(peaks)
    alone[:, 3] = peaks[:, 3]
    both, single = choose_examples(peaks, seed=1), choose_examples(alone, seed=1)
    assert both.window[both.feature == 3].tolist() == single.window.tolist()
    assert choose_examples(alone, seed=2).window.tolist() != single.window.tolist()


def test_values_are_those_of_the_examples_own_feature_with_silence_at_the_first_position():
    values = torch.tensor([[[3.0, 1.0], [5.0, 0.0]]])
    features = torch.tensor([[[0, 2], [0, 1]]], dtype=torch.int16)
    chosen = choose_examples(window_peaks(values, features, 3), seed=0)
    assert chosen.feature.tolist() == [0, 2]
    assert example_values(chosen, values, features).tolist() == [[0, 3, 5], [0, 1, 0]]
