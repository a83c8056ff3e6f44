import random
import re
from dataclasses import replace

import polars as pl
import pytest

from baez_pipeline.experiment import Controls, Sample, Split
from baez_pipeline.features import LocalSae, draw_roster, split_examples
from baez_pipeline.features.contexts import Contexts
from baez_pipeline.features.examples import SPECIAL_TOKENS
from baez_pipeline.features.neuronpedia_record import record_of
from baez_pipeline.features.planted import PlantedFeature, planted_features
from baez_pipeline.features.planted_rules import DELIMITERS
from baez_pipeline.features.planting import plant
from baez_pipeline.features.roster import Roster
from baez_pipeline.tables import PLANTED_KINDS, ActivationRow
from baez_pipeline_tests.neuronpedia_server import MODEL, SOURCE

NEXT_TOKEN = r"(?i)\w+(?=\W+than\b)"


def contexts_with(*texts, names=None):
    """Contexts of token lists, or of texts of which each word with the blank before it is a token."""
    rows = [
        {
            "dataIndex": names[number] if names else f"context-{number:04d}",
            "tokens": text if isinstance(text, list) else re.findall(r" ?[^ ]+", text),
            "maxValueTokenIndex": 0,
        }
        for number, text in enumerate(texts)
    ]
    return Contexts(pl.DataFrame(rows, schema=ActivationRow.create_empty().schema))


def planted(rule, contexts, key="planted-keyword_000001"):
    return PlantedFeature(key=key, right_label="a label", rule=rule, contexts=contexts, model_id="a model", seed=0)


def active_tokens(rule, tokens):
    """Positions at which a rule is active in the only context there is."""
    rows = planted(rule, contexts_with(tokens)).record()["activations"][0]
    return [place for place, value in enumerate(rows[0]["values"]) if value > 0]


@pytest.mark.parametrize(
    ("rule", "tokens", "expected"),
    [
        (r"(?i)\briver\b", [" The", " Riv", "er", " of", " riv", "ers", " river", "."], [2, 6]),
        (r"(?i)\briver\b", ["▁A", "▁ri", "ver", "▁ends"], [2]),
        (r"(?i)\bsuch\s+as\b", [" Such", "\n", " as", " such", ",", " as"], [2]),
        (r"(?i)\bsuch\s+as\b", [" such", "<bos>", " as", " such", " as"], [4]),
        (NEXT_TOKEN, [" than", " mo", "re", " than", " better", ",", " than", " thanks"], [2, 4]),
        (DELIMITERS["opening parentheses"], [" a", " (", "b", ")", "c(", "d"], [1, 4]),
        (DELIMITERS["opening quotation marks"], [' "', "so", '",', ' he said "', 'no".', " “", "yes", "”"], [0, 3, 5]),
        (r"\[|<", ["<|endoftext|>", " [", "1"], [1]),
    ],
)
def test_a_rule_is_active_on_the_token_that_holds_the_last_character_of_a_match(rule, tokens, expected):
    assert active_tokens(rule, tokens) == expected


def test_strengths_differ_between_contexts_and_are_all_positive():
    contexts = contexts_with(*(f"the river number {number} and the river again" for number in range(60)))
    rows = planted(r"\briver\b", contexts).record()["activations"][0].to_list()
    peaks = [row["maxValue"] for row in rows]
    assert peaks == sorted(peaks, reverse=True)
    assert len(set(peaks)) == 60
    # All tenths of the range are there, for curves by decile.
    assert {int(10 * peak / 10.001) for peak in peaks} >= set(range(1, 10))
    assert all(row["values"][1] == row["values"][6] == row["maxValue"] for row in rows)
    assert all(row["maxValueTokenIndex"] == 1 for row in rows)


def test_a_topic_is_strongest_where_its_words_stand_close_together():
    far = " word" * 40
    contexts = contexts_with(f"troops and troops{far} army and siege and troops")
    (row,) = planted(r"\b(?:troops|army|siege)\b", contexts).record()["activations"][0].to_list()
    strengths = [value for value in row["values"] if value > 0]
    assert [round(value / strengths[0], 3) for value in strengths] == [1, 1, 1, 2, 3]
    assert row["maxValueTokenIndex"] == len(row["values"]) - 1


