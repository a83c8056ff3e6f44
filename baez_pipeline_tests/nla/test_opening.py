"""A pair in folders of its own, from the experiment to a table: what is loaded, when, and what is refused first."""

import json
import weakref

import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from baez_pipeline.errors import SidecarError
from baez_pipeline.experiment import FolderSubject, NeuronpediaEngine, Nla, SmallNlaEngine, TransformersEngine
from baez_pipeline.nla import explain_features
from baez_pipeline.nla.engine import Peak
from baez_pipeline.nla.extraction import SubjectModel
from baez_pipeline.nla.on_demand import SubjectOnDemand
from baez_pipeline.nla.opening import (
    identity_of,
    open_subject,
    open_verbalizer,
    reconstructor_identity,
    subject_identity,
)
from baez_pipeline.nla.reconstructor import VALUE_HEAD_FILE, Reconstructor
from baez_pipeline.nla.transformers_engine import TransformersVerbalizer
from baez_pipeline.tables import ExampleSplits
from baez_pipeline_tests.nla.sidecars import ar
from baez_pipeline_tests.nla.tiny_models import WIDTH, save_model, save_pair, tiny_av, write_sidecar


@pytest.fixture
def folders(tmp_path):
    return save_pair(tmp_path)


def nla(folders, **changes):
    engine = TransformersEngine(
        verbalizer=folders / "av", reconstructor=folders / "ar", temperature=1.0, max_new_tokens=30, batch_size=4
    )
    subject = FolderSubject(path=folders / "subject", model="gemma-3-tiny")
    return Nla(**{"layer": 2, "engine": engine, "subject": subject} | changes)


def opened(settings):
    return open_verbalizer(settings, subject=lambda: open_subject(settings), answers=lambda: None)


def splits(*features, examples=3):
    tokens = ["<s>", "the", "boats", "leave"]
    rows = [
        {
            "feature": feature,
            "example": f"e{rank}",
            "role": "train",
            "rank": rank,
            "tokens": tokens,
            "token_ids": [1, 12, 10, 11 + rank],
            "activations": [0.0, 0.0, 0.0, 2.0],
            "peak_position": 3,
            "peak_activation": 2.0,
            "window_start": 0,
            "window_end": 4,
        }
        for feature in features
        for rank in range(1, examples + 1)
    ]
    return ExampleSplits.validate(pl.DataFrame(rows, schema=ExampleSplits.create_empty().schema))


def test_every_explanation_is_a_row_with_its_tag_and_its_scores_where_there_is_one(folders):
    settings = nla(folders)
    rows = explain_features(splits("a", "b"), opened(settings), settings, seed=0)
    assert rows["feature"].to_list() == ["a"] * 3 + ["b"] * 3
    assert set(rows["tag"]) <= {"closed", "unclosed", "none"}
    answered = rows.filter(pl.col("outcome") == "ok")
    # Random weights write the tags among their other sixteen words often enough.
    assert answered.height
    assert answered["fve"].to_list() == pytest.approx([1 - mse / 2 for mse in answered["mse"]])
    assert rows.filter(pl.col("outcome") != "ok")["mse"].null_count() == rows.height - answered.height
    assert rows["norm"].min() > 0


def test_the_embedded_nla_is_opened_as_a_pair_of_adapters_and_stays_loaded(smollm2):
    settings = Nla(engine=SmallNlaEngine(max_new_tokens=12))
    verbalizer = opened(settings)
    ids = smollm2[1].encode("The fishing boats left the old harbour")
    peaks = [Peak(tokens=["x"] * len(ids), token_ids=ids, position=position, seed=0) for position in (3, len(ids) - 1)]
    said = verbalizer.explain(peaks)
    assert [each.tag for each in said] == ["unclosed", "unclosed"]
    assert all(each.fve == pytest.approx(1 - each.mse / 0.458) for each in said)
    assert verbalizer.name == "small_nla"


def test_models_are_loaded_one_after_the_other_and_freed(folders, monkeypatch):
    settings = nla(folders)
    verbalizer = opened(settings)
    opened_so_far = []

    def watched(owner):
        opening = owner.open

        def opens(*arguments, **settings):
            alive = [model() for _, model in opened_so_far]
            assert alive == [None] * len(alive), "another model still has the memory"
            model = opening(*arguments, **settings)
            opened_so_far.append((owner.__name__, weakref.ref(model)))
            return model

        monkeypatch.setattr(owner, "open", opens)

    for owner in (SubjectModel, TransformersVerbalizer, Reconstructor):
        watched(owner)
    for _ in range(2):
        explain_features(splits("a", "b"), verbalizer, settings, seed=0)
    assert [name for name, _ in opened_so_far] == ["SubjectModel", "TransformersVerbalizer", "Reconstructor"] * 2
    assert [model() for _, model in opened_so_far] == [None] * 6


