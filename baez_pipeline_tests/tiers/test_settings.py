import pytest

from baez_pipeline.errors import ExperimentError
from baez_pipeline.experiment import load_experiment


def load(tmp_path, table):
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "mine"\n{table}')
    return load_experiment(str(path))


def test_labels_by_tier_need_the_table(tmp_path):
    methods = '[labeling]\nmethods = ["tiers", "baez", "eleuther_acts_top5"]\n'
    with pytest.raises(ExperimentError, match=r"labeling\.methods names tiers, .* add a table tiers"):
        load(tmp_path, methods)
    assert load(tmp_path, f"{methods}[tiers]").tiers.method == "eleuther_acts_top5"


def test_an_experiment_is_sorted_into_tiers_when_its_file_says_so(tmp_path):
    assert load(tmp_path, "").tiers is None
    assert load(tmp_path, "[tiers]").tiers.mode == "calibrated"
    assert load(tmp_path, '[tiers]\nmode = "article"\ntau = 0.4').tiers.tau == 0.4


SMALL = 'kind = "http", model = "small", base_url = "http://h/v1", usd_per_million_in = 1, usd_per_million_out = 1'


def test_a_small_writer_of_tier_one_is_asked_where_labels_are_by_tier(tmp_path):
    tiers = f"[tiers]\ntier_1_writer = {{ {SMALL} }}"
    methods = '[labeling]\nmethods = ["tiers", "baez", "eleuther_acts_top5"]\n'
    assert load(tmp_path, f"{methods}{tiers}").asked["label writer of tier 1"].model == "small"
    assert "label writer of tier 1" not in load(tmp_path, tiers).asked
    with pytest.raises(ExperimentError, match=r"tiers\.tier_1_writer is labeling\.writer"):
        load(tmp_path, '[tiers]\ntier_1_writer = { kind = "smollm2" }')


def test_features_of_several_layers_ask_nobody():
    assert load_experiment("smollm2_layers").asked == {}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('mode = "article"', 'tiers.mode = "article" needs tiers.tau, which the article does not give'),
        ("tau = 0.4", 'tiers.tau is for tiers.mode = "article"'),
        ("draws = 99", "tiers.draws: Input should be greater than or equal to 999, found 99"),
        ("windows = 4", "unknown key 'tiers.windows'; known here: mode, window"),
    ],
)
def test_a_setting_that_cannot_be_is_one_sentence(tmp_path, table, said):
    with pytest.raises(ExperimentError) as refused:
        load(tmp_path, f"[tiers]\n{table}")
    assert said in str(refused.value)
