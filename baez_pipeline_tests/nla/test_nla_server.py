"""The engine on a real HTTP server that speaks as Neuronpedia's NLA server does, by text and by vector."""

import math

import numpy as np
import pytest
from transformers import LlamaConfig, LlamaModel

from baez_pipeline.answers import Answers
from baez_pipeline.errors import AccessError, ServiceError, SidecarError
from baez_pipeline.experiment import NlaServerEngine
from baez_pipeline.nla.engine import FromActivations, Peak
from baez_pipeline.nla.extraction import SubjectModel
from baez_pipeline.nla.nla_server import JITTER, NlaServerByText, NlaServerByVector, open_nla_server
from baez_pipeline.tables import Outcome
from baez_pipeline_tests.nla.asking import DAWN, HARBOUR, TEXT, Clock, peak
from baez_pipeline_tests.nla_service import (
    FakeNla,
    always,
    cut,
    hangs,
    in_turn,
    joining,
    pieces,
    splitting,
    turned_away,
    with_answer,
    with_fields,
)

SECRET = "server-secret"
VECTORS = np.eye(4, dtype=np.float32) * 3


@pytest.fixture
def opened(stand, tmp_path):
    """Opens the engine on a service; the answers of one test are kept in one place."""

    def engine(fake, *, by="text", layer=41, secret=None, clock=None, **settings):
        stand.fake = fake
        chosen = NlaServerEngine(
            **{"name": "gemma3-27b L41", "base_url": stand.address, "by": by, "timeout_seconds": 5} | settings
        )
        answers = Answers(f"sqlite:///{tmp_path / 'answers.sqlite'}")
        client = open_nla_server(chosen, answers, secret=secret, wait=(clock or Clock()).wait)
        return NlaServerByText(chosen, client, layer=layer) if by == "text" else NlaServerByVector(chosen, client)

    return engine


@pytest.fixture
def explained(opened):
    return lambda fake, *peaks, **settings: opened(fake, **settings).explain(peaks)


@pytest.fixture
def described(opened):
    def describe(fake, vectors=VECTORS, **settings):
        return opened(fake, by="vector", **settings).explain_vectors(vectors, [0] * len(vectors))

    return describe


def test_by_text_the_server_is_asked_for_the_last_token_of_the_text_up_to_the_peak(explained):
    fake = FakeNla()
    (said,) = explained(fake, peak(), temperature=0.3, max_new_tokens=90)
    assert (said.outcome, said.position_asked, said.norm) == (Outcome.OK, HARBOUR, 50_000.0 + HARBOUR)
    assert (said.mse, said.cosine, said.detail) == (0.011, 0.9945, None)
    assert 'Final token "harbour"' in said.text
    assert fake.bodies == [
        {
            "text": "<bos>The fishing boats left the harbour",
            "positions": [-1],
            "temperature": 0.3,
            "max_new_tokens": 90,
            "stream": False,
        }
    ]


def test_the_engine_says_which_nla_it_is(opened):
    for by in ("text", "vector"):
        engine = opened(FakeNla(), by=by)
        assert (engine.name, engine.identity) == ("nla_server", "gemma3-27b L41")
        assert (engine.temperature, engine.max_new_tokens) == (0.7, 200)


def test_the_position_says_whether_the_server_put_a_bos_before_the_text(explained):
    bare = TEXT.removeprefix("<bos>")
    unmarked = ["", *pieces(bare)]
    asked = [peak(), peak(bare, HARBOUR - 1), peak(tokens=unmarked)]
    found = {
        bos: [said.position_asked for said in explained(FakeNla(bos=bos), *asked, name=bos)]
        for bos in ("always", "unless it begins so", "never")
    }
    assert found == {"always": [7, 6, 6], "unless it begins so": [6, 6, 6], "never": [6, 5, 5]}


def test_of_two_equal_tokens_in_a_row_the_later_one_is_explained(explained):
    (said,) = explained(FakeNla(), peak("The boats went far far away", 4))
    assert said.position_asked == 5


