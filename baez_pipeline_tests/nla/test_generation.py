"""The batched engine on the CPU: a row gets the model's own text, whatever stands beside it in the batch."""

import pytest
import torch
from transformers import (
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from baez_pipeline.nla.generation import ArchitectureError, Generated, Generation, Prompt

SIZES = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    # Large, so that a row's vector decides its text.
    "initializer_range": 0.3,
}
# Tied, a random model's token would say itself for ever.
GEMMA = SIZES | {
    "head_dim": 16,
    "sliding_window": 64,
    "query_pre_attn_scalar": 16,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "tie_word_embeddings": False,
}
LENGTH, NEW = 20, 15


def multimodal_gemma():
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 28, "patch_size": 14}  # fmt: skip
    return Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config=GEMMA,
            vision_config=vision,
            mm_tokens_per_image=4,
            image_token_index=90,
            tie_word_embeddings=False,
        )
    )


MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
    "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**GEMMA)),
    "multimodal gemma3": multimodal_gemma,
}


class Letters:
    """A tokenizer of one letter per token, so that no closing tag of more is ever written by chance."""

    eos_token_id = None

    def decode(self, ids, **_):
        return "".join(chr(ord("a") + token % 26) for token in ids)


def made(build):
    torch.manual_seed(1)
    model = build().eval()
    model.generation_config.eos_token_id = None
    return model


@torch.inference_mode()
def prompt_of(model, site=13):
    return Prompt(embeddings=model.get_input_embeddings()(torch.arange(3, 3 + LENGTH)), site=site)


def vectors(count, width=48):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(2))


def generation_of(model, *, site=13, tokenizer=None, **changed):
    settings = {"closing": "</explanation>", "max_new_tokens": NEW, "temperature": 0, "batch_size": 4} | changed
    return Generation(model, tokenizer or Letters(), prompt_of(model, site), **settings)


@torch.inference_mode()
def plainly(model, rows, site=13):
    """Each row by itself, token by token through the model's own forward pass, with nothing cached."""
    embeddings = prompt_of(model).embeddings.repeat(len(rows), 1, 1)
    embeddings[:, site] = rows
    texts = []
    for _ in range(NEW):
        ids = model(inputs_embeds=embeddings).logits[:, -1].argmax(dim=-1)
        texts.append(ids)
        embeddings = torch.cat([embeddings, model.get_input_embeddings()(ids)[:, None]], dim=1)
    return torch.stack(texts, dim=1).tolist()


@pytest.fixture(scope="module")
def llama():
    return made(MODELS["llama"])


@pytest.mark.parametrize("name", MODELS)
def test_every_family_writes_what_its_own_forward_pass_says(name):
    model = made(MODELS[name])
    rows = vectors(7)
    texts = generation_of(model).generate(rows, range(7))
    assert [text.ids for text in texts] == plainly(model, rows)
    assert {text.stopped for text in texts} == {"length"}
    assert len({tuple(text.ids) for text in texts}) == 7, "the vectors decide nothing"


def test_a_marker_at_the_prompts_start_needs_no_prefix(llama):
    rows = vectors(3)
    assert [text.ids for text in generation_of(llama, site=0).generate(rows, range(3))] == plainly(llama, rows, site=0)


def test_a_real_model_writes_the_same_at_batch_one_and_batch_many(smollm2):
    model, tokenizer = smollm2
    ids = tokenizer("Describe the meaning of the vector * in a few words:\n")["input_ids"]
    with torch.inference_mode():
        prompt = Prompt(embeddings=model.get_input_embeddings()(torch.tensor(ids)), site=6)
    rows = vectors(4, 576)
    rows *= prompt.embeddings.norm(dim=1).mean() / rows.norm(dim=1, keepdim=True)
    texts = [
        Generation(
            model, tokenizer, prompt, closing="</explanation>", max_new_tokens=8, temperature=0, batch_size=size
        ).generate(rows, range(4))
        for size in (1, 3, 4)
    ]
    assert texts[0] == texts[1] == texts[2]
    assert len({tuple(text.ids) for text in texts[0]}) == 4, "the vectors decide nothing"


def test_rows_that_end_early_give_their_slots_to_waiting_vectors(llama):
    rows = vectors(23)
    whole = plainly(llama, rows)
    ends = [whole[place][place] for place in range(3, 12)]
    llama.generation_config.eos_token_id = ends
    try:
        texts = {size: generation_of(llama, batch_size=size).generate(rows, range(23)) for size in (1, 4, 23)}
    finally:
        llama.generation_config.eos_token_id = None
    assert texts[1] == texts[4] == texts[23]
    for text, ids in zip(texts[4], whole, strict=True):
        end = next((place for place, token in enumerate(ids) if token in ends), None)
        assert text == Generated(ids=ids[:end], stopped="length" if end is None else "eos")
    assert len({len(text.ids) for text in texts[4]}) > 3, "all rows are equally long: nothing was replaced"


