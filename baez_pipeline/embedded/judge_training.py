"""The command that trains the embedded judge's adapter: `python -m baez_pipeline.embedded.judge_training`.

A step shows the judge windows of texts and labels that each say a rule, all pairs at once. Three questions are asked of
a pair: which tokens are active, whether any is (detection), and whether marked ones are (fuzz). Needs torch,
transformers and gguf, and gensim for the news; not polars, so that it runs on a machine with a GPU and little else.
"""

import argparse
import copy
import json
import math
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from baez_pipeline.embedded.judge_batches import TrainingSettings, TrainingStep, TrainingSteps
from baez_pipeline.embedded.judge_lessons import Teacher
from baez_pipeline.embedded.judge_model import ADAPTER, JudgeModel, save_adapter
from baez_pipeline.embedded.judge_texts import Topic, news_texts, training_topics, written_texts
from baez_pipeline.embedded.judge_words import TextWords, index_words
from baez_pipeline.errors import BaezError
from baez_pipeline.llm.smollm2 import IDENTITY, load_smollm2
from baez_pipeline.progress import tracked

_WORKERS = 14
_LONGEST_LABEL = 18
"""Tokens with both marks."""
_HARD_SHARE = 0.3


def loss_of(model: JudgeModel, step: TrainingStep) -> dict[str, Tensor]:
    """The three losses, each the mean over labels of a cross-entropy in which both answers weigh the same."""
    # Texts and labels go through the model together: its many small operations cost more than the padding.
    step = _with_short_labels(step)
    width = max(step.ids.shape[1], step.label_ids.shape[1])
    ids = torch.cat([F.pad(each, (0, width - each.shape[1])) for each in (step.ids, step.label_ids)])
    text_states, label_states = model.states(ids).split([len(step.ids), len(step.label_ids)])
    tokens = model.token_vectors(text_states[:, : step.ids.shape[1]], step.lengths)
    vectors, biases = model.label_vectors(label_states[:, : step.label_ids.shape[1]], step.label_lengths)
    products = torch.einsum("wtd,lkd->klwt", tokens, vectors) + biases.T[:, :, None, None]
    odds = products.logsumexp(0)
    valid = torch.arange(tokens.shape[1], device=tokens.device) < step.lengths[:, None]
    active = step.active.any(-1)
    positive = active | step.of_text
    known = ~step.unknown
    detection = odds.masked_fill(~valid, -math.inf).logsumexp(-1)
    has_rule = ~step.of_text.any(-1)
    marked = _marked(step.active, valid)
    right = torch.where(active[..., None], step.active, marked) & valid
    wrong = marked & ~step.active
    exact = has_rule & known.all(1)
    # A silent word of a window in which the label's feature is active elsewhere is wrong too, for rules about words.
    wrong_counts = wrong.any(-1) & known & (~positive | has_rule[:, None])
    return {
        "tokens": _balanced(odds, step.active, valid & known[..., None] & has_rule[:, None, None], exact),
        "detection": _balanced(detection, positive, known, exact),
        "fuzz": _balanced_pair(_mean_odds(odds, right), positive, _mean_odds(odds, wrong), wrong_counts, exact),
    }


def _with_short_labels(step: TrainingStep) -> TrainingStep:
    """Without the few labels that would make the products of all labels several times as large."""
    short = step.label_lengths <= _LONGEST_LABEL
    return step._replace(
        label_ids=step.label_ids[short][:, :_LONGEST_LABEL],
        label_lengths=step.label_lengths[short],
        active=step.active[short],
        of_text=step.of_text[short],
        unknown=step.unknown[short],
    )


def _marked(active: Tensor, valid: Tensor) -> Tensor:
    """For each label and window tokens to mark: another label's active ones where there are any, else a random one."""
    others = active.roll(int(torch.randint(1, len(active), ())), 0)
    chance = torch.rand(active.shape, device=active.device).masked_fill(~valid, 0)
    some = chance >= chance.amax(-1, keepdim=True)
    return torch.where(others.any(-1, keepdim=True), others, some & valid)


def _mean_odds(odds: Tensor, marked: Tensor) -> Tensor:
    """Logarithm of the mean odds of marked tokens; 0 where none is marked."""
    total = odds.masked_fill(~marked, -math.inf).logsumexp(-1) - marked.sum(-1).clamp(min=1).log()
    return torch.where(marked.any(-1), total, torch.zeros_like(total))


def _balanced(odds: Tensor, truth: Tensor, known: Tensor, exact: Tensor) -> Tensor:
    return _balanced_pair(odds, truth & known, odds, ~truth & known, exact)


