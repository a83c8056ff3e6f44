"""The engine on a real HTTP server that speaks as Neuronpedia's public NLA service does."""

import math

import polars as pl
import pytest

from baez_pipeline.errors import AccessError, ServiceError, SidecarError
from baez_pipeline.experiment import NeuronpediaEngine, Nla
from baez_pipeline.nla import explain_features, last_paragraph, paragraphs
from baez_pipeline.tables import ExampleSplits, Outcome
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


def positions_asked(fake):
    return [body["positions"] for body in fake.bodies]


def test_a_peak_is_explained_from_the_text_up_to_it_and_the_scores_are_kept(explained):
    fake = FakeNla()
    (said,) = explained(fake, peak(), temperature=0.3)
    assert (said.outcome, said.position_asked, said.norm) == (Outcome.OK, HARBOUR, 50_000.0 + HARBOUR)
    assert (said.mse, said.cosine, said.detail) == (0.011, 0.9945, None)
    assert "harbour" in said.text
    assert len(paragraphs(said.text)) == 3
    assert last_paragraph(said.text)[0].startswith('Final token "harbour"')
    assert fake.bodies == [
        {
            "modelId": "gemma-3-27b-it",
            "nlaSourceId": "kitft-l41",
            "text": "<bos>The fishing boats left the harbour",
            "positions": [HARBOUR],
            "temperature": 0.3,
            "stream": False,
        }
    ]


def test_the_engine_says_which_nla_it_is(neuronpedia_engine):
    verbalizer = neuronpedia_engine(FakeNla(), temperature=0.0)
    assert verbalizer.identity.startswith("kitft-l41 of gemma-3-27b-it at ")
    assert (verbalizer.name, verbalizer.temperature, verbalizer.max_new_tokens) == ("neuronpedia", 0.0, None)


def test_a_bos_that_the_service_adds_moves_the_position_by_one_and_is_learned_once(explained):
    fake = FakeNla(bos="always")
    said = explained(fake, peak(position=6), peak(position=8), peak(position=11))
    assert [explanation.position_asked for explanation in said] == [7, 9, 12]
    assert positions_asked(fake) == [[6], [7], [9], [12]]


def test_texts_with_and_without_a_bos_are_learned_apart(explained):
    fake = FakeNla(bos="unless it begins so")
    bare = TEXT.removeprefix("<bos>")
    said = explained(fake, peak(), peak(bare, 5), peak(position=8), peak(bare, 7), peak(position=11), peak(bare, 10))
    assert [explanation.position_asked for explanation in said] == [6, 6, 8, 8, 11, 11]
    assert all(explanation.outcome is Outcome.OK for explanation in said)
    assert fake.requests == 7


def test_a_bos_that_the_source_counts_and_the_service_does_not_moves_the_position_back(explained):
    fake = FakeNla(bos="never")
    tokens = ["", *pieces(TEXT.removeprefix("<bos>"))]
    said = explained(fake, peak(tokens=tokens), peak(tokens=tokens, position=8), peak(position=0))
    assert [explanation.position_asked for explanation in said] == [5, 7, 0]
    assert positions_asked(fake) == [[6], [5], [7], [0]]


def test_of_two_equal_tokens_in_a_row_the_later_one_is_explained(explained):
    text = "The boats went far far away"
    fake = FakeNla()
    (said,) = explained(fake, peak(text, 4))
    assert said.position_asked == 5
    assert positions_asked(fake) == [[4], [5]]


def test_a_token_that_the_service_splits_is_misaligned_with_both_tokens_named(explained):
    fake = FakeNla(tokenise=splitting(" harbour"))
    (said,) = explained(fake, peak())
    assert (said.outcome, said.text, said.position_asked) == (Outcome.MISALIGNED, "", None)
    assert said.detail == (
        "the peak token is ' harbour', the service has ' har' at position 6 and 'bour' at position 7"
    )


