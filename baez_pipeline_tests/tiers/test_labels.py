"""Who labels a feature of which tier, and what stands on the row of one that nobody labels."""

from datetime import UTC, datetime

import polars as pl
import pytest

from baez_pipeline.labeling import METHODS
from baez_pipeline.labeling.method import Asking
from baez_pipeline.llm.chat import Completion
from baez_pipeline.tables import ExampleSplits, FeatureTiers, Labels, ReviewedLabels
from baez_pipeline.tiers.labels import labels_by_tier
from baez_pipeline_tests.labeling.asking import SHARED, Scripted

TEXTS = {"train": [" the", " lantern", " glows"], "test": [" a", " copper", " ribbon"]}


def tiers_of(**features):
    rows = [
        {
            "feature": feature,
            "tier": tier,
            "window": window,
            "passed": [],
            "undetermined": tier is None,
            "reason": "so it is.",
            "mode": "calibrated",
        }
        for feature, (tier, window) in features.items()
    ]
    return FeatureTiers.validate(pl.DataFrame(rows, schema=FeatureTiers.create_empty().schema, orient="row"))


def splits_of(*features):
    schema = ExampleSplits.create_empty().schema
    rows = [
        {
            **dict.fromkeys(schema),
            "feature": feature,
            "example": f"{role}-{rank}",
            "role": role,
            "rank": rank,
            "tokens": tokens,
            "activations": [0.0, 2.0, 0.0],
            "peak_position": 1,
            "peak_activation": 2.0,
            "window_start": 0,
            "window_end": 3,
        }
        for feature in features
        for role, tokens in TEXTS.items()
        for rank in (1, 2)
    ]
    return pl.DataFrame(rows, schema=schema, orient="row")


def reviewed(feature, *, kind, label):
    row = {"feature": feature, "kind": kind, "label": label, "reviewed_by": "Ada"}
    at = datetime(2026, 11, 23, 1, tzinfo=UTC)
    return pl.DataFrame([row | {"reviewed_at": at}], schema=ReviewedLabels.create_empty().schema, orient="row")


def labelled(tiers, *, said=None, answers=(), asked=(2,)):
    """Rows of Labels by feature, and the features that the writer was asked about."""
    writer = Scripted(*answers)
    writer.concurrency = 1
    splits = splits_of(*tiers["feature"])
    found = labels_by_tier(
        tiers,
        splits,
        ReviewedLabels.create_empty() if said is None else said,
        asking={
            tier: Asking(method=METHODS["eleuther_acts_top5"], open_writer=lambda: writer, writing=SHARED)
            for tier in asked
        },
        evidence={str(key[0]): rows for key, rows in splits.partition_by("feature", as_dict=True).items()},
    )
    rows = {feature: Labels.validate(frame).row(0, named=True) for feature, frame in found}
    return rows, [request.purpose for request in writer.asked]


@pytest.mark.parametrize(("window", "label"), [("input", '"lantern"'), ("output", 'say "glows"')])
def test_tier_one_is_labelled_by_the_words_of_train_examples_and_nobody_is_asked(window, label):
    rows, asked = labelled(tiers_of(one=(1, window)))
    assert asked == []
    assert (rows["one"]["label"], rows["one"]["outcome"]) == (label, "ok")
    assert (rows["one"]["method"], rows["one"]["n_shown"], rows["one"]["tokens_in"]) == ("tiers", 2, None)


def test_tier_two_alone_is_asked_about_and_paid_for_as_labels_by_tier():
    tiers = tiers_of(one=(1, "input"), two=(2, "cross"), three=(3, None))
    rows, (purpose,) = labelled(tiers, answers=[Completion(text="[EXPLANATION]: things that glow", tokens_in=9)])
    assert (purpose.feature, purpose.asset, purpose.method) == ("two", "labels_tiers", "tiers")
    assert (rows["two"]["label"], rows["two"]["method"], rows["two"]["tokens_in"]) == ("things that glow", "tiers", 9)


def test_a_feature_that_waits_for_review_has_no_label_and_says_why():
    rows, asked = labelled(tiers_of(three=(3, None), doubt=(None, None)))
    assert asked == []
    assert {row["label"] for row in rows.values()} == {None}
    assert {row["outcome"] for row in rows.values()} == {"no_label"}
    assert rows["three"]["detail"] == "tier 3, waits for review (baez review page): so it is."
    assert rows["doubt"]["detail"].startswith("undetermined, waits for review")


def test_planted_features_are_not_reviewed():
    rows, _ = labelled(tiers_of(**{"planted-topic_0001": (3, None)}))
    assert "a control, not reviewed" in rows["planted-topic_0001"]["detail"]


def test_a_persons_label_stands_whatever_the_tier():
    tiers = tiers_of(three=(3, None), two=(2, "cross"))
    said = pl.concat(
        [reviewed("three", kind="cross", label="light at night"), reviewed("two", kind="input", label="lanterns")]
    )
    rows, asked = labelled(tiers, said=said)
    assert asked == []
    assert [rows[feature]["label"] for feature in ("three", "two")] == ["light at night", "lanterns"]
    assert rows["three"]["outcome"] == "ok"
    assert rows["three"]["model"] == "reviewed by Ada, 2026-11-23"


def test_what_a_person_calls_obscure_stays_without_a_label():
    rows, _ = labelled(tiers_of(three=(3, None)), said=reviewed("three", kind="obscure", label=None))
    assert (rows["three"]["label"], rows["three"]["outcome"]) == (None, "no_label")
    assert rows["three"]["detail"] == "obscure, says Ada, 2026-11-23"


def test_a_small_model_is_asked_about_tier_one_where_the_settings_name_one():
    tiers = tiers_of(one=(1, "output"), two=(2, "cross"))
    answers = [Completion(text=f"[EXPLANATION]: {label}") for label in ("glowing", "things that glow")]
    rows, asked = labelled(tiers, asked=(1, 2), answers=answers)
    assert [(purpose.feature, purpose.asset) for purpose in asked] == [
        (name, "labels_tiers") for name in ("one", "two")
    ]
    assert (rows["one"]["label"], rows["one"]["model"]) == ("glowing", "scripted")
    assert rows["two"]["label"] == "things that glow"
