"""The command that trains the small pair: `python -m baez_pipeline.small_nla.training`.

Needs torch, transformers, gguf and safetensors, and the file of public passages that
`python -m baez_pipeline.small_nla.passages FILE` makes: neither polars nor gensim.
"""

import argparse
import copy
import json
import os
import platform
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from baez_pipeline.embedded import BLOCK
from baez_pipeline.errors import BaezError
from baez_pipeline.llm.smollm2 import IDENTITY, load_smollm2
from baez_pipeline.small_nla import FOLDER
from baez_pipeline.small_nla.adapters import count, parameters_of
from baez_pipeline.small_nla.examples import Examples, build_examples
from baez_pipeline.small_nla.fitting import Budget, thinned
from baez_pipeline.small_nla.measures import text_measures
from baez_pipeline.small_nla.passages import Passage, read_passages, save_passages, written_passages
from baez_pipeline.small_nla.prompts import write_sidecar
from baez_pipeline.small_nla.reconstructor_training import ReconstructorTraining, normalized_variance
from baez_pipeline.small_nla.verbalizer_training import Recipe, VerbalizerTraining

RECORD_FILE = "record.json"
_VERBALIZER_SHARE = 0.6
"""Of the time that is left when its training begins; then it writes explanations, and the reconstructor has the rest.
"""
_SAMPLES = 6
_LAST_SECONDS = 45.0
"""For encoding, compiling and the last figures."""


@dataclass(frozen=True)
class Settings:
    """The whole training."""

    verbalizer: Recipe = field(default_factory=lambda: Recipe(rank=12, batch=256, learning_rate=1e-3, longest=72))
    reconstructor: Recipe = field(default_factory=lambda: Recipe(rank=6, batch=256, learning_rate=1e-3, longest=78))
    verbalizer_steps: int = 4000
    reconstructor_steps: int = 2000
    own_explanations: int = 20_000
    """Explanations by the verbalizer that the reconstructor is trained on."""
    at_once: int = 2048
    seed: int = 0


def train_and_write(
    output: Path,
    passages: list[Passage],
    smollm2: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    settings: Settings,
    *,
    seconds_left: float,
) -> dict[str, Any]:
    """Train both models and write them with their sidecars and record.

    Args:
        output: gets `av/`, `ar/` and the record.
        passages: texts, some of them held out.
        smollm2: the subject and base, float32.
        tokenizer: its tokenizer.
        settings: sizes and steps.
        seconds_left: for all of it; the rates of both trainings fall by whichever ends first, steps or time.

    Returns:
        The record.
    """
    start = time.monotonic()
    seconds: dict[str, float] = {}

    def lap(name: str) -> None:
        seconds[name] = round(time.monotonic() - start - sum(seconds.values()), 1)

    torch.manual_seed(settings.seed)
    torch.set_float32_matmul_precision("high")
    train, held_out = build_examples(smollm2, tokenizer, passages, seed=settings.seed)
    variance = normalized_variance(train.vectors)
    lap("examples")
    verbalizer = VerbalizerTraining(smollm2, tokenizer, train, settings.verbalizer)
    record: dict[str, Any] = {
        "made_by": "python -m baez_pipeline.small_nla.training",
        "model": IDENTITY,
        "layer": BLOCK,
        "settings": asdict(settings),
        "seconds_allowed": round(seconds_left),
        "passages": dict(Counter(f"{p.source}{', held out' if p.held_out else ''}" for p in passages)),
        "examples": len(train),
        "held_out": len(held_out),
        "held_out_sources": dict(Counter(held_out.sources)),
        "normalized_variance": variance,
        "injection_scale": verbalizer.injection_scale,
        "parameters": {"av": count(parameters_of(verbalizer.adapted))},
        "device": torch.cuda.get_device_name() if smollm2.device.type == "cuda" else platform.machine(),
        "torch": torch.__version__,
        "seconds": seconds,
    }
    write = _Writer(output, record)
    for role, recipe in (("av", settings.verbalizer), ("ar", settings.reconstructor)):
        write_sidecar(
            output / role,
            role,
            tokenizer,
            d_model=smollm2.config.hidden_size,
            injection_scale=verbalizer.injection_scale if role == "av" else None,
            normalized_variance=variance,
            training={"lr": recipe.learning_rate, "lora_rank": recipe.rank, "batch_size": recipe.batch},
        )
    budget = Budget(settings.verbalizer_steps, _VERBALIZER_SHARE * (seconds_left - time.monotonic() + start))
    record["verbalizer_losses"] = thinned(verbalizer.train(train, budget, output / "av", seed=settings.seed))
    lap("verbalizer")
    shuffled = held_out.vectors.roll(1, 0)
    record["held_out_loss"] = {
        "right_vector": verbalizer.mean_loss(held_out.vectors, held_out.texts),
        "shuffled_vector": verbalizer.mean_loss(shuffled, held_out.texts),
    }
    write()
    verbalizer.finish()
    own = train.rows(range(min(settings.own_explanations, len(train))))
    own_texts = verbalizer.generate(own.vectors, at_once=settings.at_once)
    said = verbalizer.generate(held_out.vectors, at_once=settings.at_once)
    lap("explanations")
    record["held_out_text"] = _text_figures(said, held_out)
    record["samples"] = [
        {"text": before[-160:] + token, "by_rule": rule, "by_verbalizer": text}
        for before, token, rule, text in list(zip(held_out.before, held_out.tokens, held_out.texts, said, strict=True))[
            :_SAMPLES
        ]
    ]
    write()
    reconstructor = ReconstructorTraining(smollm2, tokenizer, settings.reconstructor)
    record["parameters"]["ar"] = count(parameters_of(reconstructor.adapted))
    losses = reconstructor.train(
        [*train.texts, *own_texts],
        torch.cat([train.vectors, own.vectors]),
        range(len(train), len(train) + len(own)),
        Budget(settings.reconstructor_steps, max(1.0, seconds_left - time.monotonic() + start - _LAST_SECONDS)),
        output / "ar",
        variance=variance,
        seed=settings.seed,
    )
    record["reconstructor_losses"] = thinned(losses)
    lap("reconstructor")
    record["fve"] = _fve_figures(reconstructor, said, held_out, variance)
    lap("figures")
    write()
    return record


