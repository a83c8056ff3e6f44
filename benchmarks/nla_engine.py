"""The batched verbalizer against the hardware's floors and against plain `generate`, with random weights.

    python -m benchmarks.nla_engine --shape gemma3-27b     (one GPU of 140 GB, about 5 minutes)
    python -m benchmarks.nla_engine --shape small          (any CPU, about a minute)

Every vector gets 130 tokens, greedy: no closing tag, no end of text. The stream is the usual case instead: sampled,
four times as many vectors as slots, texts that end at random, so that slots are refilled. Floors, from ceilings
measured in the same run: the weights read once per step at the copy's bandwidth, and (15 + 130) tokens x 2 operations
per weight at the matrix product's rate. `--profile` prints the kernels of one decoding step.
"""

import argparse
import gc
import json
import time
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel

from baez_pipeline.nla.decoding import Decoder
from baez_pipeline.nla.generation import Generation, Prompt
from benchmarks.nla_engine_model import (
    ENDLESS,
    LENGTH,
    MARKER,
    NEW_TOKENS,
    SHAPES,
    Shape,
    bandwidth,
    matrix_rate,
    random_model,
    random_prompt,
    random_vectors,
    seconds,
)

PARTS = ("plain", "ours", "stream", "extraction")
EVEN = 1e4
"""A temperature at which random weights draw all tokens alike, so that one in 130 ends its text."""
LONGEST = 200
"""The experiment file's default for a verbalizer."""
CONTEXT = 512
"""Tokens of an extraction context."""
PROFILED_STEPS = 2
COLUMNS = ("what", "batch", "per second", "of the compute floor", "x generate at 1", "ms per step", "peak GB")
console = Console(highlight=False, width=120)


class Report:
    """Rows as they are measured: a line at once, one table at the end, a JSON file."""

    def __init__(self, output: Path | None) -> None:
        self._output = output
        self._rows: list[dict[str, str | int | float | None]] = []
        self.facts: dict[str, float | str] = {}
        self._started = time.perf_counter()

    def add(
        self, what: str, batch: int, rate: float, floor: float, plain: float | None = None, step: float = 0
    ) -> None:
        """A measured row; `rate` per second, `step` in seconds."""
        peak = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0
        values = (what, batch, rate, rate / floor, rate / plain if plain else None, step * 1000 or None, peak or None)
        self._rows.append(dict(zip(COLUMNS, values, strict=True)))
        console.print(f"[{time.perf_counter() - self._started:.0f} s] " + " | ".join(self._shown(self._rows[-1])))
        if self._output:
            self._output.write_text(json.dumps({"facts": self.facts, "rows": self._rows}, indent=1))

    def fact(self, name: str, value: float | str, shown: str) -> None:
        """A ceiling or a floor."""
        self.facts[name] = value
        console.print(f"[{time.perf_counter() - self._started:.0f} s] {name}: {shown}")

    def print(self) -> None:
        """The whole table."""
        table = Table(box=box.SIMPLE, title="explanations, or tokens of extraction, per second")
        for column in COLUMNS:
            table.add_column(column, justify="left" if column == "what" else "right")
        for row in self._rows:
            table.add_row(*self._shown(row))
        console.print(table)

    @staticmethod
    def _shown(row: dict[str, str | int | float | None]) -> list[str]:
        shapes = ("{}", "{}", "{:,.4g}", "{:.1%}", "{:,.1f}", "{:.2f}", "{:.1f}")
        return [
            shape.format(value) if value is not None else "-" for shape, value in zip(shapes, row.values(), strict=True)
        ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="gemma3-27b" if torch.cuda.is_available() else "small")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batches", type=int, nargs="*", help="instead of the shape's own")
    parser.add_argument("--only", choices=PARTS, nargs="*", help="leave the other parts out")
    parser.add_argument("--profile", type=int, metavar="BATCH", help="print the kernels of a step of this batch")
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    asked = parser.parse_args()
    shape, only = SHAPES[asked.shape], asked.only or PARTS
    torch.manual_seed(0)
    report = Report(asked.output)
    copied, rate = bandwidth(shape, asked.device), matrix_rate(shape, asked.device)
    report.fact("copy bandwidth", copied, f"{copied / 1e12:.3g} TB/s")
    report.fact("matrix rate", rate, f"{rate / 1e12:.4g} TFLOP/s ({shape.square} cubed, {shape.dtype})")
    model = random_model(shape, asked.device)
    weights = sum(parameter.numel() for parameter in model.parameters())
    size = torch.finfo(shape.dtype).bits // 8
    report.fact("weights", weights, f"{weights / 1e9:.3g} billion, read in {weights * size / copied * 1e3:.3g} ms")
    floor = rate / ((LENGTH - MARKER + NEW_TOKENS) * 2 * weights)
    report.fact("compute floor", floor, f"{floor:.4g} explanations/s")
    report.fact("weights floor at batch 1", 1 / (NEW_TOKENS * weights * size / copied), "one read per step")
    prompt = random_prompt(model)
    if asked.profile:
        profile(model, prompt, asked.profile)
    plain = None
    if "plain" in only:
        plain = measure_plain(model, prompt, shape, report, floor)
    if "ours" in only:
        measure_ours(model, prompt, asked.batches or [*shape.batches, *shape.more_batches], report, floor, plain)
    if "stream" in only:
        measure_stream(model, prompt, shape, report, rate)
    if "extraction" in only:
        measure_extraction(model, shape, report, rate)
    report.print()


