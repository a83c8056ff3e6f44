"""Requests to models over HTTP: how near a run comes to the endpoint's own time, and what a run sends.

    .venv/bin/python -m benchmarks.http_models

An endpoint in a process of its own answers every request after one second. Timed are the label and score steps of 40
features, the planted ones and 3 methods, controls included, as a run makes them: a family's steps at the same time,
with their tables and the ledger. Drawing and explaining come before, and the imports of torch and delphi. The ideal is
requests x 1 s / concurrency. Steps made one after the other came to 1.28 to 1.36 times it, before there were controls:
40 labels of a method do not fill 64 slots, and each step has a last wave.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from starlette.applications import Starlette

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment, load_experiment
from baez_pipeline.llm import delphi_import
from baez_pipeline.llm.chat import Request
from baez_pipeline.llm.request_body import request_body
from baez_pipeline.steps import Chain, build_chain, families, run_step, run_steps
from baez_pipeline.steps.estimate import estimate
from baez_pipeline_tests.neuronpedia_server import FakeNeuronpedia
from baez_pipeline_tests.nla_service import FakeNla
from baez_pipeline_tests.served import served

WINDOWS = (16, 32, 64, 128, "whole")
ONE_AFTER_THE_OTHER = 60
"""Requests, to know the time of one."""
INPUTS = ("feature_sample", "feature_records", "example_splits", "nla_explanations")
console = Console(highlight=False)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=40)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=1.0, help="until the endpoint answers")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    assert delphi_import.Classifier
    features, nla = FakeNeuronpedia(width=262_144), FakeNla()
    with (
        tempfile.TemporaryDirectory() as data,
        served(Starlette(routes=[*features.routes(), *nla.routes()])) as neuronpedia,
        _endpoint(asked.seconds) as endpoint,
    ):
        experiment = _experiment(asked.features, asked.concurrency, neuronpedia, endpoint)
        equipment = Equipment(experiment, data)
        chain = build_chain(experiment)
        run_step(chain, chain["feature_sample"], equipment)
        for name in INPUTS[1:]:
            run_step(chain, chain[name], equipment, chain.kept_features(equipment))
        _pooled(chain, equipment, asked.concurrency, asked.seconds)
        asyncio.run(_one_after_the_other(chain, equipment))
        _windows(experiment, Path(data))


def _pooled(chain: Chain, equipment: Equipment, concurrency: int, seconds: float) -> None:
    table = Table(title=f"{concurrency} requests in flight, {seconds:g} s each", box=box.SIMPLE)
    for heading in ("steps", "requests", "seconds", "ideal", "ratio"):
        table.add_column(heading, justify="left" if heading == "steps" else "right")
    features = chain.kept_features(equipment)
    total, requests = 0.0, 0
    for steps in families(step for step in chain if step.asks(equipment)).values():
        begun = time.monotonic()
        run_steps(chain, steps, equipment, features)
        taken = time.monotonic() - begun
        made = equipment.answers.spent(equipment.experiment.name).tries - requests
        ideal = made * seconds / concurrency
        names = "\n".join(step.name for step in steps)
        table.add_row(names, str(made), f"{taken:.2f}", f"{ideal:.2f}", f"{taken / ideal:.2f}")
        total, requests = total + taken, requests + made
    ideal = requests * seconds / concurrency
    table.add_row("all", str(requests), f"{total:.2f}", f"{ideal:.2f}", f"{total / ideal:.2f}")
    console.print(table)
    ledger = equipment.answers.ledger(equipment.experiment.name)
    labels = len(features) * len(equipment.experiment.labeling.methods)
    tokens = ledger["tokens_in"].sum() + ledger["tokens_out"].sum()
    console.print(f"{requests} requests, {tokens:,} tokens by the endpoint's count, {tokens / labels:,.0f} per label.")


async def _one_after_the_other(chain: Chain, equipment: Equipment) -> None:
    """Each request is waited for before the next is sent."""
    requests = equipment.answers.spent(equipment.experiment.name).tries
    settings = equipment.experiment.scoring.judge
    request = Request(messages=({"role": "user", "content": "One of many."},))
    begun = time.monotonic()
    async with openai.AsyncOpenAI(api_key="none", base_url=settings.base_url, max_retries=0) as client:
        for _ in range(ONE_AFTER_THE_OTHER):
            await client.chat.completions.create(**request_body(settings, request.messages, request))
    taken = time.monotonic() - begun
    console.print(
        f"One after the other, as the article's code asks: {taken:.1f} s for {ONE_AFTER_THE_OTHER} requests, "
        f"so about {taken / ONE_AFTER_THE_OTHER * requests:.0f} s for {requests}."
    )


def _windows(experiment: Experiment, data: Path) -> None:
    table = Table(title="What the window does (tokens by SmolLM2's tokenizer)", box=box.SIMPLE)
    for heading in ("window", "requests", "tokens in", "per label", "USD per label"):
        table.add_column(heading, justify="right")
    for window in WINDOWS:
        # A name and a folder of its own: its tables and kept answers are no other window's.
        changed = experiment.model_copy(
            update={"name": f"window_{window}", "split": experiment.split.model_copy(update={"window": window})}
        )
        found = estimate(build_chain(changed), Equipment(changed, str(data / f"window_{window}")))
        tokens = sum(line.tokens_in for line in found.lines)
        labels = found.features * len(experiment.labeling.methods)
        table.add_row(
            str(window),
            str(sum(line.questions for line in found.lines)),
            f"{tokens:,}",
            f"{tokens / labels:,.0f}",
            f"{sum(line.usd for line in found.lines) / labels:.4f}",
        )
    console.print(table)


def _experiment(features: int, concurrency: int, neuronpedia: str, endpoint: str) -> Experiment:
    """`gemma3_27b` at local addresses; its label writer and judge are one endpoint."""
    shipped = load_experiment("gemma3_27b")

    def changed(table: Any, **settings: object) -> Any:
        return table.model_copy(update=settings)

    address = {"base_url": f"{endpoint}/v1", "key_variable": None, "concurrency": concurrency, "model": "slow"}
    api = f"{neuronpedia}/api"
    engine = changed(shipped.nla.engine, base_url=api, requests_per_hour=1_000_000)
    return changed(
        shipped,
        sample=changed(shipped.sample, features=features),
        source=changed(shipped.source, base_url=api),
        nla=changed(shipped.nla, engine=engine),
        labeling=changed(shipped.labeling, writer=changed(shipped.labeling.writer, **address)),
        scoring=changed(shipped.scoring, judge=changed(shipped.scoring.judge, **address)),
        budget=changed(shipped.budget, max_usd=None),
    )


@contextmanager
def _endpoint(seconds: float) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.slow_endpoint", "--seconds", str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdin
        yield process.stdout.readline().strip()
        process.stdin.close()


if __name__ == "__main__":
    main()
