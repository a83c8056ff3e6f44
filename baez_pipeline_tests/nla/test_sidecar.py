"""The released fields are read as they are, and a sidecar that does not fit is refused with the two values."""

import copy

import pytest
import yaml

from baez_pipeline.errors import SidecarError
from baez_pipeline.nla.folders import SIDECAR_FILE
from baez_pipeline.nla.sidecar import ReconstructorSidecar, Sidecar
from baez_pipeline_tests.nla.sidecars import (
    AR_TEMPLATE,
    AV_TEMPLATE,
    GEMMA_12B_AV,
    GEMMA_27B_AR,
    GEMMA_27B_AV,
    QWEN_7B_AV,
    ar,
    smollm2_av,
)


def written(folder, text):
    (folder / SIDECAR_FILE).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("text", "d_model", "layer", "scale", "marker", "ids"),
    [
        (GEMMA_27B_AV, 5376, 41, 60000.0, "\u321c", (236813, 246566, 954)),
        (GEMMA_12B_AV, 3840, 32, 80000.0, "\u321c", (236813, 246566, 954)),
        (QWEN_7B_AV, 3584, 20, 150.0, "\u320e", (29, 149705, 522)),
    ],
)
def test_a_released_verbalizers_fields_are_read_as_they_are(tmp_path, text, d_model, layer, scale, marker, ids):
    sidecar = Sidecar.read(written(tmp_path, text))
    tokens = sidecar.tokens
    assert (sidecar.d_model, sidecar.layer, sidecar.extraction.injection_scale) == (d_model, layer, scale)
    assert tokens.injection_char == marker
    found = (tokens.injection_left_neighbor_id, tokens.injection_token_id, tokens.injection_right_neighbor_id)
    assert found == ids
    assert sidecar.prompt_templates.av == AV_TEMPLATE
    assert sidecar.extraction.vector_map is None


def test_a_released_reconstructors_fields_are_read_as_they_are(tmp_path):
    sidecar = ReconstructorSidecar.read(written(tmp_path, GEMMA_27B_AR))
    assert (sidecar.d_model, sidecar.layer) == (5376, 41)
    assert sidecar.tokens.critic_suffix_ids == (1005, 236813, 655, 6011, 236813)
    assert sidecar.prompt_templates.ar == AR_TEMPLATE
    # It does not say its variance; what is known of the released pairs does.
    assert sidecar.extraction.normalized_variance is None
    assert sidecar.variance == 0.0579


def test_our_extension_is_read_where_it_is():
    said = {"injection_scale": 4.0, "vector_map": "vector_map.safetensors"}
    assert Sidecar.model_validate(yaml.safe_load(QWEN_7B_AV) | {"extraction": said}).extraction.vector_map
    own = ar(d_model=5376, layer=41, extraction={"normalized_variance": 0.25})
    assert ReconstructorSidecar.model_validate(own).variance == 0.25
    assert ReconstructorSidecar.model_validate(ar(d_model=576, layer=20)).variance is None


@pytest.mark.parametrize("name", ["av", "actor", "verbalizer"])
def test_older_names_of_the_verbalizers_prompt_are_read(name):
    text = yaml.safe_load(GEMMA_27B_AV) | {"prompt_templates": {name: AV_TEMPLATE, "critic": AR_TEMPLATE}}
    assert Sidecar.model_validate(text).prompt_templates.av == AV_TEMPLATE


def test_the_older_name_of_the_reconstructors_prompt_is_read():
    text = yaml.safe_load(GEMMA_27B_AR) | {"prompt_templates": {"actor": AV_TEMPLATE, "critic": AR_TEMPLATE}}
    assert ReconstructorSidecar.model_validate(text).prompt_templates.ar == AR_TEMPLATE


def test_the_other_role_is_refused(tmp_path):
    with pytest.raises(SidecarError, match=r"not the sidecar of a verbalizer .*role"):
        Sidecar.read(written(tmp_path, GEMMA_27B_AR))
    with pytest.raises(SidecarError, match=r"not the sidecar of a reconstructor .*role"):
        ReconstructorSidecar.read(written(tmp_path, GEMMA_27B_AV))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("schema_version: 2", "schema_version: 1"), "schema_version"),
        (("injection_scale: 60000.0", "injection_scale: null"), "extraction.injection_scale"),
        (("injection_token_id: 246566", "injection_token_id: many"), "tokens.injection_token_id"),
        (("kind: nla_model", "kind: [nla_model"), "is not YAML"),
    ],
)
def test_a_field_that_is_wrong_is_named(tmp_path, change, said):
    with pytest.raises(SidecarError, match=said):
        Sidecar.read(written(tmp_path, GEMMA_27B_AV.replace(*change)))
    with pytest.raises(SidecarError, match="cannot be read"):
        Sidecar.read(tmp_path / "nowhere")