def test_the_subject_is_part_of_the_identity_and_services_have_none(folders):
    settings = nla(folders)
    first = subject_identity(settings)
    assert first.startswith("gemma-3-tiny subject ")
    named = nla(folders, subject=settings.subject.model_copy(update={"revision": "abc123"}))
    assert subject_identity(named).startswith("gemma-3-tiny abc123 subject ")
    assert subject_identity(Nla()).startswith("smollm2")
    assert subject_identity(Nla(engine=NeuronpediaEngine(model="m", nla_source="s"))) is None
    save_model(folders / "subject", "gemma3_text")
    assert subject_identity(settings) != first


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "adapter_config.json", "chat_template.jinja"])
def test_every_small_file_that_can_change_a_text_is_part_of_the_identity(folders, name):
    settings = nla(folders)
    before = identity_of(settings.engine), subject_identity(settings)
    for folder in ("av", "subject"):
        path = folders / folder / name
        path.write_text((path.read_text() if path.is_file() else "") + " ")
    assert before[0] != identity_of(settings.engine)
    assert before[1] != subject_identity(settings)


def test_a_pairs_revision_is_part_of_the_identities_of_both(folders):
    engine = nla(folders).engine
    named = engine.model_copy(update={"revision": "abc123"})
    assert identity_of(named) == f"abc123 {identity_of(engine)}"
    assert reconstructor_identity(named) == f"abc123 {reconstructor_identity(engine)}"


def test_other_weights_in_a_folder_are_another_identity(folders):
    engine = nla(folders).engine
    before = identity_of(engine), reconstructor_identity(engine)
    save_file({"weight": torch.zeros(WIDTH, WIDTH)}, folders / "ar" / VALUE_HEAD_FILE)
    assert identity_of(engine) == before[0]
    assert reconstructor_identity(engine) != before[1]
    assert reconstructor_identity(engine.model_copy(update={"reconstructor": None})) is None


@pytest.mark.parametrize(
    ("role", "sidecar", "said"),
    [
        ("av", tiny_av(extraction_layer_index=3), "verbalizer's sidecar is for layer 3, the experiment reads layer 2"),
        ("av", tiny_av(d_model=32), "for d_model 32, the verbalizer's hidden size is 16"),
        ("ar", ar(d_model=WIDTH, layer=1), "reconstructor's sidecar is for layer 1, the experiment reads layer 2"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_loaded(folders, role, sidecar, said):
    write_sidecar(folders / role, sidecar)
    settings = nla(folders)
    with pytest.raises(SidecarError, match=said):
        open_verbalizer(settings, subject=lambda: pytest.fail("the subject was opened"), answers=lambda: None)


def test_a_value_head_of_another_width_is_refused_before_anything_is_loaded(folders):
    save_file({"weight": torch.eye(WIDTH + 1)}, folders / "ar" / VALUE_HEAD_FILE)
    with pytest.raises(SidecarError, match=r"of shape \(17, 17\), the reconstructor's hidden size is 16"):
        open_verbalizer(nla(folders), subject=lambda: pytest.fail("the subject was opened"), answers=lambda: None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sliding_window": 32}, r"window holds 32 tokens, prompt and explanation need \d+: lower `max_new_tokens`"),
        ({"attn_logit_softcapping": 50.0}, "caps its attention scores; the engine does not"),
    ],
)
def test_attention_that_the_batched_engine_does_not_compute_is_refused_before_anything_is_loaded(folders, change, said):
    config = folders / "av" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    settings = nla(folders)
    with pytest.raises(SidecarError, match=said):
        open_verbalizer(settings, subject=lambda: pytest.fail("the subject was opened"), answers=lambda: None)


def test_a_verbalizer_for_another_width_than_the_subjects_is_refused_with_both(folders):
    with pytest.raises(SidecarError, match="of width 16, those of the subject model are 576 wide"):
        opened(Nla(layer=2, engine=nla(folders).engine))


def test_a_layer_that_the_subject_does_not_have_is_refused(folders):
    with pytest.raises(SidecarError, match=r"Block 7 is to be read \(nla.layer\)"):
        open_subject(nla(folders, layer=7))
    assert isinstance(open_subject(nla(folders)), SubjectOnDemand)