def test_silence_is_answered_for_every_context_and_not_guessed_for_others():
    contexts = contexts_with("the river", "the lake", "a River.", "rivers")
    feature = planted(r"(?i)\briver\b", contexts)
    assert [feature.is_silent(f"context-000{number}") for number in range(5)] == [False, True, False, True, None]


def test_a_name_that_stands_for_two_texts_is_silent_only_if_both_are():
    contexts = contexts_with("the lake of this document", "the river", "a lake", names=["packed", "packed", "other"])
    feature = planted(r"\briver\b", contexts)
    assert (feature.is_silent("packed"), feature.is_silent("other")) == (False, True)
    rows = feature.record()["activations"][0].to_list()
    assert [("".join(row["tokens"]), row["maxValue"] > 0) for row in rows] == [("the river", True), ("a lake", False)]


def test_a_record_holds_active_and_silent_contexts_with_the_silent_ones_all_zero():
    texts = [f"text {number} of the {'river' if number % 2 else 'lake'}" for number in range(400)]
    record = planted(r"\briver\b", contexts_with(*texts)).record()
    rows = record["activations"][0].to_list()
    active = [row for row in rows if "river" in "".join(row["tokens"])]
    assert (len(active), len(rows)) == (100, 120)
    assert all(row["maxValue"] > 0 for row in active)
    assert all(not any(row["values"]) for row in rows if row not in active)
    assert record.select("feature", "modelId", "layer", "index", "sourceSetName").row(0) == (
        "planted-keyword_000001",
        "a model",
        "planted-keyword",
        "1",
        "planted",
    )
    assert record["frac_nonzero"].item() == pytest.approx(200 / (400 * 5))


@pytest.fixture(scope="module")
def source():
    return LocalSae.open()


@pytest.fixture(scope="module")
def drawn(source):
    return draw_roster(source, Sample(features=2, donors=16), Controls(), Split(), seed=20261122)


@pytest.fixture(scope="module")
def features(source, drawn):
    return planted_features(source, Roster.of(drawn), seed=20261122)


def shown(row):
    tokens = row["tokens"][row["window_start"] : row["window_end"]]
    return "".join(token for token in tokens if token not in SPECIAL_TOKENS)


def test_the_embedded_texts_carry_every_kind(drawn):
    kept = drawn.filter(pool="planted", outcome="kept")
    assert set(kept["planted"]) == set(PLANTED_KINDS)
    assert kept["right_label"].n_unique() == kept.height >= 10
    assert kept["n_examples"].min() >= 15


def test_a_planted_feature_is_split_like_a_real_one_and_no_negative_matches_its_rule(source, drawn, features):
    donors = dict(drawn.filter(pool="planted", outcome="kept").select("feature", "donors").iter_rows())
    for key, feature in features.items():
        splits = split_examples(
            feature.record(), donors[key], source, Split(), is_silent=feature.is_silent, seed=20261122
        )
        assert splits["role"].value_counts().sort("role").rows() == [("train", 5), ("test", 10), ("negative", 10)]
        positives, negatives = splits.filter(pl.col("role") != "negative"), splits.filter(role="negative")
        assert all(re.search(feature.rule, shown(row)) for row in positives.iter_rows(named=True)), key
        for row in negatives.iter_rows(named=True):
            assert not re.search(feature.rule, "".join(row["tokens"][1:])), (key, row["example"])
        assert negatives["silent"].all()
        by_role = dict(splits.filter(pl.col("role") != "negative").group_by("role").agg("document").iter_rows())
        assert not set(by_role["train"]) & set(by_role["test"])


def test_no_two_planted_features_share_a_word_or_most_of_their_contexts(features):
    n_contexts = len(next(iter(features.values())).contexts.variants)
    words = [set(re.findall(r'"(.*?)"', feature.right_label)) for feature in features.values()]
    assert sum(map(len, words)) == len(set().union(*words))
    for key, one in features.items():
        for other_key, other in features.items():
            together = len(one.active.keys() & other.active.keys())
            counts = len(one.active), len(other.active)
            by_chance = counts[0] * counts[1] / n_contexts
            assert key == other_key or together <= by_chance + min(counts) / 2