@pytest.mark.parametrize(
    ("tokenise", "detail"),
    [
        (
            splitting(" harbour"),
            "the peak token is ' harbour', the server has 'bour' at the end of the text, position 7",
        ),
        (
            splitting(" fishing", " boats"),
            "the server counts the peak token at position 8, the source at 6: they tokenise the text in two ways",
        ),
        (
            joining(" boats", " left"),
            "the server counts the peak token at position 4, the source at 6: they tokenise the text in two ways",
        ),
    ],
)
def test_a_text_that_the_server_tokenises_in_another_way_is_misaligned(explained, tokenise, detail):
    (said,) = explained(FakeNla(tokenise=tokenise), peak())
    assert (said.outcome, said.text, said.position_asked) == (Outcome.MISALIGNED, "", None)
    assert said.detail == detail


def test_a_text_that_is_too_long_is_cut_from_the_left_and_says_so(explained):
    fake = FakeNla()
    tokens = ["<bos>", *[" harbour"] * 9000, " quay"]
    (said,) = explained(fake, peak(tokens=tokens, position=9001))
    assert fake.bodies[-1]["text"] == " harbour" * 8191 + " quay"
    assert (said.outcome, said.position_asked) == (Outcome.OK, 8192)
    assert said.detail == "the service takes 65,536 characters: the first 810 tokens were left out"


def test_another_layer_stops_the_run_with_both_values(explained):
    with pytest.raises(SidecarError, match=r"gemma3-27b L41 reads layer 20, the experiment reads layer 41"):
        explained(FakeNla(layer=20), peak())


def test_by_vector_each_activation_is_described_in_the_order_given(described):
    fake = FakeNla()
    said = described(fake, np.tile(VECTORS, (5, 1)), temperature=0.0, max_new_tokens=90)
    assert all(explanation.outcome is Outcome.OK for explanation in said)
    texts = [explanation.text for explanation in said]
    assert texts[:4] * 5 == texts
    assert len(set(texts)) == 4
    assert (said[0].mse, said[0].cosine, said[0].position_asked) == (0.011, 0.9945, None)
    assert {"activations": [[3.0, 0.0, 0.0, 0.0]], "temperature": 0.0, "max_new_tokens": 90, "stream": False} in (
        fake.bodies
    )


def test_by_vector_the_activations_are_those_of_the_subject_model(opened):
    tiny = LlamaConfig(hidden_size=4, intermediate_size=8, num_hidden_layers=2, num_attention_heads=1, vocab_size=20)
    subject = SubjectModel(LlamaModel(tiny).eval(), layer=1)
    fake = FakeNla()
    (said,) = FromActivations(subject, opened(fake, by="vector")).explain(
        [Peak(tokens=["a", "b", "c"], token_ids=[5, 12, 3], position=1, seed=0)]
    )
    (vector,) = subject.activations_at([[5, 12]], [1])
    np.testing.assert_allclose(fake.bodies[0]["activations"], [vector], rtol=1e-5)
    assert said.norm == pytest.approx(float(np.linalg.norm(vector)))


def test_an_activation_that_is_not_finite_is_not_sent(described):
    fake = FakeNla()
    said = described(fake, np.array([[math.nan, 0, 0, 0], [1, 0, 0, 0]], "float32"))
    assert [explanation.outcome for explanation in said] == [Outcome.ERROR, Outcome.OK]
    assert fake.requests == 1


def test_vectors_of_another_width_stop_the_run_with_both_widths(described):
    with pytest.raises(SidecarError, match="Vector length 4 != d_model 5376"):
        described(FakeNla(d_model=5376))


@pytest.mark.parametrize("results", [[], None, [{"description": "a"}, {"description": "b"}], ["a"]])
def test_a_wrong_number_of_results_is_an_error_and_is_asked_again_next_time(explained, described, results):
    for ask in (lambda fake: explained(fake, peak()), lambda fake: described(fake, VECTORS[:1])):
        fake = FakeNla(faults=in_turn(with_answer(results=results)))
        assert [explanation.outcome for explanation in ask(fake)] == [Outcome.ERROR]
        assert [explanation.outcome for explanation in ask(fake)] == [Outcome.OK]


def test_an_empty_description_is_a_failure_that_is_asked_again_next_time(explained, described):
    for ask in (lambda fake: explained(fake, peak()), lambda fake: described(fake, VECTORS[:1])):
        fake = FakeNla(faults=in_turn(with_fields(description="")))
        assert [explanation.outcome for explanation in ask(fake)] == [Outcome.EMPTY]
        assert [explanation.outcome for explanation in ask(fake)] == [Outcome.OK]


