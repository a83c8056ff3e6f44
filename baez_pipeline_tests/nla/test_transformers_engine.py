"""The verbalizer's contract, held by a sidecar written for SmolLM2."""

import numpy as np
import pytest
import torch
import yaml

from baez_pipeline.errors import SidecarError
from baez_pipeline.experiment import TransformersEngine
from baez_pipeline.nla.sidecar import SIDECAR_FILE, Sidecar
from baez_pipeline.nla.transformers_engine import TransformersVerbalizer
from baez_pipeline.tables import Outcome

TEMPLATE = "Say <explanation>, then describe <concept>{injection_char}</concept>."
SETTINGS = TransformersEngine(verbalizer="unused", temperature=0.0, max_new_tokens=12, batch_size=2)


@pytest.fixture(scope="module")
def written(smollm2):
    """A sidecar as a dictionary, its ids read off the real tokenizer."""
    _, tokenizer = smollm2
    marker = next(c for c in "§¶†‡¤" if len(tokenizer.encode(f">{c}<")) == 3)
    left, site, right = tokenizer.encode(f">{marker}</")
    return {
        "kind": "nla_model",
        "schema_version": 2,
        "role": "av",
        "stage": "sl",
        "d_model": 576,
        "extraction": {"injection_scale": 4.0, "mse_scale": 24.0},
        "tokens": {
            "injection_char": marker,
            "injection_token_id": site,
            "injection_left_neighbor_id": left,
            "injection_right_neighbor_id": right,
            "critic_suffix_ids": None,
        },
        "prompt_templates": {"av": TEMPLATE, "ar": "{explanation}"},
        "extraction_layer_index": 20,
        "training": {"lr": 1e-5},
    }


def verbalizer(smollm2, written, **settings):
    model, tokenizer = smollm2
    sidecar = Sidecar.model_validate(written)
    chosen = SETTINGS.model_copy(update=settings)
    return TransformersVerbalizer(model, tokenizer, sidecar, chosen, layer=20, identity="test")


def test_the_vector_replaces_the_markers_row_at_the_sidecars_norm(smollm2, written):
    vectors = torch.randn(2, 576, generator=torch.Generator().manual_seed(0)) * 100
    engine = verbalizer(smollm2, written)
    ids, site = Sidecar.model_validate(written).prompt_ids(smollm2[1])
    embeddings = engine.injected(vectors)
    plain = smollm2[0].get_input_embeddings()(torch.tensor(ids))
    torch.testing.assert_close(embeddings[:, site].norm(dim=-1), torch.full((2,), 4.0))
    torch.testing.assert_close(torch.cosine_similarity(embeddings[:, site], vectors), torch.ones(2))
    others = [i for i in range(len(ids)) if i != site]
    torch.testing.assert_close(embeddings[0, others], plain[others])


def test_a_zero_vector_stays_zero(smollm2, written):
    _, site = Sidecar.model_validate(written).prompt_ids(smollm2[1])
    assert verbalizer(smollm2, written).injected(torch.zeros(1, 576))[0, site].abs().max() == 0


def test_injecting_a_words_own_embedding_reads_as_that_word(smollm2, written):
    model, tokenizer = smollm2
    word = tokenizer.encode(" river")[0]
    row = model.get_input_embeddings().weight[word].detach()
    scaled = {**written, "extraction": {"injection_scale": float(row.norm())}}
    engine = verbalizer(smollm2, scaled)
    ids, site = Sidecar.model_validate(scaled).prompt_ids(tokenizer)
    ids[site] = word
    with torch.inference_mode():
        expected = model(torch.tensor([ids])).logits[0, -1]
        found = model(inputs_embeds=engine.injected(3 * row[None])).logits[0, -1]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_an_answer_without_tags_is_unparsable_not_an_explanation(smollm2, written):
    vectors = np.random.default_rng(0).normal(size=(3, 576)).astype(np.float32)
    said = verbalizer(smollm2, written).explain_vectors(vectors, [1, 2, 3])
    assert len(said) == 3
    for explanation in said:
        assert (explanation.outcome is Outcome.OK) == bool(explanation.text)


def test_sampling_follows_the_seed_and_not_the_batch(smollm2, written):
    engine = verbalizer(smollm2, written, temperature=1.0)
    vectors = torch.randn(2, 576, generator=torch.Generator().manual_seed(0))
    alone = engine._sample(vectors[1:], seed=5)
    engine._sample(vectors[:1], seed=4)
    assert engine._sample(vectors[1:], seed=5) == alone
    assert engine._sample(vectors[1:], seed=6) != alone


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"d_model": 5376}, "for d_model 5376, the verbalizer's hidden size is 576"),
        ({"extraction_layer_index": 41}, "for layer 41, the experiment reads layer 20"),
        ({"prompt_templates": {"av": "<concept>{injection_char}</concept> " * 2}}, "found 2 times"),
        ({"prompt_templates": {"av": "nothing here"}}, "found 0 times"),
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused_with_both_values(smollm2, written, change, said):
    with pytest.raises(SidecarError, match=said):
        verbalizer(smollm2, {**written, **change})


def test_another_tokenizers_neighbours_are_refused(smollm2, written):
    tokens = {**written["tokens"], "injection_left_neighbor_id": 236813}
    with pytest.raises(SidecarError, match="tokenizer and sidecar do not belong together"):
        verbalizer(smollm2, {**written, "tokens": tokens})


def test_a_sidecar_is_read_from_its_folder_and_older_names_too(tmp_path, written):
    older = {**written, "prompt_templates": {"actor": TEMPLATE, "critic": "x"}}
    (tmp_path / SIDECAR_FILE).write_text(yaml.safe_dump(older, allow_unicode=True), encoding="utf-8")
    assert Sidecar.read(tmp_path).prompt_templates.av == TEMPLATE
    (tmp_path / SIDECAR_FILE).write_text("kind: nla_model\nrole: ar\n")
    with pytest.raises(SidecarError, match="role"):
        Sidecar.read(tmp_path)
    with pytest.raises(SidecarError, match="cannot be read"):
        Sidecar.read(tmp_path / "nowhere")