def _text_figures(said: list[str], held_out: Examples) -> dict[str, dict[str, float]]:
    """Text measures of the held-out explanations, by source, and against the positions of others."""
    contexts = [before + token for before, token in zip(held_out.before, held_out.tokens, strict=True)]
    everything: dict[str, Any] = {"tokens": held_out.tokens, "contexts": contexts, "topic_words": held_out.topic_words}
    figures = {
        "all": text_measures(said, **everything),
        "all, shuffled": text_measures([*said[1:], said[0]], **everything),
    }
    for source in sorted(set(held_out.sources)):
        rows = [row for row, each in enumerate(held_out.sources) if each == source]
        part = {name: [values[row] for row in rows] for name, values in everything.items()}
        figures[source] = text_measures([said[row] for row in rows], **part)
    return figures


def _fve_figures(
    reconstructor: ReconstructorTraining, said: list[str], held_out: Examples, variance: float
) -> dict[str, float]:
    """Fraction of variance explained on held-out positions, from the right text and from others."""
    texts = {
        "verbalizer": said,
        "verbalizer_of_other_positions": [*said[1:], said[0]],
        "rule": held_out.texts,
        "rule_of_other_positions": [*held_out.texts[1:], held_out.texts[0]],
        "empty": [""] * len(said),
    }
    return {
        name: round(1 - reconstructor.mean_error(each, held_out.vectors) / variance, 4) for name, each in texts.items()
    }


class _Writer:
    """Writes the record as far as it has come: a training that is cut off leaves what it knows."""

    def __init__(self, output: Path, record: dict[str, Any]) -> None:
        self._path, self._record = output / RECORD_FILE, record
        output.mkdir(parents=True, exist_ok=True)
        self()

    def __call__(self) -> None:
        self._path.write_text(json.dumps(self._record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=Path, required=True, help="from small_nla.passages; written ones are added")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the pair")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="torch device")
    parser.add_argument("--minutes", type=float, default=8.5, help="of the whole command, about")
    arguments = parser.parse_args()
    start = time.monotonic()
    # Nothing here forks, and the tokenizer's threads save most of the time of hundreds of thousands of texts.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        passages = read_passages(arguments.passages)
        smollm2, tokenizer = load_smollm2(device=arguments.device)
        writer = copy.deepcopy(smollm2).to(torch.bfloat16 if arguments.device != "cpu" else torch.float32)
        passages = [*passages, *written_passages(writer, tokenizer, seed=0, but={each.source for each in passages})]
        # A second training, and the evaluation, have the same texts.
        save_passages(passages, arguments.passages)
        del writer
        record = train_and_write(
            arguments.output,
            passages,
            smollm2,
            tokenizer,
            Settings(),
            seconds_left=60 * arguments.minutes - time.monotonic() + start,
        )
        print(
            json.dumps({name: record[name] for name in ("held_out_loss", "held_out_text", "fve", "seconds")}, indent=1)
        )
    except BaezError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
