"""The embedded judge, with the real model and the shipped adapter."""

import asyncio
import math

import pytest
import torch

from baez_pipeline.embedded.judge_model import load_judge, token_log_odds
from baez_pipeline.errors import SourceError
from baez_pipeline.llm.delphi_client import FailedAnswerError
from baez_pipeline.llm.delphi_import import Client, DetectionScorer, Response
from baez_pipeline.llm.smollm2 import load_smollm2
from baez_pipeline.scoring import judge_reading
from baez_pipeline.scoring.judge_reading import log_odds_by_token
from baez_pipeline.scoring.judge_threshold import Threshold, thresholds
from baez_pipeline.scoring.likelihood_judge import LikelihoodJudge, log_likelihood_ratios
from baez_pipeline.tables import Outcome
from baez_pipeline_tests.scoring.planted_rows import MUSIC, OTHERS

SHORT = " The band recorded a new song"
HOWEVER = [
    " The plan was cheap. It was not, however, popular with voters",
    " She left the town in May. However, she came back soon",
    " No ship was lost; however, three were damaged in the storm",
]
WITHOUT = [
    " The plan was cheap. It was not, of course, popular with voters",
    " She left the town in May. Later, she came back soon",
    " No ship was lost; in truth, three were damaged in the storm",
]


def test_detection_adds_up_the_odds_of_all_tokens_and_fuzz_averages_those_of_the_marked_ones():
    log_odds, spans = log_odds_by_token(SHORT, "music")
    odds = log_odds.exp()
    assert [SHORT[start:end] for start, end in spans] == [" The", " band", " recorded", " a", " new", " song"]
    (detection,) = log_likelihood_ratios("detection", "music", [SHORT])
    (fuzz,) = log_likelihood_ratios("fuzz", "music", [" The<< band>> recorded a<< new song>>"])
    assert detection == pytest.approx(math.log(float(odds.sum())), abs=1e-5)
    assert fuzz == pytest.approx(math.log(float(odds[[1, 4, 5]].mean())), abs=1e-5)


def test_a_marked_piece_of_a_token_marks_the_token():
    (piece,) = log_likelihood_ratios("fuzz", "music", [" The ba<<nd>> recorded a new song"])
    (whole,) = log_likelihood_ratios("fuzz", "music", [" The<< band>> recorded a new song"])
    assert piece == whole


def test_a_text_is_read_as_it_was_written():
    shown, written = " a ‹b› line⏎and another", " a <b> line\nand another"
    log_odds, _ = log_odds_by_token(written, "markup")
    assert log_likelihood_ratios("detection", "markup", [shown]) == [float(log_odds.logsumexp(0))]


def test_answers_depend_on_no_order_and_on_nothing_that_came_before():
    first = log_likelihood_ratios("detection", "music", [SHORT, OTHERS[0], SHORT])
    judge_reading._read_text.cache_clear()
    judge_reading._read_label.cache_clear()
    log_likelihood_ratios("detection", "another label", MUSIC[:1])
    again = log_likelihood_ratios("detection", "music", [OTHERS[0], SHORT])
    assert again == first[1:]


def test_padding_changes_nothing():
    judge = judge_reading._judge()
    ids = torch.tensor([[0, 504, 3105, 5523, 253]])
    padded = torch.cat([ids, torch.zeros(1, 3, dtype=torch.long)], dim=1)
    lengths = torch.tensor([4])
    with torch.inference_mode():
        alone = judge.token_vectors(judge.states(ids), lengths)
        with_padding = judge.token_vectors(judge.states(padded), lengths)[:, :4]
    torch.testing.assert_close(alone, with_padding, atol=1e-4, rtol=1e-4)


def test_a_text_is_read_once_for_all_labels_and_for_both_questions():
    judge_reading._read_text.cache_clear()
    for label in ("music", "rivers"):
        log_likelihood_ratios("detection", label, [SHORT])
        log_likelihood_ratios("fuzz", label, [SHORT.replace(" song", "<< song>>")])
    assert judge_reading._read_text.cache_info().misses == 1


def test_a_label_of_several_vectors_is_as_likely_as_their_odds_together():
    tokens = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    vectors, biases = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0.5, -0.5])
    expected = [math.log(math.exp(1.5) + math.exp(-0.5)), math.log(math.exp(0.5) + math.exp(1.5))]
    assert token_log_odds(tokens, vectors, biases).tolist() == pytest.approx(expected)


