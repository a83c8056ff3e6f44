"""Sampling from a bulk export as large as a real one: seconds and memory, against reading it whole.

    .venv/bin/python -m benchmarks.neuronpedia_export

Writes an export of made-up features into a temporary folder, draws a roster from it and splits the kept features'
examples, in a process of its own. Reading it whole is measured on one batch, in another process, and multiplied.
"""

import argparse
import gzip
import json
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

MODEL, SOURCE = "made-up", "41-made-up-res"
_CONTEXTS = 4096
_WORDS = 8000


def main() -> None:
    """Generate, measure, print."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        root = Path(folder) / MODEL / SOURCE
        seconds, rows = _timed(partial(_write_export, root, options))
        files = list(root.rglob("*.gz"))
        batches = len(files) // 2
        print(f"{options.features:,} features, {rows:,} rows of {options.tokens} tokens, in {batches} batches:")
        unpacked, packed = sum(map(_unpacked_bytes, files)), sum(path.stat().st_size for path in files)
        print(f"{unpacked / 1e9:.1f} GB of JSON, {packed / 1e9:.1f} GB packed, written in {seconds:.0f} s\n")
        print(f"{'':44}{'seconds':>10}{'peak MB':>10}")
        for name, work in (
            ("the imports alone", _nothing),
            (f"{options.sample} features and their donors, first run", partial(_sample, root, options)),
            ("the same, second run", partial(_sample, root, options)),
            ("one batch read whole", partial(_read_whole, root)),
        ):
            seconds, megabytes, said = _in_a_process(work)
            print(f"{name:44}{seconds:10.1f}{megabytes:10,.0f}  {said}")
        print(
            f"{f'all {batches} batches read whole (estimated)':44}{seconds * batches:10.0f}{megabytes * batches:10,.0f}"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=262_144)
    parser.add_argument(
        "--rows", type=int, default=20, help="activation rows of a feature that is neither dead nor rare"
    )
    parser.add_argument("--tokens", type=int, default=96, help="of a row")
    parser.add_argument("--per-batch", type=int, default=4096, help="features in a batch file")
    parser.add_argument("--sample", type=int, default=40, help="features to keep")
    parser.add_argument("--donors", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="where the temporary folder is made")
    return parser.parse_args()


def _write_export(root: Path, options: argparse.Namespace) -> int:
    for kind in ("features", "activations"):
        (root / kind).mkdir(parents=True)
    starts = range(0, options.features, options.per_batch)
    with ProcessPoolExecutor() as processes:
        return sum(processes.map(partial(_write_batch, root, options), range(len(starts)), starts))


def _write_batch(root: Path, options: argparse.Namespace, number: int, start: int) -> int:
    """Rows are put together from ready pieces of JSON, so that compressing is what takes the time."""
    contexts = _contexts(options.tokens)
    n_rows = 0
    with (
        gzip.open(root / f"features/batch-{number}.jsonl.gz", "wt", compresslevel=1) as features,
        gzip.open(root / f"activations/batch-{number}.jsonl.gz", "wt", compresslevel=1) as activations,
    ):
        for index in range(start, min(start + options.per_batch, options.features)):
            # One in twenty is dead, and one in twenty rare.
            n = {0: 0, 1: 8}.get(index % 20, options.rows)
            features.write(_feature_line(index))
            activations.writelines(_row_line(index, rank, contexts) for rank in range(n))
            n_rows += n
    return n_rows


def _contexts(tokens: int) -> list[tuple[str, str, str, int]]:
    """Tokens, and the values before and after the peak as JSON, and the peak's position."""
    rng = random.Random(0)
    letters = "etaoinshrdlucmfwypvbgk"
    words = [" " + "".join(rng.choices(letters, k=rng.randrange(2, 9))) for _ in range(_WORDS)]
    made = []
    for _ in range(_CONTEXTS):
        peak = rng.randrange(tokens // 2, tokens)
        text = ["<bos>", *rng.choices(words, k=tokens - 1)]
        values = [round(rng.random() * 5, 3) if rng.random() < 0.05 else 0 for _ in range(tokens)]
        before = "".join(f"{value}, " for value in values[:peak])
        after = "".join(f", {value}" for value in values[peak + 1 :])
        made.append((json.dumps(text), before, after, peak))
    return made


def _feature_line(index: int) -> str:
    body = {
        "modelId": MODEL,
        "layer": SOURCE,
        "index": str(index),
        "sourceSetName": SOURCE.partition("-")[2],
        "hookName": "blocks.41.hook_resid_post",
        "maxActApprox": 90.0,
        "frac_nonzero": 0.001,
        "pos_str": [f" token{(index + place) % 999}" for place in range(10)],
        "pos_values": [1.0] * 10,
        "neg_str": [f" token{(index - place) % 999}" for place in range(10)],
        "neg_values": [-1.0] * 10,
        "freq_hist_data_bar_heights": [0.5] * 40,
        "freq_hist_data_bar_values": [0.25] * 40,
        "logits_hist_data_bar_heights": [3] * 40,
        "logits_hist_data_bar_values": [0.125] * 40,
    }
    return json.dumps(body) + "\n"


def _row_line(index: int, rank: int, contexts: list[tuple[str, str, str, int]]) -> str:
    number = (index * 7919 + rank * 31) % _CONTEXTS
    tokens, before, after, peak = contexts[number]
    strength = 90.0 - 3 * rank + (index % 97) / 100
    return (
        f'{{"id": "a{index}-{rank}", "tokens": {tokens}, "dataIndex": "{number}", "index": "{index}", '
        f'"layer": "{SOURCE}", "modelId": "{MODEL}", "dataSource": null, "maxValue": {strength}, '
        f'"maxValueTokenIndex": {peak}, "minValue": 0, "values": [{before}{strength}{after}], "dfaValues": [], '
        f'"binMin": -1, "binMax": -1, "binContains": -1, "qualifyingTokenIndex": null, "lossValues": []}}\n'
    )


def _nothing() -> str:
    import baez_pipeline.features.neuronpedia_export  # noqa: F401

    return ""


def _sample(root: Path, options: argparse.Namespace) -> str:
    import functools

    from baez_pipeline.answers import Answers
    from baez_pipeline.experiment import Controls, NeuronpediaExportSource, Sample, Split
    from baez_pipeline.features import draw_roster, open_source, split_examples

    answers = Answers(f"sqlite:///{root.parent / 'answers.sqlite'}")
    source = open_source(NeuronpediaExportSource(url=str(root)), lambda: answers)
    sample = Sample(features=options.sample, donors=options.donors)
    roster = draw_roster(source, sample, Controls(), Split(), seed=options.seed)
    kept = roster.filter(pool="sampled", outcome="kept")
    splits = 0
    for index, donors in kept.select("feature_index", "donors").iter_rows():
        record = source.record(index)
        assert record is not None
        is_silent = functools.partial(source.is_silent, index)
        splits += split_examples(record, donors, source, Split(), is_silent=is_silent, seed=options.seed).height
    return f"{roster.height} draws, {kept.height} kept, {splits} examples"


def _read_whole(root: Path) -> str:
    import polars as pl

    features = pl.read_ndjson(root / "features/batch-0.jsonl.gz")
    activations = pl.read_ndjson(root / "activations/batch-0.jsonl.gz")
    return f"{features.height:,} features, {activations.height:,} rows"


def _timed(work: Callable[[], int]) -> tuple[float, int]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def _in_a_process(work: Callable[[], str]) -> tuple[float, float, str]:
    """Seconds, peak memory in MB and what the work says."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_measured, work).result()


def _measured(work: Callable[[], str]) -> tuple[float, float, str]:
    start = time.perf_counter()
    said = work()
    # Linux counts in kibibytes.
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, said


def _unpacked_bytes(path: Path) -> int:
    with gzip.open(path) as file:
        return sum(len(block) for block in iter(partial(file.read, 1 << 20), b""))


if __name__ == "__main__":
    main()
