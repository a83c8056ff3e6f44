"""Chat models as delphi's clients, and the import of delphi."""

import asyncio
import importlib.util
import subprocess
import sys

import pytest

from baez_pipeline.errors import BaezError
from baez_pipeline.llm.chat import Completion, Request, TokenChoice
from baez_pipeline.llm.delphi_client import DelphiClient, FailedAnswerError
from baez_pipeline.llm.delphi_import import Client, DetectionScorer, Offline, Response
from baez_pipeline.llm.local_model import SmolLM2Chat
from baez_pipeline.tables import Outcome


class Recorded:
    """A chat model that gives the completion it was made with, and keeps the request."""

    identity = "recorded"

    def __init__(self, completion: Completion) -> None:
        self.completion = completion
        self.request: Request | None = None

    async def complete(self, request: Request) -> Completion:
        self.request = request
        return self.completion


PROMPT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


def test_delphis_prompt_and_settings_reach_the_model():
    model = Recorded(Completion(text="Hi"))
    client = DelphiClient(model, seed=3, prefill="[", stop=("]",))
    response = asyncio.run(client.generate(PROMPT, temperature=0.5, max_tokens=7))
    assert isinstance(client, Client)
    assert (client.model, response) == ("recorded", Response(text="Hi"))
    assert model.request == Request(
        messages=(*PROMPT, {"role": "assistant", "content": "["}), temperature=0.5, max_tokens=7, seed=3, stop=("]",)
    )
    assert client.last_completion is model.completion


def test_a_failed_completion_is_raised_with_its_outcome():
    client = DelphiClient(Recorded(Completion(text="", outcome=Outcome.REFUSED, detail="I will not.")))
    with pytest.raises(FailedAnswerError) as failure:
        asyncio.run(client.generate(PROMPT))
    assert (failure.value.outcome, failure.value.detail) == (Outcome.REFUSED, "I will not.")
    assert not isinstance(failure.value, BaezError)


def test_delphi_reads_probabilities_out_of_token_choices():
    choices = (
        TokenChoice(token="[", alternatives={"[": 0.0}),
        TokenChoice(token="1", alternatives={"1": -0.1, "0": -2.5}),
        TokenChoice(token="]", alternatives={"]": 0.0}),
    )
    client = DelphiClient(Recorded(Completion(text="[1]", choices=choices)))
    response = asyncio.run(client.generate(PROMPT, logprobs=True, top_logprobs=5))
    (probability,) = DetectionScorer(client, n_examples_shown=1)._parse_logprobs(response.logprobs)
    assert probability == pytest.approx(0.9168, abs=1e-4)  # e^-0.1 / (e^-0.1 + e^-2.5)


def test_smollm2_answers_delphi():
    client = DelphiClient(SmolLM2Chat(), max_tokens=3, prefill="Hello")
    response = asyncio.run(client.generate("Say hello.", logprobs=True))
    assert response.text.startswith("Hello")
    assert len(response.logprobs) == client.last_completion.tokens_out


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
class TestWithoutVllm:
    def test_delphis_own_client_says_what_is_missing_when_it_is_used(self):
        with pytest.raises(BaezError, match="needs vLLM, which is not installed"):
            Offline("some-model")

    def test_nothing_else_takes_the_stand_in_for_vllm(self):
        assert "vllm" not in sys.modules
        assert importlib.util.find_spec("vllm") is None


def test_a_missing_delphi_is_one_sentence():
    hidden = "import sys; sys.modules['delphi'] = None; import baez_pipeline.llm.delphi_import"
    run = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, check=False)
    assert (
        run.stderr.strip()
        .splitlines()[-1]
        .startswith("baez_pipeline.errors.MissingPackageError: Package eai-delphi is not installed; it is needed for")
    )