def test_a_right_label_is_likelier_on_its_texts_than_a_wrong_one():
    def margin(label: str) -> float:
        found = log_likelihood_ratios("detection", label, MUSIC + OTHERS)
        return sum(found[:5]) / 5 - sum(found[5:]) / 5

    assert margin("music and songs") > margin("rivers and lakes") + 1


def test_a_word_is_found_in_texts():
    found = log_likelihood_ratios("detection", 'the word "however"', HOWEVER + WITHOUT)
    assert min(found[:3]) > max(found[3:])


def test_for_fuzz_the_marks_decide():
    text = " The band recorded a song about the river"
    on_music, on_river = text.replace(" song", "<< song>>"), text.replace(" river", "<< river>>")
    music = log_likelihood_ratios("fuzz", "music", [on_music, on_river])
    river = log_likelihood_ratios("fuzz", "rivers", [on_music, on_river])
    assert music[0] > music[1]
    assert river[0] < river[1]


def test_smollm2_stays_as_it_was():
    model, tokenizer = load_smollm2()
    ids = torch.tensor([tokenizer.encode("The capital of France is")])
    with torch.inference_mode():
        before = model(ids).logits
        load_judge(model)
        assert torch.equal(model(ids).logits, before)
    assert model.config.num_hidden_layers == len(model.model.layers) == 30


def ask(judge: LikelihoodJudge, label: str, examples: list[str]) -> Response:
    prompt = DetectionScorer(None).prompt("\n".join(f"Example {i}: {each}" for i, each in enumerate(examples)), label)
    return asyncio.run(judge.generate(prompt, temperature=0.0, logprobs=True, top_logprobs=5))


def test_answers_and_probabilities_follow_from_ratio_threshold_and_scale():
    judge = LikelihoodJudge("detection")
    response = ask(judge, "music", [SHORT, OTHERS[0]])
    found = log_likelihood_ratios("detection", "music", [SHORT, OTHERS[0]])
    threshold = thresholds()["detection"]
    assert isinstance(judge, Client)
    assert response.text == f"[{','.join(str(int(ratio > threshold.threshold)) for ratio in found)}]"
    probabilities = DetectionScorer(judge, n_examples_shown=2)._parse_logprobs(response.logprobs)
    expected = [1 / (1 + math.exp(-(ratio - threshold.threshold) / threshold.scale)) for ratio in found]
    assert probabilities == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("label", "shown", "said"),
    [("music", "word " * 9000, "8,192"), ("word " * 9000, SHORT, "8,192"), ("music", "", "text holds no token")],
)
def test_what_the_judge_cannot_read_is_a_failed_answer(label, shown, said):
    with pytest.raises(FailedAnswerError, match=said) as failure:
        log_likelihood_ratios("detection", label, [shown])
    assert failure.value.outcome is Outcome.ERROR


def test_an_empty_label_is_judged_like_any_other():
    assert all(math.isfinite(ratio) for ratio in log_likelihood_ratios("detection", "", MUSIC))


def test_fuzz_without_a_mark_is_a_failed_answer():
    with pytest.raises(FailedAnswerError, match="marked"):
        log_likelihood_ratios("fuzz", "music", [SHORT])


def test_the_identity_names_model_question_and_threshold():
    identity = LikelihoodJudge("fuzz").identity
    for part in ("smollm2-135m-instruct", "Q4_1", "fuzz", f"{thresholds()['fuzz'].threshold:+.4f}"):
        assert part in identity


def test_log_odds_are_zero_at_the_threshold():
    threshold = Threshold(threshold=0.5, scale=0.25)
    assert [threshold.log_odds(ratio) for ratio in (0.5, 0.75, 0.0)] == [0.0, 1.0, -2.0]


def test_missing_thresholds_are_one_sentence(tmp_path):
    with pytest.raises(SourceError, match=r"thresholds cannot be read from .*judge_calibration"):
        thresholds(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"questions": {"detection": {"threshold": 1}}}')
    with pytest.raises(SourceError, match=r"scale"):
        thresholds(tmp_path / "bad.json")


def test_a_missing_or_damaged_adapter_is_one_sentence(tmp_path):
    model, _ = load_smollm2()
    with pytest.raises(SourceError, match=r"adapter cannot be read from .*judge_training"):
        load_judge(model, tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(SourceError, match=r"adapter cannot be read from"):
        load_judge(model, tmp_path / "bad.safetensors")
