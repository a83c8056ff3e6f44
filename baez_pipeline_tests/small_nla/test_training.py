"""Training both models on a small Llama with SmolLM2's tokenizer, and what is written."""

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from baez_pipeline.embedded import BLOCK
from baez_pipeline.llm.blocks import body_up_to
from baez_pipeline.nla.sidecar import Sidecar
from baez_pipeline.small_nla.examples import build_examples
from baez_pipeline.small_nla.fitting import rate_share, thinned
from baez_pipeline.small_nla.passages import Passage, read_passages, save_passages
from baez_pipeline.small_nla.prompts import verbalizer_prompt
from baez_pipeline.small_nla.training import Settings, train_and_write
from baez_pipeline.small_nla.vector_map import starting_map
from baez_pipeline.small_nla.verbalizer_training import Recipe, VerbalizerTraining

SENTENCES = (
    "The bees carry nectar from the flowers to the hive, where the workers turn it into honey for the long winter.",
    "A knight moves in an unusual way on the chess board, and the queen moves as far as she likes in any direction.",
    "The river rises in the mountains and flows past three old towns before it reaches the sea near the harbour.",
)


@pytest.fixture(scope="module")
def small(smollm2):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=BLOCK + 2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval(), smollm2[1]


@pytest.fixture(scope="module")
def passages():
    return [
        Passage(sentence, "Textbook", "styled", topic="nature" if number % 2 else "", held_out=number >= 10)
        for number, sentence in enumerate(SENTENCES * 4)
    ]


@pytest.fixture(scope="module")
def trained(small, passages, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    recipe = Recipe(rank=2, batch=6, learning_rate=2e-2, longest=72)
    settings = Settings(
        verbalizer=recipe,
        reconstructor=recipe,
        verbalizer_steps=5,
        reconstructor_steps=4,
        own_explanations=4,
        at_once=8,
    )
    return folder, train_and_write(folder, passages, *small, settings, seconds_left=600)


def test_an_example_is_the_activation_of_its_token_and_says_what_the_model_expects(small, passages):
    model, tokenizer = small
    train, held_out = build_examples(model, tokenizer, passages, seed=0)
    assert len(held_out) == 2 * 4
    row = 3
    ids = tokenizer.encode(train.before[row] + train.tokens[row], add_special_tokens=False)
    with torch.inference_mode():
        output = model(torch.tensor([[0, *ids]]), output_hidden_states=True)
    assert torch.allclose(train.vectors[row], output.hidden_states[BLOCK + 1][0, -1], atol=1e-4)
    likeliest = tokenizer.decode([int(output.logits[0, -1].argmax())]).strip()
    assert json.dumps(likeliest, ensure_ascii=False) in train.texts[row].split("; ")[-1]


def test_training_lowers_both_losses(trained):
    _, record = trained
    for losses in (record["verbalizer_losses"], record["reconstructor_losses"]):
        assert losses[-1]["loss"] < losses[0]["loss"]
    assert set(record["fve"]) >= {"verbalizer", "verbalizer_of_other_positions", "empty"}
    assert {"all", "all, shuffled", "styled"} == set(record["held_out_text"])


def test_the_written_verbalizer_is_a_sidecar_an_adapter_and_a_map(trained, small):
    folder, record = trained
    tokenizer = small[1]
    sidecar = Sidecar.read(folder / "av")
    prompt = verbalizer_prompt(tokenizer)
    assert sidecar.prompt_ids(tokenizer) == (prompt.ids, prompt.site)
    assert sidecar.extraction.injection_scale == record["injection_scale"]
    assert json.loads((folder / "record.json").read_text(encoding="utf-8")) == json.loads(json.dumps(record))
    assert {name: each.shape for name, each in load_file(folder / "av" / "vector_map.safetensors").items()} == {
        "weight": (32, 32),
        "bias": (32,),
    }


def test_peft_reads_both_adapters_for_the_whole_model(trained, small):
    folder, record = trained
    for role, blocks in (("av", BLOCK + 2), ("ar", BLOCK + 1)):
        fresh = LlamaForCausalLM(small[0].config)
        fresh.load_state_dict(small[0].state_dict())
        before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
        merged = PeftModel.from_pretrained(fresh, folder / role).merge_and_unload()
        stored = load_file(folder / role / "adapter_model.safetensors")
        assert len(stored) == 2 * 7 * blocks
        assert sum(tensor.numel() for tensor in stored.values()) == record["parameters"][role]
        name = f"model.layers.{blocks - 1}.mlp.down_proj"
        down, up = (stored[f"base_model.model.{name}.lora_{part}.weight"].float() for part in "AB")
        change = merged.state_dict()[f"{name}.weight"] - before[f"{name}.weight"]
        assert torch.allclose(change, up @ down, atol=1e-5)
        assert change.abs().max() > 1e-4


def test_what_is_generated_is_the_likeliest_token_after_token(small, passages):
    model, tokenizer = small
    train, _ = build_examples(model, tokenizer, passages, seed=0)
    training = VerbalizerTraining(model, tokenizer, train, Recipe(rank=2, batch=4, learning_rate=1e-3, longest=5))
    training.finish()
    prompt = verbalizer_prompt(tokenizer)
    embed = model.get_input_embeddings()
    with torch.inference_mode():
        rows = embed(torch.tensor([prompt.ids]))
        rows[0, prompt.site] = training.vector_map(train.vectors[:1])[0]
        for _ in range(5):
            logits = model(inputs_embeds=rows).logits[0, -1]
            rows = torch.cat([rows, embed(logits.argmax()[None, None])], dim=1)
            expected = logits.argmax()
    written = training._continue(training._injected(train.vectors[:2]))
    assert written[0][-1] == int(expected)
    assert len(training.generate(train.vectors[:3], at_once=2)) == 3


def test_the_map_starts_with_the_mean_removed_and_gives_the_norm_that_is_injected():
    vectors = torch.randn(500, 16) * torch.linspace(0.1, 5, 16) + 30
    mapped = starting_map(vectors, vectors @ torch.randn(16, 16), scale=13.0)(vectors)
    assert torch.allclose(mapped.norm(dim=-1), torch.full((500,), 13.0), atol=1e-3)
    # Without the mean the vectors point everywhere.
    assert mapped.mean(0).norm() < 2


def test_the_reconstructor_has_a_head_for_the_first_blocks(trained, small):
    folder, _ = trained
    assert load_file(folder / "ar" / "value_head.safetensors")["weight"].shape == (32, 32)
    assert len(body_up_to(small[0].model, BLOCK).layers) == BLOCK + 1


def test_passages_come_back_as_they_were_saved(passages, tmp_path):
    save_passages(passages, tmp_path / "passages.json.gz")
    assert read_passages(tmp_path / "passages.json.gz") == passages


def test_the_rate_rises_and_falls_to_nothing():
    shares = [rate_share(done / 100) for done in range(101)]
    assert max(shares) > 0.95
    assert shares[0] < 0.1
    assert shares[-1] == pytest.approx(0)


def test_losses_are_kept_in_few_rows_of_which_each_is_a_mean():
    history = [{"step": step, "loss": float(step % 2), "seconds": step / 10} for step in range(1, 81)]
    kept = thinned(history)
    assert len(kept) == 20
    assert {row["loss"] for row in kept} == {0.5}
    assert kept[0] == {"step": 4, "loss": 0.5, "seconds": 0.4}
    assert kept[-1]["step"] == 80
    assert thinned([]) == []