def test_the_tokenizers_own_eos_ends_a_row_too(llama):
    rows = vectors(1)
    tokenizer = Letters()
    tokenizer.eos_token_id = plainly(llama, rows)[0][5]
    (text,) = generation_of(llama, tokenizer=tokenizer).generate(rows, [0])
    assert text.stopped == "eos" and tokenizer.eos_token_id not in text.ids


def test_draws_do_not_depend_on_batch_or_order(llama):
    rows, seeds = vectors(9), [7, 2**62 + 7, *range(100, 107)]
    together = generation_of(llama, temperature=1.0, batch_size=9).generate(rows, seeds)
    turned = generation_of(llama, temperature=1.0, batch_size=2).generate(rows.flip(0), seeds[::-1])
    alone = generation_of(llama, temperature=1.0, batch_size=1).generate(rows[3:4], seeds[3:4])
    assert together == turned[::-1]
    assert together[3] == alone[0]


def test_the_seed_decides_a_draw_and_the_temperature_its_spread(llama):
    same = vectors(1).repeat(12, 1)
    texts = generation_of(llama, temperature=1.0).generate(same, [*range(11), 0])
    assert texts[0] == texts[11]
    assert len({tuple(text.ids) for text in texts}) == 11
    cold = generation_of(llama, temperature=1e-4).generate(same[:1], [5])
    assert [text.ids for text in cold] == plainly(llama, same[:1])


class Cramped(LlamaForCausalLM):
    """A model whose memory ends above some rows per layer."""

    most_rows = 1_000

    def __init__(self, config):
        super().__init__(config)
        for layer in self.model.layers:
            layer.mlp.register_forward_pre_hook(self._allocate)
        self.seen = []

    def _allocate(self, _, arguments):
        self.seen.append(len(arguments[0]))
        if len(arguments[0]) > self.most_rows:
            raise torch.OutOfMemoryError("CUDA out of memory.")


def test_memory_that_ends_halves_the_batch_and_loses_no_text(caplog):
    model = made(lambda: Cramped(LlamaConfig(**SIZES)))
    rows = vectors(11)
    expected = generation_of(model, batch_size=2).generate(rows, range(11))
    generation = generation_of(model, batch_size=10)
    model.most_rows = 3
    assert generation.generate(rows, range(11)) == expected
    assert generation.batch_size == 2
    assert "10 rows at once; going on with 5" in caplog.text
    model.seen.clear()
    generation.generate(rows, range(11))
    assert max(model.seen) == 2, "the larger batch is tried again"


def test_memory_that_ends_midway_keeps_what_was_finished(llama):
    model = made(lambda: Cramped(LlamaConfig(**SIZES)))
    rows = vectors(8)
    expected = plainly(model, rows)
    generation = generation_of(model, batch_size=4)
    model.seen.clear()
    generation.generate(rows[:4], range(4))
    passes = len(model.seen)

    def ends_later(_, arguments):
        if len(model.seen) > passes * 1.4 and len(arguments[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    model.seen.clear()
    model.model.layers[1].register_forward_pre_hook(ends_later)
    assert [text.ids for text in generation.generate(rows, range(8))] == expected
    assert generation.batch_size == 2


def test_one_row_that_does_not_fit_is_an_error_and_leaves_the_model_as_it_was(llama):
    model = made(lambda: Cramped(LlamaConfig(**SIZES)))
    generation = generation_of(model)
    model.most_rows = 0
    with pytest.raises(torch.OutOfMemoryError):
        generation.generate(vectors(3), range(3))
    model.most_rows = 1_000
    assert len(plainly(model, vectors(1))[0]) == NEW


def test_no_vectors_give_no_texts(llama):
    assert generation_of(llama).generate(vectors(0), []) == []


def test_a_model_of_another_build_is_refused():
    with pytest.raises(ArchitectureError, match="GPT2LMHeadModel has no part with layers"):
        generation_of(made(lambda: GPT2LMHeadModel(GPT2Config(vocab_size=97, n_embd=48, n_layer=1, n_head=2))))


def test_a_model_that_does_more_than_its_layers_is_refused():
    granite = made(lambda: GraniteForCausalLM(GraniteConfig(**SIZES, embedding_multiplier=12.0)))
    with pytest.raises(ArchitectureError, match="computes granite wrongly: the prompt's last state is off by"):
        generation_of(granite)


def test_a_window_narrower_than_prompt_and_text_is_refused():
    gemma = made(MODELS["gemma3"])
    with pytest.raises(ArchitectureError, match=r"window holds 64 tokens, .* need 80: lower `max_new_tokens` by .* 16"):
        generation_of(gemma, max_new_tokens=60)
