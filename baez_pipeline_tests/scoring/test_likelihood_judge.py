"""The likelihood judge, with the real model."""

import asyncio
import math

import pytest
import torch

from baez_pipeline.errors import SourceError
from baez_pipeline.llm.delphi_client import FailedAnswerError
from baez_pipeline.llm.delphi_import import Client, DetectionScorer, Response
from baez_pipeline.llm.smollm2 import load_smollm2
from baez_pipeline.scoring import label_likelihood
from baez_pipeline.scoring.judge_threshold import Threshold, thresholds
from baez_pipeline.scoring.likelihood_judge import LikelihoodJudge, beginning, gains
from baez_pipeline.tables import Outcome
from baez_pipeline_tests.scoring.planted_rows import MUSIC, OTHERS

SHORT = " The band recorded a new song"


def log_probability(text: str, continuation: str) -> float:
    """log p(continuation | text) per token, by one plain forward pass."""
    model, tokenizer = load_smollm2()
    start, end = ([0, *tokenizer.encode(text)], tokenizer.encode(continuation))
    with torch.inference_mode():
        log_probabilities = model(torch.tensor([start + end])).logits[0].log_softmax(-1)
    return sum(float(log_probabilities[len(start) - 1 + i, token]) for i, token in enumerate(end)) / len(end)


def test_a_gain_is_the_labels_log_probability_after_the_text_less_that_without_it():
    found = gains("detection", "music", [SHORT, MUSIC[1] + " and again, much longer than the other text"])[0]
    expected = log_probability(SHORT.strip() + "\n\nThe text above mentions", " music") - log_probability(
        "The text above mentions", " music"
    )
    assert found == pytest.approx(expected, abs=1e-4)


def test_fuzz_asks_about_the_marked_words():
    shown = " The<< band>> recorded a<< new song>>⏎by a ‹b›<< band>>"
    assert beginning("fuzz", shown) == (
        "The band recorded a new song\nby a <b> band",
        '\n\nIn the text above, "band, new song" is about',
    )


def test_a_marked_piece_of_a_word_stands_for_the_word():
    shown = " A photo<<graph>>er in 1<<9>>4<<4>>, said<<,>> and<< she>>"
    assert beginning("fuzz", shown).lead == '\n\nIn the text above, "photographer, 1944, ,, she" is about'


def test_gains_depend_on_no_order_and_on_nothing_that_came_before():
    first = gains("detection", "music", [SHORT, OTHERS[0], SHORT])
    gains("detection", "another label", MUSIC[:1])
    again = gains("detection", "music", [OTHERS[0], SHORT, SHORT])
    assert (first[1], {first[0], first[2]}) == (again[0], {again[1], again[2]})


def test_more_texts_than_a_pass_holds_are_judged_in_several(monkeypatch):
    together = gains("detection", "music", MUSIC)
    monkeypatch.setattr(label_likelihood, "TOKENS_PER_PASS", 40)
    assert gains("detection", "music", MUSIC) == pytest.approx(together, abs=1e-4)


def test_a_right_label_gains_more_on_its_texts_than_a_wrong_one():
    def margin(label: str) -> float:
        found = gains("detection", label, MUSIC + OTHERS)
        return sum(found[:5]) / 5 - sum(found[5:]) / 5

    assert margin("music and songs") > margin("rivers and lakes") + 1


def test_for_fuzz_the_marks_decide():
    text = " The band recorded a song about the river"
    on_music, on_river = text.replace(" song", "<< song>>"), text.replace(" river", "<< river>>")
    music, river = gains("fuzz", "music", [on_music, on_river]), gains("fuzz", "rivers", [on_music, on_river])
    assert music[0] > music[1]
    assert river[0] < river[1]


def test_texts_are_read_again_when_they_fell_out_of_memory_and_the_gains_are_the_same(monkeypatch):
    kept = gains("detection", "music", MUSIC)
    monkeypatch.setattr(label_likelihood, "TOKENS_KEPT", 0)
    gains("detection", "music", OTHERS[:1])
    assert tuple(sorted(text.strip() for text in MUSIC)) not in label_likelihood._read_texts
    assert gains("detection", "music", MUSIC) == kept


def ask(judge: LikelihoodJudge, label: str, examples: list[str]) -> Response:
    prompt = DetectionScorer(None).prompt("\n".join(f"Example {i}: {each}" for i, each in enumerate(examples)), label)
    return asyncio.run(judge.generate(prompt, temperature=0.0, logprobs=True, top_logprobs=5))


def test_answers_and_probabilities_follow_from_gain_threshold_and_scale():
    judge = LikelihoodJudge("detection")
    response = ask(judge, "music", [SHORT, OTHERS[0]])
    found = gains("detection", "music", [SHORT, OTHERS[0]])
    threshold = thresholds()["detection"]
    assert isinstance(judge, Client)
    assert response.text == f"[{','.join(str(int(gain > threshold.threshold)) for gain in found)}]"
    probabilities = DetectionScorer(judge, n_examples_shown=2)._parse_logprobs(response.logprobs)
    expected = [1 / (1 + math.exp(-(gain - threshold.threshold) / threshold.scale)) for gain in found]
    assert probabilities == pytest.approx(expected, abs=1e-9)


def test_a_text_beyond_the_context_is_a_failed_answer():
    with pytest.raises(FailedAnswerError, match="8,192") as failure:
        gains("detection", "music", ["word " * 9000])
    assert failure.value.outcome is Outcome.ERROR


def test_the_identity_names_model_question_and_threshold():
    identity = LikelihoodJudge("fuzz").identity
    for part in ("smollm2-135m-instruct", "Q4_1", "fuzz", f"{thresholds()['fuzz'].threshold:+.4f}"):
        assert part in identity


def test_log_odds_are_zero_at_the_threshold():
    threshold = Threshold(threshold=0.5, scale=0.25)
    assert [threshold.log_odds(gain) for gain in (0.5, 0.75, 0.0)] == [0.0, 1.0, -2.0]


def test_missing_thresholds_are_one_sentence(tmp_path):
    with pytest.raises(SourceError, match=r"thresholds cannot be read from .*judge_calibration"):
        thresholds(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"questions": {"detection": {"threshold": 1}}}')
    with pytest.raises(SourceError, match=r"scale"):
        thresholds(tmp_path / "bad.json")
