"""What the tables over all features take at the size of a whole source: time and memory.

    .venv/bin/python -m benchmarks.aggregation

Made-up scores of 262,144 features with three methods on three benchmarks, nine scores each, are written to Parquet and
read back in a process of its own, whose memory is what is printed. Timed are reading and the tables over methods;
imports are not. On a shared machine, read the seconds of processors: of all threads together.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table

from baez_pipeline.experiment import Statistics
from baez_pipeline.statistics import benchmark_agreement, method_comparison, score_summary
from baez_pipeline.tables import FeatureScores

METHODS = ("baez", "baez_last", "eleuther_acts_top5")
BENCHMARKS = ("detection", "fuzz_random", "embedding")
EXAMPLES = 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=262_144)
    parser.add_argument("--read", type=Path, help="scores to summarise; none: they are made up first")
    asked = parser.parse_args()
    if asked.read:
        _measure(asked.read)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.parquet"
        _made_up(asked.features).write_parquet(path)
        # Its memory is its own: making the scores up takes more than summing them up.
        subprocess.run([sys.executable, "-m", "benchmarks.aggregation", "--read", str(path)], check=True)


def _measure(path: Path) -> None:
    settings, begun_with = Statistics(), _peak_mebibytes()
    seconds: dict[str, tuple[float, float]] = {}

    def timed(name: str, work: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        begun, begun_working = time.monotonic(), time.process_time()
        found = work()
        taken = time.monotonic() - begun, time.process_time() - begun_working
        seconds[f"{name} ({found.height:,} rows)"] = taken
        return found

    scores = timed("read", lambda: pl.read_parquet(path))
    timed("score_summary", lambda: score_summary(scores, settings, 1))
    timed("method_comparison", lambda: method_comparison(scores, settings, 1))
    timed("benchmark_agreement", lambda: benchmark_agreement(scores, settings, 1))
    table = Table(title=f"{scores['feature'].n_unique():,} features, load {os.getloadavg()[0]:.1f}", box=box.SIMPLE)
    table.add_column("step")
    table.add_column("seconds", justify="right")
    table.add_column("of processors", justify="right")
    passed, worked = (sum(each) for each in zip(*seconds.values(), strict=True))
    for name, taken in (seconds | {"all": (passed, worked)}).items():
        table.add_row(name, *(f"{each:.2f}" for each in taken))
    console = Console()
    console.print(table)
    console.print(f"Peak memory {_peak_mebibytes():,.0f} MiB, of which {begun_with:,.0f} after the imports.")


def _made_up(features: int) -> pl.DataFrame:
    """FeatureScores of own labels: shares of examples answered right, as a judge of so many examples gives them."""
    generator = np.random.default_rng(0)
    names = [f"20-whole_{index:06d}" for index in range(features)]
    quality = generator.normal(0.7, 0.1, size=features)
    tables = []
    for method in METHODS:
        for benchmark in BENCHMARKS:
            truly = np.clip(quality + generator.normal(0, 0.05, size=features), 0, 1)
            right = generator.binomial(EXAMPLES, truly) / EXAMPLES
            auroc = np.clip(truly + generator.normal(0, 0.05, size=features), 0, 1)
            answers = {"accuracy": right, "balanced_accuracy": right} if benchmark != "embedding" else {}
            values = {"auroc": auroc} | (answers or {"gap": auroc - 0.5})
            tables.append(
                pl.DataFrame({"feature": names, **values}).with_columns(
                    method=pl.lit(method),
                    benchmark=pl.lit(benchmark),
                    shuffle=pl.lit(0),
                    n_answered=pl.lit(EXAMPLES),
                    n_failed=pl.lit(0),
                )
            )
    empty = FeatureScores.create_empty()
    return FeatureScores.validate(pl.concat([empty, *tables], how="diagonal_relaxed").select(empty.columns), cast=True)


def _peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