def test_a_text_that_the_service_tokenises_much_longer_is_given_up_after_one_request(explained):
    fake = FakeNla(tokenise=splitting(" fishing", " boats"))
    (said,) = explained(fake, peak())
    assert said.outcome is Outcome.MISALIGNED
    assert said.detail == "the peak token is ' harbour', the service has ' left' at position 6"
    assert positions_asked(fake) == [[HARBOUR]]


def test_a_text_that_the_service_tokenises_shorter_is_misaligned(explained):
    fake = FakeNla(tokenise=joining(" boats", " left"))
    (said,) = explained(fake, peak(TEXT.removeprefix("<bos>"), 5))
    assert said.outcome is Outcome.MISALIGNED
    assert said.detail.endswith("the service has none at position 5")


def test_a_last_token_that_is_another_one_is_given_up_after_one_request(explained):
    fake = FakeNla(tokenise=lambda text: [*pieces(text)[:-1], " harbours"])
    (said,) = explained(fake, peak())
    assert said.detail == "the peak token is ' harbour', the service has ' harbours' at position 6"
    assert positions_asked(fake) == [[HARBOUR]]


def test_a_service_that_does_not_say_how_long_the_text_is_is_tried_one_further_on(explained):
    fake = FakeNla(bos="always", faults=always(with_answer(prompt_length=1)))
    said = explained(fake, peak(), peak(position=DAWN))
    assert [explanation.position_asked for explanation in said] == [HARBOUR + 1, DAWN + 1]
    assert positions_asked(fake) == [[6], [7], [9]]


def test_a_misaligned_row_stops_no_other_and_is_a_row_of_the_table(neuronpedia_engine):
    tokens = pieces(TEXT)
    row = {"feature": "41-x_000001", "role": "train", "tokens": tokens, "activations": [1.0] * len(tokens),
           "peak_activation": 9.0, "window_start": 0, "window_end": len(tokens)}  # fmt: skip
    rows = [{**row, "example": f"e{rank}", "rank": rank, "peak_position": p} for rank, p in [(1, HARBOUR), (2, DAWN)]]
    splits = pl.DataFrame(rows, schema=ExampleSplits.create_empty().schema)
    settings = Nla(layer=41, engine=NeuronpediaEngine(model="gemma-3-27b-it", nla_source="kitft-l41"))
    table = explain_features(splits, neuronpedia_engine(FakeNla(tokenise=splitting(" dawn"))), settings, seed=0)
    assert table["outcome"].to_list() == ["ok", "misaligned"]
    assert table["position_asked"].to_list() == [HARBOUR, None]
    assert table["explanation"].is_null().to_list() == [False, True]
    assert table["token"].to_list() == [" harbour", " dawn"]


def test_a_text_that_is_too_long_is_cut_from_the_left_and_says_so(explained):
    fake = FakeNla()
    tokens = ["<bos>", *[" harbour"] * 3000, " quay"]
    (said,) = explained(fake, peak(tokens=tokens, position=3001))
    assert said.outcome is Outcome.OK
    assert fake.bodies[-1]["text"] == " harbour" * 2047 + " quay"
    assert said.position_asked == 2048, "2047 words before it, and the BOS that the service adds"
    assert said.detail == "the service takes 16,384 characters: the first 954 tokens were left out"


def test_another_layer_stops_the_run_with_both_values(explained):
    with pytest.raises(SidecarError, match=r"reads layer 31, the experiment reads layer 41 \(nla.layer\)"):
        explained(FakeNla(layer=31), peak())


def test_an_answer_that_says_no_layer_fails_its_row_and_is_not_another_layer(explained):
    fake = FakeNla(faults=in_turn(with_answer(layer_index=0), with_answer(layer_index=None)))
    said = explained(fake, peak(), peak(position=8), peak(position=11))
    assert [explanation.outcome for explanation in said] == [Outcome.ERROR, Outcome.ERROR, Outcome.OK]
    assert said[0].detail == "the service does not say which layer it read"