def _balanced_pair(right: Tensor, is_right: Tensor, wrong: Tensor, is_wrong: Tensor, exact: Tensor) -> Tensor:
    """Cross-entropy of right and wrong answers, each averaged per label; labels without either are left out."""
    right, is_right, wrong, is_wrong = (each.flatten(1) for each in (right, is_right, wrong, is_wrong))
    missed = (F.softplus(-right) * is_right).sum(1) / is_right.sum(1).clamp(min=1)
    mistaken = (F.softplus(wrong) * is_wrong).sum(1) / is_wrong.sum(1).clamp(min=1)
    # Where the rule is sure of every answer, mistakes weigh by how bad they are: texts with one word of two, say.
    weight = torch.sigmoid(wrong.detach()) * is_wrong
    hard = (F.softplus(wrong) * weight).sum(1) / weight.sum(1).clamp(min=1e-6)
    mistaken = torch.where(exact, (1 - _HARD_SHARE) * mistaken + _HARD_SHARE * hard, mistaken)
    usable = is_right.any(1) & is_wrong.any(1)
    return ((missed + mistaken) * usable).sum() / usable.sum().clamp(min=1)


def train_judge(
    model: JudgeModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: TextWords,
    settings: TrainingSettings,
    device: str,
    *,
    topics: list[Topic],
) -> list[dict[str, float]]:
    """Train the adapter in place.

    Returns:
        The losses, averaged over a twentieth of the steps each.
    """
    teacher = Teacher(texts, topics)
    steps = DataLoader(
        TrainingSteps(texts, teacher, tokenizer, settings),
        batch_size=None,
        num_workers=0 if device == "cpu" else _WORKERS,
        pin_memory=device != "cpu",
        worker_init_fn=_work_alone,
    )
    torch.manual_seed(settings.seed)
    torch.set_float32_matmul_precision("high")
    model.train()
    optimizer = torch.optim.AdamW(model.trained().values(), lr=settings.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / settings.steps))
    history: list[dict[str, float]] = []
    sums: dict[str, Tensor] = {}
    every = max(1, settings.steps // 20)
    numbers = tracked(range(1, settings.steps + 1), "Training the judge", unit="steps")
    for number, step in zip(numbers, steps, strict=True):
        losses = loss_of(model, TrainingStep(*(each.to(device, non_blocking=True) for each in step)))
        loss = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.trained().values(), 1.0)
        optimizer.step()
        schedule.step()
        sums = {name: sums.get(name, 0) + value.detach() for name, value in losses.items()}
        if number % every == 0:
            history.append({"step": number, **{name: round(float(value) / every, 4) for name, value in sums.items()}})
            sums = {}
    return history


def _work_alone(worker: int) -> None:
    """Keep a worker off the tokenizer's threads, which a fork does not take along: it would wait for them forever."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)


def _rate(done: float) -> float:
    """Share of the learning rate after a share of the steps: a rise over the first 5 %, then half a cosine."""
    return min(done / 0.05, 0.5 + 0.5 * math.cos(math.pi * done))


def train_and_write(output: Path, device: str, settings: TrainingSettings) -> dict[str, object]:
    """Write the texts, train and write the adapter.

    Args:
        output: the adapter's file; its record is written beside it, with the suffix `.json`.
        device: a torch device name.
        settings: see `TrainingSettings`.

    Returns:
        The record: settings, sizes, losses and seconds.
    """
    start = time.monotonic()
    smollm2, tokenizer = load_smollm2(device=device)
    writer = copy.deepcopy(smollm2).bfloat16()
    topics = training_topics()
    written = written_texts(writer, tokenizer, topics, per_topic=settings.texts_per_topic, seed=settings.seed)
    del writer
    texts = index_words([*written, *news_texts()], tokenizer, seed=settings.seed)
    torch.manual_seed(settings.seed)
    model = JudgeModel(smollm2, settings.shape).to(device)
    trained = time.monotonic()
    history = train_judge(model, tokenizer, texts, settings, device, topics=topics)
    record = {
        "made_by": "python -m baez_pipeline.embedded.judge_training",
        "model": IDENTITY,
        "settings": asdict(settings),
        "texts": len(texts.piece_start),
        "tokens": len(texts.tokens),
        "words": len(texts.vocabulary),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine(),
        "seconds_before_training": round(trained - start),
        "seconds_of_training": round(time.monotonic() - trained),
        "losses": history,
    }
    save_adapter(model, output, {"model": IDENTITY, "licence": "Apache-2.0"})
    output.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument("--output", type=Path, default=ADAPTER, help="the adapter's file")
    arguments = parser.parse_args()
    try:
        train_and_write(arguments.output, arguments.device, TrainingSettings())
    except BaezError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