def test_what_was_answered_once_is_never_asked_again(explained, described):
    fake = FakeNla()
    peaks = [peak(), peak(position=DAWN)]
    first = explained(fake, *peaks), described(fake)
    assert (explained(fake, *peaks), described(fake)) == first
    assert fake.requests == 6


def test_two_nlas_do_not_share_answers_and_two_servers_with_one_nla_do(stand, explained):
    fake = FakeNla()
    explained(fake, peak(), name="gemma3-27b L41")
    explained(fake, peak(), name="gemma3-12b L32")
    assert fake.requests == 2
    explained(fake, peak(), name="gemma3-12b L32", base_url=stand.address.replace("127.0.0.1", "localhost"))
    assert fake.requests == 2


def test_taken_slots_are_waited_for_a_little_longer_each_time(explained):
    clock = Clock()
    fake = FakeNla(faults=in_turn(*[turned_away(429, "All 1 /explain slot(s) in use.")] * 6))
    (said,) = explained(fake, peak(), clock=clock)
    assert said.outcome is Outcome.OK
    for waited, seconds in zip(clock.waits, [1, 2, 4, 8, 16, 16], strict=True):
        assert seconds <= waited <= seconds * (1 + JITTER)


def test_a_wait_that_the_server_names_is_not_cut_short(explained):
    clock = Clock()
    (said,) = explained(FakeNla(faults=in_turn(turned_away(429, retry_after=40))), peak(), clock=clock)
    assert said.outcome is Outcome.OK
    assert 40 <= clock.waits[0] <= 40 * (1 + JITTER)


def test_slots_that_stay_taken_fail_the_row_after_minutes(explained):
    clock = Clock()
    (said,) = explained(FakeNla(faults=always(turned_away(429, "in use"))), peak(), clock=clock)
    assert said.outcome is Outcome.ERROR
    assert "The NLA server still limits us" in said.detail
    assert 300 < sum(clock.waits) < 900


@pytest.mark.parametrize("fault", [turned_away(503, "Source model not loaded"), turned_away(400), cut()])
def test_a_failed_call_fails_its_row_alone_and_names_no_secret(explained, described, fault):
    for ask in (lambda fake: explained(fake, peak(), secret=SECRET), lambda fake: described(fake, secret=SECRET)):
        fake = FakeNla(faults=always(fault))
        for said in ask(fake):
            assert (said.outcome, said.text) == (Outcome.ERROR, "")
            assert SECRET not in said.detail
        fake.faults = in_turn()
        assert all(said.outcome is Outcome.OK for said in ask(fake))


def test_a_server_that_hangs_is_a_time_out(explained):
    (said,) = explained(FakeNla(faults=always(hangs())), peak(), timeout_seconds=0.05)
    assert said.outcome is Outcome.TIMED_OUT


def test_the_secret_is_sent_in_the_servers_own_header(explained, described):
    fake = FakeNla(secret=SECRET)
    assert [said.outcome for said in explained(fake, peak(), secret=SECRET)] == [Outcome.OK]
    assert all(said.outcome is Outcome.OK for said in described(fake, secret=SECRET))
    assert {headers["x-secret-key"] for headers in fake.headers} == {SECRET}


@pytest.mark.parametrize("secret", [None, "of-yesterday"])
def test_a_server_that_does_not_accept_the_secret_stops_the_run_without_naming_it(explained, described, secret):
    for ask in (explained, described):
        with pytest.raises(AccessError, match="does not accept") as refused:
            ask(FakeNla(secret=SECRET), *([peak()] if ask is explained else []), secret=secret)
        assert "of-yesterday" not in str(refused.value)


def test_a_server_without_the_endpoint_stops_the_run(explained):
    with pytest.raises(AccessError, match=r"no /explain: check nla\.engine\.base_url"):
        explained(FakeNla(faults=always(turned_away(404, "Not Found"))), peak())


def test_a_server_that_is_not_there_stops_the_run(explained):
    with pytest.raises(ServiceError, match="cannot be reached"):
        explained(FakeNla(), peak(), base_url="http://127.0.0.1:9")