def test_a_position_that_the_service_left_out_is_an_error_and_is_asked_again_next_time(explained):
    fake = FakeNla(faults=in_turn(with_answer(results=[]), with_fields(position=3)))
    said = explained(fake, peak(), peak(position=8))
    assert [explanation.outcome for explanation in said] == [Outcome.ERROR, Outcome.ERROR]
    assert said[0].detail == "the service left out position 6"
    again = explained(fake, peak(), peak(position=8))
    assert [explanation.outcome for explanation in again] == [Outcome.OK, Outcome.OK]


def test_an_empty_description_is_a_failure_that_is_asked_again_next_time(explained):
    fake = FakeNla(faults=in_turn(with_fields(description="<explanation> </explanation>")))
    (said,) = explained(fake, peak())
    assert (said.outcome, said.text) == (Outcome.EMPTY, "")
    (again,) = explained(fake, peak())
    assert again.outcome is Outcome.OK


def test_a_tag_that_was_not_closed_is_removed_and_said(explained):
    fake = FakeNla(faults=in_turn(with_fields(description="<explanation>\nBoats.\n\nFinal token.")))
    (said,) = explained(fake, peak())
    assert (said.text, said.detail) == ("Boats.\n\nFinal token.", "the explanation tag was not closed")


def test_scores_that_are_no_numbers_are_none(explained):
    fake = FakeNla(faults=in_turn(with_fields(mse=math.nan, cosine_similarity=-math.inf, l2_norm=math.inf)))
    (said,) = explained(fake, peak())
    assert (said.outcome, said.mse, said.cosine, said.norm) == (Outcome.OK, None, None, None)


def test_what_was_answered_once_is_never_asked_again(explained):
    fake = FakeNla(bos="always")
    peaks = [peak(), peak(position=8), peak(TEXT.removeprefix("<bos>"), 5)]
    first = explained(fake, *peaks)
    asked = fake.requests
    assert explained(fake, *peaks) == first
    assert fake.requests == asked
    explained(fake, peak(), temperature=0.71)
    assert fake.requests > asked, "another temperature is another question"


def test_what_was_explained_before_a_run_broke_off_is_kept(explained):
    fake = FakeNla(faults=in_turn(None, with_answer(layer_index=31)))
    with pytest.raises(SidecarError):
        explained(fake, peak(), peak(position=8))
    fake.bodies.clear()
    explained(fake, peak(), peak(position=11))
    assert positions_asked(fake) == [[11]]


def test_a_refusal_is_waited_for_and_asked_again(explained):
    clock = Clock()
    fake = FakeNla(faults=in_turn(turned_away(429, "NLA server error: 429"), turned_away(429, retry_after=7)))
    (said,) = explained(fake, peak(), clock=clock)
    assert said.outcome is Outcome.OK
    assert clock.waits == [5.0, 7.0]


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (turned_away(500, "NLA server error: 500"), Outcome.ERROR),
        (turned_away(400, "text must be 16384 characters or less"), Outcome.ERROR),
        (cut(), Outcome.ERROR),
    ],
)
def test_a_failed_call_fails_its_row_alone_and_names_no_key(explained, fault, outcome):
    fake = FakeNla(faults=always(fault))
    (said,) = explained(fake, peak())
    assert (said.outcome, said.text) == (outcome, "")
    assert said.detail
    assert "np-secret" not in said.detail
    fake.faults = in_turn()
    (again,) = explained(fake, peak())
    assert again.outcome is Outcome.OK


def test_a_service_that_hangs_is_a_time_out(explained):
    (said,) = explained(FakeNla(faults=always(hangs())), peak(), timeout_seconds=0.05)
    assert said.outcome is Outcome.TIMED_OUT


def test_an_nla_that_the_service_does_not_know_stops_the_run(explained):
    with pytest.raises(AccessError, match=r"nla\.engine\.model"):
        explained(FakeNla(faults=always(turned_away(404, "Not found"))), peak())


def test_a_service_that_is_not_there_stops_the_run(explained):
    with pytest.raises(ServiceError, match="cannot be reached"):
        explained(FakeNla(), peak(), base_url="http://127.0.0.1:9/api")