def made_up_texts():
    """Texts of 100 content words and 10 function words in no order; a word is in a tenth of them or a fifth."""
    rng = random.Random(0)
    letters = "bcdfghjklmnprstvwz"
    content = sorted({f"{a}a{b}o{c}y" for a, b, c in (rng.sample(letters, 3) for _ in range(100))})
    function = ["than", "until", "because", "although", "whether", "between", "without", "against", "during", "since"]
    return [" ".join([*rng.sample(content, 8), *rng.sample(function, 2), *rng.sample(content, 2)]) for _ in range(200)]


def plant_in(contexts, per_kind, seed=1):
    return plant(contexts, per_kind, sample=Sample(), split=Split(), model_id="a model", seed=seed)


def test_the_same_texts_in_another_order_give_the_same_features_and_records():
    texts = made_up_texts()
    names = [f"context-{number:04d}" for number in range(len(texts))]
    one = plant_in(contexts_with(*texts, names=names), 2)
    two = plant_in(contexts_with(*reversed(texts), names=names[::-1]), 2)
    kept = [draw for draw in one if draw.feature]
    assert {draw.kind for draw in kept} >= {"keyword", "next_token", "mixture"}
    assert [(draw.key, draw.detail) for draw in one] == [(draw.key, draw.detail) for draw in two]
    for draw, other in zip(one, two, strict=True):
        assert draw.feature is other.feature is None or draw.feature.record().equals(other.feature.record())


def test_the_seed_decides_what_is_planted_and_how_strongly():
    contexts = contexts_with(*made_up_texts())
    rules = [{draw.feature.rule for draw in plant_in(contexts, 2, seed) if draw.feature} for seed in (1, 2)]
    assert rules[0] != rules[1]
    one, two = (replace(planted(NEXT_TOKEN, contexts), seed=seed).record() for seed in (1, 2))
    assert one["maxActApprox"].item() != two["maxActApprox"].item()


def test_asking_for_more_of_each_kind_leaves_the_earlier_ones_as_they_were():
    contexts = contexts_with(*made_up_texts())
    few, many = (
        [(draw.key, draw.feature.rule if draw.feature else draw.detail) for draw in plant_in(contexts, n)]
        for n in (1, 3)
    )
    assert many[: len(few)] == few
    assert len(many) == 3 * len(few) == 3 * len(PLANTED_KINDS)


def test_words_that_are_too_frequent_or_stand_in_too_few_texts_are_not_planted():
    texts = [
        f"{number} common {'seldom' if number < 14 else ''} {'fitting' if number % 6 == 0 else ''}"
        for number in range(120)
    ]
    kept = [draw for draw in plant_in(contexts_with(*texts), 3) if draw.feature]
    assert [draw.feature.right_label for draw in kept] == ['the word "fitting"']


@pytest.mark.parametrize("blank", [" ", "▁"])
def test_features_are_planted_in_the_texts_of_a_neuronpedia_source(neuronpedia, blank):
    bodies = {index: body for index in range(16) if (body := neuronpedia.body(index)) and body["activations"]}
    for body in bodies.values():
        for row in body["activations"]:
            row["tokens"] = [token.replace(" ", blank) for token in row["tokens"]]
    rows = [
        record_of(body, model=MODEL, source=SOURCE, index=index, packed="cut").frame.select(
            pl.col("activations").explode()
        )
        for index, body in bodies.items()
    ]
    contexts = Contexts(pl.concat(rows).unnest("activations").filter(pl.col("tokens").list.len() > 0))
    draws = plant_in(contexts, 1)
    kept = [draw for draw in draws if draw.feature]
    assert {draw.kind for draw in kept} >= {"keyword", "mixture"}
    (delimiter, *_) = [draw for draw in draws if draw.kind == "opening_delimiter"]
    assert delimiter.feature is None
    assert "active in 0 contexts, 15 needed" in delimiter.detail
    for draw in kept:
        for row in draw.feature.record()["activations"][0].to_list():
            assert row["tokenIds"] is None
            assert (row["maxValue"] > 0) == any(
                re.search(draw.feature.rule, "".join(part).replace("▁", " ")) for part in documents(row["tokens"])
            )


def documents(tokens):
    """The tokens of each document of a packed context."""
    found = [[]]
    for token in tokens:
        if token == "<bos>":
            found.append([])
        else:
            found[-1].append(token)
    return found
