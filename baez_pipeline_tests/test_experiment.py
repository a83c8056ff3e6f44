import os

import pytest
from pydantic import ValidationError

from baez_pipeline.errors import AccessError, ExperimentError, MissingKeyError
from baez_pipeline.experiment import Surroundings, key_from_environment, load_experiment, shipped_experiments


def sentence(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ExperimentError) as caught:
        load_experiment(str(path))
    return str(caught.value)


@pytest.mark.parametrize("name", shipped_experiments())
def test_shipped_experiments_load_under_their_own_name(name):
    assert load_experiment(name).name == name


def test_an_unknown_experiment_names_the_known_ones():
    with pytest.raises(ExperimentError, match=r"Unknown experiment 'smolm2': the package ships .*smollm2"):
        load_experiment("smolm2")


def test_a_misspelt_key_names_the_known_ones(tmp_path):
    assert "unknown key 'sample.featurs'; known here: features, minimum_examples" in sentence(
        tmp_path, 'name = "x"\n[sample]\nfeaturs = 3\n'
    )


def test_a_value_out_of_range_says_what_was_found(tmp_path):
    assert "sample.features" in (said := sentence(tmp_path, 'name = "x"\n[sample]\nfeatures = 0\n'))
    assert "found 0" in said


def test_an_engine_that_does_not_exist_names_those_that_do(tmp_path):
    said = sentence(tmp_path, 'name = "x"\n[nla.engine]\nkind = "sglang"\n')
    assert "'neighbours', 'small_nla', 'transformers', 'vllm'" in said


def test_a_table_with_several_kinds_needs_its_kind(tmp_path):
    assert "source.kind is missing" in sentence(tmp_path, 'name = "x"\n[source]\npath = "here"\n')


def test_a_missing_key_of_one_kind_is_named_without_the_kind(tmp_path):
    said = sentence(tmp_path, 'name = "x"\n[scoring.judge]\nkind = "http"\nmodel = "m"\n')
    assert "scoring.judge.base_url is missing; scoring.judge.usd_per_million_in is missing" in said


def test_an_unknown_key_of_one_kind_names_those_that_it_knows(tmp_path):
    said = sentence(tmp_path, 'name = "x"\n[nla.engine]\nkind = "neighbours"\nneibours = 3\n')
    assert "unknown key 'nla.engine.neibours'; known here: kind, neighbours, continuations" in said


def test_a_minimum_of_faithfulness_needs_something_that_measures_it(tmp_path):
    said = sentence(tmp_path, 'name = "x"\n[labeling]\nminimum_fve = 0.3\n[nla.engine]\nkind = "neighbours"\n')
    assert "labeling.minimum_fve needs explanations with an FVE" in said
    path = tmp_path / "scored.toml"
    path.write_text('name = "x"\n[labeling]\nminimum_fve = 0.3\n[nla.engine]\nkind = "small_nla"\n')
    assert load_experiment(str(path)).labeling.minimum_fve == 0.3


def test_an_unknown_kind_names_those_that_there_are(tmp_path):
    said = sentence(tmp_path, 'name = "x"\n[labeling.writer]\nkind = "htp"\nmodel = "m"\n')
    assert said.endswith("labeling.writer.kind is 'htp'; expected one of 'smollm2', 'http'")


def test_further_fields_of_a_request_cannot_contradict_the_settings(tmp_path):
    table = (
        '[scoring.judge]\nkind = "http"\nmodel = "m"\nbase_url = "u"\nusd_per_million_in = 1\nusd_per_million_out = 1\n'
    )
    assert "max_tokens, model cannot be set here" in sentence(
        tmp_path, f'name = "x"\n{table}extra = {{ model = "other", max_tokens = 9 }}\n'
    )


def test_not_toml_is_a_sentence(tmp_path):
    assert "is not valid TOML" in sentence(tmp_path, "name = ")


def test_settings_that_contradict_each_other_are_refused(tmp_path):
    assert "split needs 16 train + 10 test" in sentence(tmp_path, 'name = "x"\n[split]\ntrain = 16\n')
    assert "report.most_distant names eleuther_acts_top5" in sentence(
        tmp_path, 'name = "x"\n[labeling]\nmethods = ["baez", "baez_last"]\n'
    )


def test_several_layers_without_tiers_are_refused(tmp_path):
    layers = '[source]\nkind = "local_sae"\nlayers = [1, 10]\n'
    assert "add a table tiers, or take source.layers out" in sentence(tmp_path, f'name = "x"\n{layers}')
    path = tmp_path / "sorted.toml"
    path.write_text(f'name = "x"\n{layers}[tiers]\n')
    assert load_experiment(str(path)).lists_layers
    assert not load_experiment("smollm2").lists_layers


def test_an_experiment_is_frozen():
    with pytest.raises(ValidationError):
        load_experiment("smollm2").seed = 1


def test_surroundings_come_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("BAEZ_DATA", "s3://bucket/tables")
    monkeypatch.delenv("BAEZ_EXPERIMENT", raising=False)
    assert Surroundings.from_environment() == Surroundings(experiment="smollm2", data="s3://bucket/tables")


def test_another_process_is_given_the_same_surroundings(monkeypatch):
    given = Surroundings(experiment="article", data="here", answers="postgresql+psycopg://host/answers")
    for variable, value in given.as_environment().items():
        monkeypatch.setenv(variable, value)
    assert Surroundings.from_environment() == given


def test_keys_come_from_a_dotenv_file_of_the_working_folder_unless_they_are_set(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("BAEZ_TEST_KEY=from-the-file\nBAEZ_OTHER_KEY=unused\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BAEZ_OTHER_KEY", "from-the-environment")
    monkeypatch.delenv("BAEZ_TEST_KEY", raising=False)
    try:
        Surroundings.from_environment()
        assert key_from_environment("BAEZ_TEST_KEY", needed_for="a test") == "from-the-file"
        assert key_from_environment("BAEZ_OTHER_KEY", needed_for="a test") == "from-the-environment"
    finally:
        os.environ.pop("BAEZ_TEST_KEY", None)


def test_a_key_that_is_not_set_is_a_sentence(monkeypatch):
    monkeypatch.setenv("BAEZ_TEST_KEY", " ")
    with pytest.raises(MissingKeyError, match=r"BAEZ_TEST_KEY is not set; it is needed for a test.*\.env"):
        key_from_environment("BAEZ_TEST_KEY", needed_for="a test")


@pytest.mark.parametrize("key", ["sk-1\nsk-2", "sk-\u00e9", "sk-\x07"])
def test_what_cannot_be_sent_as_a_key_is_refused_without_showing_it(monkeypatch, key):
    monkeypatch.setenv("BAEZ_TEST_KEY", key)
    with pytest.raises(AccessError, match="BAEZ_TEST_KEY holds characters that no key has") as refused:
        key_from_environment("BAEZ_TEST_KEY", needed_for="a test")
    assert "sk-" not in str(refused.value)
