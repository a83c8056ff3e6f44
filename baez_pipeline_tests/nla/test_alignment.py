"""nla.alignment = unverified, the article's way: the source's position is asked for, whatever comes back is taken."""

import numpy as np
import polars as pl
import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from baez_pipeline.answers import Answers
from baez_pipeline.errors import SidecarError
from baez_pipeline.experiment import NeuronpediaEngine, Nla, NlaServerEngine
from baez_pipeline.neuronpedia import Neuronpedia
from baez_pipeline.nla import explain_features
from baez_pipeline.nla.engine import Explanation, FromActivations, Peak
from baez_pipeline.nla.extraction import SubjectModel
from baez_pipeline.nla.neuronpedia_engine import NeuronpediaVerbalizer
from baez_pipeline.nla.nla_server import NlaServerByText, open_nla_server
from baez_pipeline.tables import ExampleSplits, Outcome
from baez_pipeline_tests.nla.asking import HARBOUR, Clock, peak
from baez_pipeline_tests.nla_service import FakeNla, always, in_turn, splitting, turned_away, with_answer, with_fields


@pytest.fixture(params=["neuronpedia", "nla_server"])
def explained(request, stand, tmp_path):
    """Explains peaks with an engine that sends text, without looking at which token was explained."""

    def explain(fake, *peaks):
        stand.fake, clock = fake, Clock()
        answers = Answers(f"sqlite:///{tmp_path / 'answers.sqlite'}")
        if request.param == "neuronpedia":
            settings = NeuronpediaEngine(model="gemma-3-27b-it", nla_source="kitft-l41")
            client = Neuronpedia(f"{stand.address}/api", answers, key=None, timeout_seconds=5, wait=clock.wait)
            engine = NeuronpediaVerbalizer(
                settings, client, layer=41, alignment="unverified", clock=clock, wait=clock.wait
            )
        else:
            settings = NlaServerEngine(name="gemma3-27b L41", base_url=stand.address, timeout_seconds=5)
            client = open_nla_server(settings, answers, secret=None, wait=clock.wait)
            engine = NlaServerByText(settings, client, layer=41, alignment="unverified")
        return engine.explain(peaks)

    return explain


def test_a_service_that_puts_a_bos_before_the_text_explains_the_token_before_the_peak_and_is_taken(explained):
    fake = FakeNla(bos="always")
    (said,) = explained(fake, peak())
    assert (said.outcome, said.token, said.position_asked) == (Outcome.OK, " the", HARBOUR)
    assert said.token_id == sum(map(ord, " the"))
    assert 'Final token "the"' in said.text
    assert said.detail == "the service explained ' the', the peak token is ' harbour'"
    assert [(body["text"], body["positions"]) for body in fake.bodies] == [
        ("<bos>The fishing boats left the harbour", [HARBOUR])
    ]


def test_a_service_that_counts_as_the_source_does_explains_the_peak(explained):
    (said,) = explained(FakeNla(), peak())
    assert (said.outcome, said.token, said.position_asked, said.detail) == (Outcome.OK, " harbour", HARBOUR, None)


def test_a_text_that_the_service_tokenises_in_another_way_is_not_misaligned(explained):
    (said,) = explained(FakeNla(tokenise=splitting(" fishing", " boats")), peak())
    assert (said.outcome, said.token) == (Outcome.OK, " left")


@pytest.mark.parametrize(
    ("answered", "token", "token_id"),
    [
        ({"token": None, "token_id": None}, "", None),
        ({"token": 7, "token_id": True}, "", None),
        ({"token": "\ud83d", "token_id": 2**70}, "?", None),
    ],
)
def test_a_token_that_the_service_does_not_say_is_empty_and_the_detail_says_so(explained, answered, token, token_id):
    (said,) = explained(FakeNla(faults=always(with_fields(**answered))), peak())
    assert (said.outcome, said.token, said.token_id) == (Outcome.OK, token, token_id)
    assert "the peak token is ' harbour'" in said.detail


def test_failures_are_failures_still(explained):
    fake = FakeNla(faults=in_turn(with_answer(results=[]), with_fields(description=""), turned_away(400)))
    said = explained(fake, peak(), peak(position=8), peak(position=11))
    assert [explanation.outcome for explanation in said] == [Outcome.ERROR, Outcome.EMPTY, Outcome.ERROR]
    with pytest.raises(SidecarError, match="reads layer 20"):
        explained(FakeNla(layer=20), peak(position=4))


class Echo:
    """An engine that is given activations and says the first number of each."""

    name, identity, temperature, max_new_tokens = "echo", "echo 1", None, None

    def explain_vectors(self, vectors, seeds):
        assert len(vectors)
        assert np.isfinite(vectors).all()
        return [Explanation(text=repr(float(vector[0]))) for vector in vectors]


IDS = [5, 12, 3, 9]


@pytest.fixture(scope="module")
def subject():
    torch.manual_seed(0)
    tiny = LlamaConfig(hidden_size=4, intermediate_size=8, num_hidden_layers=2, num_attention_heads=1, vocab_size=20)
    return SubjectModel(LlamaModel(tiny).eval(), layer=1)


@pytest.mark.parametrize(("alignment", "read"), [("verified", [0, 1, 3]), ("unverified", [0, 0, 2])])
def test_in_process_the_token_before_the_peak_is_read_and_a_first_token_itself(subject, alignment, read):
    peaks = [Peak(tokens=["<s>", "b", "c", "d"], token_ids=IDS, position=position, seed=0) for position in (0, 1, 3)]
    said = FromActivations(subject, Echo(), alignment=alignment).explain(peaks)
    vectors = subject.activations_at([IDS] * 3, read)
    assert [explanation.text for explanation in said] == [repr(float(vector[0])) for vector in vectors]
    np.testing.assert_allclose([explanation.norm for explanation in said], np.linalg.norm(vectors, axis=1))


def test_a_context_that_begins_without_a_bos_says_that_a_service_would_have_explained_one(subject):
    peaks = [Peak(tokens=["a", "b", "c", "d"], token_ids=IDS, position=position, seed=0) for position in (0, 1)]
    first, second = FromActivations(subject, Echo(), alignment="unverified").explain(peaks)
    assert first.detail == "the context begins at the peak, without a BOS; a service would put one there and explain it"
    assert second.detail == "the token at position 0 was explained, the peak is at 1"
    assert [said.detail for said in FromActivations(subject, Echo()).explain(peaks)] == [None, None]


def test_a_row_names_the_token_that_was_explained_and_says_where_it_is_not_the_peak(subject):
    example = {
        "feature": "f",
        "role": "train",
        "tokens": ["<s>", "b", "c", "d"],
        "token_ids": IDS,
        "activations": [0.0, 0.0, 2.0, 0.0],
        "peak_activation": 2.0,
        "window_start": 0,
        "window_end": 4,
    }
    splits = pl.DataFrame(
        [
            example | {"example": "e1", "rank": 1, "peak_position": 2},
            example | {"example": "e2", "rank": 2, "peak_position": 0},
        ],
        schema=ExampleSplits.create_empty().schema,
    )
    rows = explain_features(
        splits, FromActivations(subject, Echo(), alignment="unverified"), Nla(alignment="unverified"), seed=0
    )
    columns = ["position", "token", "token_id", "peak_activation", "detail"]
    assert rows.select(columns).rows() == [
        (2, "b", 12, 2.0, "the token at position 1 was explained, the peak is at 2"),
        (0, "<s>", 5, 2.0, None),
    ]
