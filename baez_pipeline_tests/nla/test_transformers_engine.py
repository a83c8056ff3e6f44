"""The verbalizer's contract, held by a sidecar written for SmolLM2."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from baez_pipeline.errors import SidecarError
from baez_pipeline.experiment import TransformersEngine
from baez_pipeline.nla.injection import at_scale, read_vector_map
from baez_pipeline.nla.sidecar import Sidecar
from baez_pipeline.nla.transformers_engine import TransformersVerbalizer, explanation_of
from baez_pipeline.tables import Outcome
from baez_pipeline_tests.nla.sidecars import smollm2_av

SETTINGS = TransformersEngine(verbalizer="unused", temperature=0.0, max_new_tokens=6, batch_size=2)


@pytest.fixture(scope="module")
def written(smollm2):
    return smollm2_av(smollm2[1])


def verbalizer(smollm2, written, **settings):
    chosen = SETTINGS.model_copy(update=settings)
    return TransformersVerbalizer(*smollm2, Sidecar.model_validate(written), chosen, layer=20, identity="test")


def some_vectors(n):
    return (np.random.default_rng(0).normal(size=(n, 576)) * 100).astype(np.float32)


def test_vectors_are_given_the_sidecars_norm_in_fp32_and_keep_their_direction(written):
    vectors = some_vectors(2)
    rows = at_scale(vectors, Sidecar.model_validate(written))
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows.norm(dim=-1), torch.full((2,), 4.0))
    torch.testing.assert_close(torch.cosine_similarity(rows, torch.from_numpy(vectors)), torch.ones(2))


def test_a_zero_vector_stays_zero(written):
    assert at_scale(np.zeros((1, 576), np.float32), Sidecar.model_validate(written)).abs().max() == 0


def test_a_vector_map_comes_before_the_scaling(tmp_path, written):
    extraction = {"injection_scale": 4.0, "vector_map": "vector_map.safetensors"}
    sidecar = Sidecar.model_validate(written | {"extraction": extraction})
    weight, bias = torch.eye(576).roll(1, 0), -torch.ones(576)
    save_file({"weight": weight.half(), "bias": bias.half()}, tmp_path / "vector_map.safetensors")
    vectors = some_vectors(1)
    (row,) = at_scale(vectors, sidecar, read_vector_map(tmp_path, sidecar))
    mapped = np.roll(vectors[0], 1) - 1
    np.testing.assert_allclose(row.numpy(), 4 * mapped / np.linalg.norm(mapped), rtol=1e-4)
    assert read_vector_map(tmp_path, Sidecar.model_validate(written)) is None


def test_a_vector_map_of_another_width_or_none_at_all_is_refused(tmp_path, written):
    extraction = {"injection_scale": 4.0, "vector_map": "vector_map.safetensors"}
    sidecar = Sidecar.model_validate(written | {"extraction": extraction})
    with pytest.raises(SidecarError, match="is not a vector map"):
        read_vector_map(tmp_path, sidecar)
    save_file({"weight": torch.eye(3), "bias": torch.ones(3)}, tmp_path / "vector_map.safetensors")
    with pytest.raises(SidecarError, match=r"weight of shape \(3, 3\) .* for d_model 576"):
        read_vector_map(tmp_path, sidecar)


def test_the_prompt_is_read_through_the_models_own_embedding(smollm2, written):
    model, tokenizer = smollm2
    ids, site = Sidecar.model_validate(written).prompt_ids(tokenizer)
    prompt = verbalizer(smollm2, written).prompt
    assert prompt.site == site
    torch.testing.assert_close(prompt.embeddings, model.get_input_embeddings()(torch.tensor(ids)))


def test_a_words_own_embedding_in_the_markers_row_is_read_as_that_word(smollm2, written):
    model, tokenizer = smollm2
    word = tokenizer.encode(" river")[0]
    row = model.get_input_embeddings().weight[word].detach()
    sidecar = written | {"extraction": {"injection_scale": float(row.norm())}}
    engine = verbalizer(smollm2, sidecar)
    ids, site = Sidecar.model_validate(sidecar).prompt_ids(tokenizer)
    ids[site] = word
    written_ids = model.generate(torch.tensor([ids]), max_new_tokens=6, do_sample=False)[0, len(ids) :]
    (generated,) = engine._generation.generate(engine.rows((3 * row[None]).numpy()), [0])
    kept = written_ids.tolist()[: len(generated.ids)]
    assert generated.ids == kept
    assert len(kept) > 3


def test_every_vector_gets_an_outcome_and_a_batch_changes_none(smollm2, written):
    vectors = some_vectors(2)
    engine = verbalizer(smollm2, written)
    said = engine.explain_vectors(vectors, [1, 2])
    assert said[1:] == engine.explain_vectors(vectors[1:], [2])
    for explanation in said:
        assert (explanation.outcome is Outcome.OK) == bool(explanation.text)
    assert engine.explain_vectors(vectors[:0], []) == []


def test_sampling_follows_the_seed_and_not_the_batch(smollm2, written):
    engine, vectors = verbalizer(smollm2, written, temperature=1.0), some_vectors(2)
    alone = engine.explain_vectors(vectors[1:], [5])
    assert engine.explain_vectors(vectors, [4, 5])[1:] == alone
    assert engine.explain_vectors(vectors[1:], [6]) != alone


@pytest.mark.parametrize(
    ("text", "outcome", "said", "tag"),
    [
        ("<explanation>\nBoats.\n\nLeave.\n</explanation>", Outcome.OK, "Boats.\n\nLeave.", "closed"),
        ("<explanation>\nBoats.\n\nLea", Outcome.OK, "Boats.\n\nLea", "unclosed"),
        ("</explanation> Boats <explanation> leave", Outcome.OK, "leave", "unclosed"),
        ("<explanation> </explanation>", Outcome.EMPTY, "", "closed"),
        ("Boats leave </explanation>", Outcome.UNPARSABLE, "", "none"),
    ],
)
def test_what_became_of_the_tags_is_kept(text, outcome, said, tag):
    explanation = explanation_of(text)
    assert (explanation.outcome, explanation.text, explanation.tag) == (outcome, said, tag)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"d_model": 5376}, "for d_model 5376, the verbalizer's hidden size is 576"),
        ({"extraction_layer_index": 41}, "for layer 41, the experiment reads layer 20"),
        ({"prompt_templates": {"av": "nothing here"}}, "found 0 times"),
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused(smollm2, written, change, said):
    with pytest.raises(SidecarError, match=said):
        verbalizer(smollm2, written | change)


def test_activations_of_another_width_are_refused_with_both_widths(written):
    with pytest.raises(SidecarError, match="of width 576, those of the subject model are 16 wide"):
        at_scale(np.ones((1, 16), np.float32), Sidecar.model_validate(written))
