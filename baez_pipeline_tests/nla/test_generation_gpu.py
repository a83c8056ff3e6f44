"""The parts of the batched engine that only a GPU runs: the kernel, compiled layers, graphs, and memory that ends."""

import pytest
import torch

from baez_pipeline.nla.generation import Generation, Prompt

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.mark.parametrize("dtype,tolerance", [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize(
    "rows,key_heads,group,head_dim,prefix",
    [(1, 16, 2, 128, 93), (5, 2, 2, 64, 7), (9, 3, 3, 64, 0), (300, 16, 2, 128, 93), (600, 4, 7, 128, 40)],
)
def test_the_kernel_stores_and_attends_as_plain_torch_does(rows, key_heads, group, head_dim, prefix, dtype, tolerance):
    from baez_pipeline.nla.decoding_attention import step_attention
    from baez_pipeline.nla.decoding_kernel import launch_step

    capacity = 145

    def random(*shape):
        return torch.randn(*shape, device="cuda").to(dtype)

    query = random(rows, 1, key_heads * group, head_dim).transpose(1, 2)
    key, value = (random(rows, 1, key_heads, head_dim).transpose(1, 2) for _ in range(2))
    prefix_keys, prefix_values = (random(key_heads, prefix, head_dim) for _ in range(2))
    slots = [random(rows, key_heads, capacity, head_dim) for _ in range(2)]
    lengths = torch.randint(0, capacity, (rows,), device="cuda")
    tensors = [query, key, value, prefix_keys, prefix_values, *slots]
    exact = [tensor.double() for tensor in tensors]
    expected = step_attention(*exact, lengths, head_dim**-0.5)
    found = launch_step(*tensors, lengths, head_dim**-0.5)
    assert float((found.double() - expected).norm() / expected.norm()) < tolerance
    assert torch.equal(slots[0].double(), exact[5]) and torch.equal(slots[1].double(), exact[6])


@pytest.fixture(scope="module")
def model():
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=500, hidden_size=64, intermediate_size=128, num_hidden_layers=7, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, sliding_window=128, query_pre_attn_scalar=32, initializer_range=0.3,
        tie_word_embeddings=False,
    )  # fmt: skip
    model = Gemma3ForCausalLM(config).eval().cuda()
    model.generation_config.eos_token_id = None
    return model


class Wordless:
    """A tokenizer that never closes a tag."""

    eos_token_id = None

    def decode(self, ids, **_):
        return "x" * len(ids)


@torch.inference_mode()
def prompt_of(model):
    return Prompt(embeddings=model.get_input_embeddings()(torch.arange(5, 25, device="cuda")), site=13)


def generation_of(model, **changed):
    settings = {"closing": "</explanation>", "max_new_tokens": 30, "temperature": 0, "batch_size": 6} | changed
    return Generation(model, Wordless(), prompt_of(model), **settings)


@torch.inference_mode()
def test_compiled_and_captured_it_writes_what_generate_writes(model):
    rows = torch.randn(17, 64)
    embeddings = prompt_of(model).embeddings.repeat(17, 1, 1)
    embeddings[:, 13] = rows.cuda()
    plain = model.generate(
        inputs_embeds=embeddings, attention_mask=torch.ones(17, 20, device="cuda").long(), max_new_tokens=30,
        do_sample=False,
    )  # fmt: skip
    texts = [text.ids for text in generation_of(model).generate(rows, range(17))]
    assert texts == plain.tolist()
    assert len({tuple(text) for text in texts}) > 8, "the vectors decide nothing"


def test_draws_are_the_same_at_every_batch_size(model):
    rows = torch.randn(9, 64)
    many, one = (generation_of(model, temperature=1.0, batch_size=size) for size in (9, 1))
    assert many.generate(rows, range(9)) == one.generate(rows, range(9))


def test_memory_that_ends_halves_the_batch(model):
    rows = torch.randn(4096, 64)
    generation = generation_of(model, max_new_tokens=100, batch_size=4096)
    few = generation_of(model, max_new_tokens=100, batch_size=64).generate(rows[:100], range(100))
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    # The slots alone: 7 layers x 2 x 2 heads x 107 tokens x 32 x 4 bytes x 4096 rows = 1.6 GB.
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 1.2e9) / total)
    try:
        texts = generation.generate(rows, range(4096))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert generation.batch_size < 4096
    assert len(texts) == 4096 and texts[:100] == few
