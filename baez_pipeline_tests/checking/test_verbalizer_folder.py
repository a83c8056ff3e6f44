"""A verbalizer's folder, with everything real but its size."""

import json

import pytest
import yaml
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import Gemma3TextConfig, LlamaConfig, PreTrainedTokenizerFast

from baez_pipeline.checking.verbalizer_folder import check_folder, check_pair
from baez_pipeline.experiment import FolderSubject, Nla, SmallNlaEngine, TransformersEngine
from baez_pipeline.nla.folders import SIDECAR_FILE

WORDS = ["<unk>", "<concept>", "§", "</concept>", "Describe", "user"]


@pytest.fixture
def folder(tmp_path):
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    template = "{% for message in messages %}{{ message.role }} {{ message.content }} {% endfor %}"
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template).save_pretrained(tmp_path)
    LlamaConfig(hidden_size=576, num_hidden_layers=2, num_attention_heads=9).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 8)
    write_sidecar(tmp_path)
    return tmp_path


def write_sidecar(folder, **changes):
    said = {
        "kind": "nla_model",
        "schema_version": 2,
        "role": "av",
        "d_model": 576,
        "extraction": {"injection_scale": 4.0},
        "tokens": {
            "injection_char": "§",
            "injection_token_id": 2,
            "injection_left_neighbor_id": 1,
            "injection_right_neighbor_id": 3,
        },
        "prompt_templates": {"av": "Describe <concept> {injection_char} </concept>"},
        "extraction_layer_index": 20,
    }
    (folder / SIDECAR_FILE).write_text(yaml.safe_dump(said | changes, allow_unicode=True), encoding="utf-8")


def failed(folder, layer=20):
    found = check_folder(folder, layer=layer, subject_width=576)
    return {f.subject: f.detail for f in found if f.outcome == "failed"}


def test_a_folder_that_fits_is_well(folder):
    findings = list(check_folder(folder, layer=20, subject_width=576))
    assert [finding.outcome for finding in findings] == ["ok"] * 4
    assert findings[2].detail == "5 tokens, with the marker at position 3"


def test_another_layer_fails(folder):
    assert "for layer 20, the experiment reads layer 41" in failed(folder, layer=41)["verbalizer's layer and width"]


def test_a_verbalizer_of_another_model_fails(folder):
    write_sidecar(folder, d_model=3584)
    assert "d_model 3584, the verbalizer's hidden size is 576" in failed(folder)["verbalizer's layer and width"]
    LlamaConfig(hidden_size=3584, num_hidden_layers=2, num_attention_heads=28).save_pretrained(folder)
    assert "those of the subject model are 576 wide" in failed(folder)["verbalizer's layer and width"]


def test_a_sidecar_of_another_tokenizer_fails(folder):
    write_sidecar(folder, prompt_templates={"av": "Describe {injection_char}"})
    assert "tokenizer and sidecar do not belong together" in failed(folder)["verbalizer's prompt"]


def test_weights_that_are_missing_are_named_together_with_what_else_is_wrong(folder):
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model-1.safetensors").write_bytes(b"")
    (folder / SIDECAR_FILE).unlink()
    found = failed(folder)
    assert found.keys() == {"verbalizer's sidecar", "verbalizer's weights"}
    assert "lacks 1 of 2 files of weights, the first model-2.safetensors" in found["verbalizer's weights"]


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors.index.json"])
def test_a_broken_file_fails(folder, name):
    (folder / name).write_text('{"a": [')
    assert len(failed(folder)) >= 1


def test_the_embedded_nla_is_found_without_loading_anything():
    (finding,) = check_pair(Nla(), SmallNlaEngine())
    assert finding.outcome == "ok"
    assert "for layer 20 of smollm2-135m-instruct; verbalizer, 1 file" in finding.detail
    (finding,) = check_pair(Nla(layer=3), SmallNlaEngine())
    assert "for layer 20, the experiment reads layer 3" in finding.detail


def test_reconstructor_and_subject_are_looked_at_with_the_verbalizer(folder, tmp_path):
    engine = TransformersEngine(verbalizer=folder, reconstructor=tmp_path / "ar")
    findings = {f.subject: f for f in check_pair(Nla(engine=engine), engine)}
    assert {subject for subject, f in findings.items() if f.outcome == "failed"} == {
        "reconstructor",
        "reconstructor's weights",
    }
    subject = FolderSubject(path=tmp_path / "nowhere", model="m")
    findings = {f.subject: f for f in check_pair(Nla(engine=engine, subject=subject), engine)}
    assert "config.json is not the configuration of a model" in findings["subject model's width"].detail


def test_a_files_sentence_names_the_model_that_lacks_it(folder, tmp_path):
    engine = TransformersEngine(verbalizer=folder, reconstructor=tmp_path / "ar")
    findings = {f.subject: f.detail for f in check_pair(Nla(engine=engine), engine)}
    assert "fetch the reconstructor again" in findings["reconstructor's weights"]


def test_a_window_that_is_too_narrow_for_an_explanation_fails(folder):
    config = Gemma3TextConfig(hidden_size=576, num_hidden_layers=2, num_attention_heads=9, sliding_window=64)
    config.save_pretrained(folder)
    engine = TransformersEngine(verbalizer=folder, max_new_tokens=60)
    findings = {f.subject: f.detail for f in check_pair(Nla(engine=engine), engine)}
    assert "window holds 64 tokens, prompt and explanation need 65" in findings["verbalizer's prompt"]
