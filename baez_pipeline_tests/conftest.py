import os

import pytest

# Set before any test imports transformers or dagster: no test may reach a model hub or send telemetry.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"


@pytest.fixture(scope="session")
def smollm2():
    """The real model and its tokenizer, loaded once."""
    from baez_pipeline.llm.smollm2 import load_smollm2

    return load_smollm2()
