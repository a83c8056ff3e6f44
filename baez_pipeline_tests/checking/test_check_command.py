"""`baez check` as a user meets it."""

import pytest

from baez_pipeline import cli
from baez_pipeline_tests.checking.conftest import KEY, as_toml, said


@pytest.fixture
def check(monkeypatch, tmp_path, capsys):
    """Run `baez check` in an empty folder; its exit code and its lines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BAEZ_DATA", str(tmp_path / "data"))

    def check(experiment):
        monkeypatch.setattr("sys.argv", ["baez", "check", experiment])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert KEY not in printed.out + printed.err
        return ended.value.code, (printed.out + printed.err).splitlines()

    return check


@pytest.fixture
def written(world, tmp_path):
    """Writes the experiment file."""

    def written(**changes):
        (tmp_path / "mine.toml").write_text(as_toml(said(world, 5.0, **changes)))
        return "mine.toml"

    return written


def test_an_experiment_that_can_run_is_a_line_per_check_and_exit_code_0(check, written):
    code, lines = check(written())
    assert code == 0
    assert "✓ budget: $5.00 of $5 is left" in lines
    assert all(line.startswith("✓ ") for line in lines[:-1])
    assert lines[-1] == "19 checks: 0 failed, 0 cannot be told."


def test_one_that_cannot_is_exit_code_1_with_every_reason(check, written, monkeypatch):
    monkeypatch.delenv("OPENROUTER_API_KEY")
    code, lines = check(written(source={"width": 150}))
    assert code == 1
    failed = [line for line in lines if line.startswith("✗ ")]
    assert [line.partition(":")[0] for line in failed] == ["✗ key OPENROUTER_API_KEY", "✗ source's width"]
    assert sum(line.startswith("? ") for line in lines) == 3
    assert lines[-1].endswith("checks: 2 failed, 3 cannot be told.")


def test_what_cannot_be_told_alone_is_exit_code_0(check, written):
    code, lines = check(written(source={"width": 260}))
    assert code == 0
    assert [line.partition(":")[0] for line in lines if not line.startswith("✓ ")][:-1] == ["? source's width"]


def test_an_experiment_that_cannot_be_read_is_a_sentence(check, tmp_path):
    (tmp_path / "mine.toml").write_text('name = "mine"\n[nla]\nlayr = 5\n')
    code, lines = check("mine.toml")
    assert code == 1
    assert "unknown key 'nla.layr'" in lines[0]


def test_brackets_in_an_answer_are_not_taken_for_colours(check, written, world):
    world.nla.layer = "[red]41[/red]"
    code, lines = check(written())
    assert code == 1
    assert any("reads layer '[red]41[/red]'" in line for line in lines)
