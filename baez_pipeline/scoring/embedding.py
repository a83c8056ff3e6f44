"""Embedding: is the label closer to the feature's examples than to others? (delphi's EmbeddingScorer)"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from baez_pipeline.embedding import SentenceEmbedder
from baez_pipeline.features.shown_text import as_written
from baez_pipeline.llm.chat import Purpose
from baez_pipeline.llm.delphi_import import EmbeddingScorer
from baez_pipeline.scoring.examples import ShownExample, delphi_record, shown_examples
from baez_pipeline.scoring.judgement import Judgement

Prompt = Literal["none", "delphi"]


class _Model:
    """The embedder as delphi's scorer calls one of sentence-transformers."""

    def __init__(self, embedder: SentenceEmbedder) -> None:
        self._embedder = embedder
        self.label = ""
        """The label as it was embedded last: with what is written before it."""

    def encode(self, texts: str | list[str]) -> NDArray[np.float32]:
        if isinstance(texts, str):
            self.label = texts
            return self._embedder.embed([texts])
        return self._embedder.embed([as_written(text) for text in texts])

    def similarity(self, labels: NDArray[np.float32], texts: NDArray[np.float32]) -> NDArray[np.float32]:
        # One product at a time: a matrix product's last bit depends on how many texts there are.
        return np.array([[np.dot(label, text) for text in texts] for label in labels])


class _WithoutPrompt(EmbeddingScorer):  # type: ignore[misc]
    """delphi's scorer without the instruction that it writes before every label.

    The instruction is a retrieval query of other embedders' making. With MiniLM, which never saw one, it lifts the
    cosine of unrelated labels from .10 to .74 and takes the AUROC of right labels from .94 to .81 (field guide, audit
    row 46).
    """

    def _query(self, explanation: str, samples: list[Any]) -> list[Any]:
        texts = self.model.encode([sample.text for sample in samples])
        for sample, value in zip(samples, self.model.similarity(self.model.encode(explanation), texts)[0], strict=True):
            sample.data.similarity = value.item()
        return [sample.data for sample in samples]


class Embedding:
    """Cosine of the label and each shown text. It gives no answer, only a similarity."""

    name = "embedding"

    def __init__(self, embedder: SentenceEmbedder, prompt: Prompt = "none") -> None:
        self._embedder = embedder
        self._prompt = prompt

    @property
    def identity(self) -> str:
        """The embedder with its revision, and the prompt where it is delphi's."""
        return self._embedder.identity + (", delphi's prompt before labels" if self._prompt == "delphi" else "")

    def examples(self, splits: pl.DataFrame, *, seed: int) -> list[ShownExample]:
        """Test examples and negatives. Nothing is drawn, so `seed` has no part in it."""
        return shown_examples(splits, marks=False)

    async def judge(
        self, label: str, examples: Sequence[ShownExample], *, seed: int, purpose: Purpose
    ) -> list[Judgement]:
        """Every example's similarity. No order and no question has a part in it, so `seed` and `purpose` have none.

        What is longer than the embedder reads is compared by its beginning, and says so: the peak of a text, or what
        a label is about, may lie in what was cut (field guide, audit row 46).
        """
        model = _Model(self._embedder)
        scorer = EmbeddingScorer(model) if self._prompt == "delphi" else _WithoutPrompt(model)
        outputs = (await scorer(delphi_record(label, examples))).score
        # Equal texts have equal similarities: a text says which example it was.
        similarity = {output.text: output.similarity for output in outputs}
        label_is_cut = self._embedder.is_truncated(model.label)
        return [
            Judgement(
                example=shown,
                shown=shown.text,
                similarity=similarity[shown.text],
                truncated=label_is_cut or self._embedder.is_truncated(as_written(shown.text)),
            )
            for shown in examples
        ]
