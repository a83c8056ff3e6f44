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
