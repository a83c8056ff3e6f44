import os

import pytest
import torch

# Set before any test imports transformers or dagster: no test may reach a model hub or send telemetry.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
# Two processes of two threads each on two cores run six times slower than with one each (measured): their barriers wait
# for a thread that has no core. The tests may run beside anything.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def smollm2():
    """The real model and its tokenizer, loaded once."""
    from baez_pipeline.llm.smollm2 import load_smollm2

    return load_smollm2()


@pytest.fixture
def baez(monkeypatch, tmp_path, capsys):
    """Run the command in an empty folder; its exit code, and what it printed to either stream as one line."""
    from baez_pipeline import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BAEZ_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["baez", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code, " ".join((printed.out + printed.err).split())

    return run
