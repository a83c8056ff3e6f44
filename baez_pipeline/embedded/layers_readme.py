"""The text of `data/layers/README.md`, made from the provenance record so that its figures cannot go stale."""

from typing import Any

_TEMPLATE = """# Features of several blocks

Written by `python -m baez_pipeline.embedded.build --layers`; do not edit. Figures, settings and checksums:
`provenance.json`.

For each of the blocks {blocks} of SmolLM2 (30 blocks, counted from 0): an autoencoder trained as that of block 20 in
the folder above, on the same windows, and {features} of its features, drawn among those that are active in at least
{minimum} windows. The autoencoders are not here; the drawn features' decoder rows are.

Blocks 2 to 9 are left out. There, the model makes attention sinks of positions in nearly every window: 2.6 % of the
positions of block 2, most of them " the", with 3 to 13 times the usual norm and 70 % of the variance (measured on 64
windows). Block 1 is the last before them, block 10 the first after.

## Files
- `features.parquet`: one row per drawn feature, columns as in Neuronpedia's Feature. A feature's place in this table,
  from 0, is how the other files name it.
- `examples.parquet`: {examples:,} examples: the feature's place, the window, the tokens with an activation and their
  values in the model's units, and Neuronpedia's bin columns.
- `windows.parquet`: the windows' names, articles, tokens and token ids. Licence of the text: the folder above.
- `window_activity.parquet`: per window the drawn features active anywhere in it, as a bitmap: place i is bit i % 8
  (lowest first) of byte i // 8.
- `decoder.safetensors`: the drawn features' decoder rows, float16, unit norm, in the order of `features.parquet`.

## The autoencoders
TopK, {width:,} features, k = {k}, {epochs} epochs on {positions:,} positions of {articles} articles.

| block | explained variance, unseen articles | same, trained on | alive | active in {minimum} windows | drawn |
|---|---|---|---|---|---|
{rows}

Stage `compute` took {total:.0f} s on {device} ({times}).
"""


def layers_readme(provenance: dict[str, Any]) -> str:
    """The README of the shipped files of several blocks.

    Args:
        provenance: the content of `provenance.json`.
    """
    blocks: dict[str, Any] = provenance["blocks"]
    corpus, settings = provenance["corpus"], provenance["settings"]
    seconds: dict[str, float] = provenance["seconds"]
    return _TEMPLATE.format(
        blocks=", ".join(blocks),
        features=settings["features"],
        minimum=settings["minimum_windows"],
        examples=sum(block["features"]["examples"] for block in blocks.values()),
        **{name: settings["sae"][name] for name in ("width", "k", "epochs")},
        positions=corpus["positions"]["features"],
        articles=corpus["articles"]["features"],
        rows="\n".join(_row(name, block) for name, block in blocks.items()),
        total=sum(seconds.values()),
        device=provenance["machine"]["device"],
        times=", ".join(f"{name} {value:g}" for name, value in seconds.items()),
    )


def _row(name: str, block: dict[str, Any]) -> str:
    figures, features = block["sae_figures"], block["features"]
    return (
        f"| {name} | {figures['unseen_articles']['explained_variance']:.3f} "
        f"| {figures['training_articles']['explained_variance']:.3f} | {features['live_share']:.1%} "
        f"| {features['with_enough_windows']:,} | {features['drawn']} |"
    )