def measure_plain(model: PreTrainedModel, prompt: Prompt, shape: Shape, report: Report, floor: float) -> float:
    """`generate(inputs_embeds=...)`, as public code calls it; the rate at batch 1."""
    rates = {}
    for batch in shape.plain_batches:
        embeddings = prompt.embeddings.repeat(batch, 1, 1)
        embeddings[:, MARKER] = random_vectors(prompt, batch).to(embeddings)
        mask = torch.ones(embeddings.shape[:2], dtype=torch.long, device=embeddings.device)

        def generate(tokens: int, embeddings: torch.Tensor = embeddings, mask: torch.Tensor = mask) -> None:
            with torch.inference_mode():
                made = model.generate(
                    inputs_embeds=embeddings, attention_mask=mask, max_new_tokens=tokens, do_sample=False
                )
            assert made.shape[1] == tokens

        generate(4)
        reset_peak()
        took = seconds(lambda: generate(NEW_TOKENS), warm=0)
        rates[batch] = batch / took
        report.add("plain generate", batch, rates[batch], floor, rates.get(1), took / NEW_TOKENS)
    return rates[1]


def measure_ours(
    model: PreTrainedModel,
    prompt: Prompt,
    batches: list[int],
    report: Report,
    floor: float,
    plain: float | None,
) -> None:
    """The engine at several batch sizes, until one does not fit or is slower. The first call compiles and captures."""
    best = 0.0
    for batch in batches:
        reset_peak()
        took = ours_seconds(model, prompt, batch)
        if took is None:
            console.print(f"batch {batch} does not fit")
            break
        report.add("this engine", batch, batch / took, floor, plain, took / NEW_TOKENS)
        if batch / took < best * 0.97:
            break
        best = max(best, batch / took)


def ours_seconds(model: PreTrainedModel, prompt: Prompt, batch: int) -> float | None:
    """Of one full batch; None when it does not fit."""
    generation = Generation(
        model, ENDLESS, prompt, closing="</explanation>", max_new_tokens=NEW_TOKENS, temperature=0, batch_size=batch
    )
    rows = random_vectors(prompt, batch)
    first = seconds(lambda: generation.generate(rows, range(batch)), warm=0)
    console.print(f"first call at batch {batch}, with compiling: {first:.1f} s")
    if generation.batch_size < batch:
        return None
    started = time.perf_counter()
    made = generation.generate(rows, range(batch))
    took = time.perf_counter() - started
    assert all(len(text.ids) == NEW_TOKENS for text in made)
    return took


def measure_stream(model: PreTrainedModel, prompt: Prompt, shape: Shape, report: Report, rate: float) -> None:
    """Sampled texts of random lengths, more than there are slots. The floor is that of their mean length."""
    weights = sum(parameter.numel() for parameter in model.parameters())
    ends = list(range(0, model.config.vocab_size, NEW_TOKENS))
    model.generation_config.eos_token_id = ends
    try:
        generation = Generation(
            model,
            ENDLESS,
            prompt,
            closing="</explanation>",
            max_new_tokens=LONGEST,
            temperature=EVEN,
            batch_size=shape.stream,
        )
    finally:
        model.generation_config.eos_token_id = None
    reset_peak()
    generation.generate(random_vectors(prompt, shape.stream), range(shape.stream))
    count = 4 * shape.stream
    rows = random_vectors(prompt, count)
    started = time.perf_counter()
    made = generation.generate(rows, range(count))
    took = time.perf_counter() - started
    mean = sum(len(text.ids) for text in made) / count
    floor = rate / ((LENGTH - MARKER + mean) * 2 * weights)
    report.add(f"stream of {count}, mean {mean:.0f} tokens", generation.batch_size, count / took, floor)


def measure_extraction(model: PreTrainedModel, shape: Shape, report: Report, rate: float) -> None:
    """Forward passes of the blocks that extraction needs, and of all."""
    stack = model.get_decoder()
    whole = len(stack.layers)
    block = sum(parameter.numel() for parameter in stack.layers[0].parameters())
    try:
        for batch in shape.contexts:
            ids = torch.randint(10, 10_000, (batch, CONTEXT), device=model.device)
            for blocks in (shape.truncated, whole):
                stack.config.num_hidden_layers = blocks
                reset_peak()
                with torch.inference_mode():
                    took = seconds(lambda: stack(input_ids=ids, use_cache=False), warm=1, times=2)  # noqa: B023
                tokens = batch * CONTEXT / took
                floor = rate / (2 * block * blocks)
                report.add(f"extraction, {blocks} of {whole} blocks", batch, tokens, floor, step=took)
    finally:
        stack.config.num_hidden_layers = whole


def profile(model: PreTrainedModel, prompt: Prompt, batch: int) -> None:
    """The kernels of a step in the middle of a text, the longest first."""
    with torch.inference_mode():
        decoder = Decoder(model, prompt, max_new_tokens=NEW_TOKENS, temperature=0)
    activities = [torch.profiler.ProfilerActivity.CPU]
    if decoder.on_one_gpu:
        activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.inference_mode(), decoder.attending():
        slots = decoder.slots(batch)
        for first in range(0, batch, 128):
            places = list(range(first, min(first + 128, batch)))
            decoder.admit(slots, places, random_vectors(prompt, len(places)), places)
        slots.lengths += NEW_TOKENS // 2
        took = seconds(lambda: decoder.step(slots), warm=3, times=3)
        with torch.profiler.profile(activities=activities) as profiled:
            for _ in range(PROFILED_STEPS):
                decoder.step(slots)
            torch.cuda.synchronize() if decoder.on_one_gpu else None
    by = "self_cuda_time_total" if decoder.on_one_gpu else "self_cpu_time_total"
    console.print(f"{PROFILED_STEPS} steps of batch {batch}, uncaptured ({took * 1000:.1f} ms each on the clock)")
    print(profiled.key_averages().table(sort_by=by, row_limit=15, max_name_column_width=70), flush=True)


def reset_peak() -> None:
    """Free what is unused, and count memory anew."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()
