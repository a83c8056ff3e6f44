"""The command line as a user meets it: one sentence for bad input, no traceback, nothing half-written."""


def test_an_unknown_experiment_is_a_sentence(baez, tmp_path):
    code, said = baez("run", "smolm2")
    assert code == 1
    assert said.startswith("baez: Unknown experiment 'smolm2': the package ships")
    assert not (tmp_path / "data").exists()


def test_a_misspelt_key_is_a_sentence(baez, tmp_path):
    (tmp_path / "mine.toml").write_text('name = "mine"\n[split]\ntrian = 5\n')
    code, said = baez("run", "mine.toml")
    assert (code, "Traceback" in said) == (1, False)
    assert "unknown key 'split.trian'; known here: train, test, design" in said


def test_a_report_before_any_run_says_what_to_do(baez):
    code, said = baez("report", "smollm2")
    assert (code, "Traceback" in said) == (1, False)
    assert "Experiment smollm2 is not finished: baez run does the rest" in said


def test_the_status_before_any_run_says_that_everything_is_to_be_done(baez):
    code, said = baez("status", "smollm2")
    assert code == 0
    assert "step tables fresh stale missing waiting failed" in said
    assert "feature_sample 1 1 feature_records 0" in said
    assert "labels_eleuther_acts_top5 0" in said


def test_a_url_that_nothing_can_open_is_a_sentence(baez, monkeypatch):
    monkeypatch.setenv("BAEZ_DATA", "foo://bucket")
    code, said = baez("status", "smollm2")
    assert (code, "Traceback" in said) == (1, False)
    assert "foo://bucket is neither a folder nor a URL that fsspec knows" in said


def test_a_data_folder_that_is_a_file_is_a_sentence(baez, monkeypatch, tmp_path):
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("BAEZ_DATA", str(tmp_path / "taken"))
    code, said = baez("run", "smollm2")
    assert (code, "Traceback" in said) == (1, False)
    assert "feature_sample.parquet cannot be written: Not a directory" in said


def test_a_source_that_is_not_there_is_a_sentence(baez, tmp_path):
    (tmp_path / "mine.toml").write_text('name = "mine"\n[source]\nkind = "local_sae"\npath = "nowhere"\n')
    code, said = baez("run", "mine.toml")
    assert (code, "Traceback" in said) == (1, False)
    assert "No activations-*.parquet in nowhere" in said
    assert not list(tmp_path.rglob("*.parquet"))
