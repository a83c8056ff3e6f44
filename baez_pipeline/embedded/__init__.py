"""Data of the embedded experiment, and the commands that rebuild it from public packages.

Goes in: the corpus, the sparse autoencoder trained on it, its features with their examples, the neighbour bank,
and `data/`, the shipped files that those steps write (what each holds: `data/README.md`).
Stays out: anything that reads the data during an experiment; that is a source in `features/` or an engine in
`nla/`. Only the data's own readers (`bank`, `sae`) stand
above those rooms.
"""

from pathlib import Path

DATA = Path(__file__).parent / "data"
"""The shipped files."""

WINDOW_TOKENS = 128
"""Tokens per window: `<|endoftext|>` at position 0, then 127 tokens of one article."""

BLOCK = 20
"""Activations are the output of this block, counted from 0: `hidden_states[BLOCK + 1]` of transformers."""

SOURCE_SET = "topk-res-2k"
SOURCE_ID = f"{BLOCK}-{SOURCE_SET}"
"""Neuronpedia's naming of a source: block, method, site, width."""

HOOK_NAME = f"blocks.{BLOCK}.hook_resid_post"
DATA_SOURCE = "enwiki-gensim-test-data"