FITS = {"layer": 41, "hidden_size": 5376, "vocabulary": 262208, "subject_width": 5376}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_size": 3840}, "for d_model 5376, the {role}'s hidden size is 3840"),
        ({"layer": 31}, "for layer 41, the experiment reads layer 31"),
        ({"subject_width": 576}, "of width 5376, those of the subject model are 576 wide"),
        ({"vocabulary": 151936}, "names the token {largest}, the {role}'s vocabulary has 151,936"),
    ],
)
def test_what_does_not_fit_is_said_with_both_values(change, said):
    verbalizer = Sidecar.model_validate(yaml.safe_load(GEMMA_27B_AV))
    reconstructor = ReconstructorSidecar.model_validate(yaml.safe_load(GEMMA_27B_AR))
    for sidecar, role, largest in ((verbalizer, "verbalizer", 246566), (reconstructor, "reconstructor", 236813)):
        sidecar.check_fits(**FITS)
        with pytest.raises(SidecarError, match=said.format(role=role, largest=largest)):
            sidecar.check_fits(**FITS | change)


def test_the_marker_is_found_once_by_its_neighbours_and_with_one_bos(smollm2):
    _, tokenizer = smollm2
    sidecar = Sidecar.model_validate(smollm2_av(tokenizer))
    ids, site = sidecar.prompt_ids(tokenizer)
    assert ids[site] == sidecar.tokens.injection_token_id
    rendered = tokenizer.decode(ids)
    assert rendered.count(f"<concept>{sidecar.tokens.injection_char}</concept>") == 1
    assert rendered.endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize("template", [None, "{% for", "{{ raise_exception('no users') }}", "{{ 1 / 0 }}"])
def test_a_chat_template_that_is_missing_or_broken_is_refused(smollm2, template):
    tokenizer = copy.deepcopy(smollm2[1])
    tokenizer.chat_template = template
    with pytest.raises(SidecarError, match="no chat template that takes its prompt"):
        Sidecar.model_validate(smollm2_av(tokenizer)).prompt_ids(tokenizer)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("<concept>{injection_char}</concept> " * 2, "found 2 times"),
        ("nothing here", "found 0 times"),
        ("<concept> {injection_char} </concept>", "the marker's id alone at"),
    ],
)
def test_a_marker_that_is_not_there_once_is_refused(smollm2, template, said):
    sidecar = Sidecar.model_validate(smollm2_av(smollm2[1], prompt_templates={"av": template}))
    with pytest.raises(SidecarError, match=said):
        sidecar.prompt_ids(smollm2[1])


def test_another_tokenizers_sidecar_is_refused_with_the_ids_of_both(smollm2):
    sidecar = Sidecar.model_validate(yaml.safe_load(GEMMA_27B_AV))
    with pytest.raises(SidecarError, match=r"as ids \[236813, 246566, 954\]; .*the tokenizer has ids \["):
        sidecar.prompt_ids(smollm2[1])


def test_a_reconstructors_prompt_must_take_an_explanation_and_end_as_it_was_trained(smollm2):
    _, tokenizer = smollm2
    suffix = tokenizer.encode("> <summary>")
    good = ar(d_model=576, layer=20, tokens={"critic_suffix_ids": suffix})
    assert ReconstructorSidecar.model_validate(good).check_prompt(tokenizer) > len(suffix)
    other = ReconstructorSidecar.model_validate(good | {"tokens": {"critic_suffix_ids": [1005, 655]}})
    with pytest.raises(SidecarError, match=r"must end in ids \[1005, 655\], the tokenizer gives \["):
        other.check_prompt(tokenizer)
    without = ReconstructorSidecar.model_validate(good | {"prompt_templates": {"ar": "Say it."}})
    with pytest.raises(SidecarError, match="it has it 0 times"):
        without.check_prompt(tokenizer)
