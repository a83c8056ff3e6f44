"""Embedding: is the label closer to the feature's examples than to others? (delphi's EmbeddingScorer)"""

from collections.abc import Sequence
from typing import Any

from baez_pipeline.embedding import SentenceEmbedder
from baez_pipeline.features.shown_text import as_written
from baez_pipeline.llm.chat import Purpose
from baez_pipeline.llm.delphi_import import EmbeddingScorer
from baez_pipeline.scoring.examples import ShownExample, delphi_record
from baez_pipeline.scoring.judgement import Judgement


class _EmbeddingScorer(EmbeddingScorer):  # type: ignore[misc]
    """delphi's scorer without the instruction that it writes before every label.

    The instruction is a retrieval query of other embedders' making. With MiniLM, which never saw one, it lifts the
    cosine of unrelated labels from .10 to .74 and takes the AUROC of right labels from .94 to .81 (field guide, audit
    row 46).
    """

    def _query(self, explanation: str, samples: list[Any]) -> list[Any]:
        for sample in samples:
            sample.data.similarity = self.model.cosine(explanation, as_written(sample.text))
        return [sample.data for sample in samples]


class Embedding:
    """Cosine of the label and each shown text. It gives no answer, only a similarity."""

    name = "embedding"
    marks = False

    def __init__(self, embedder: SentenceEmbedder) -> None:
        self._embedder = embedder

    @property
    def identity(self) -> str:
        """The embedder with its revision."""
        return self._embedder.identity

    async def judge(
        self, label: str, examples: Sequence[ShownExample], *, seed: int, purpose: Purpose
    ) -> list[Judgement]:
        """Every example's similarity. No order and no question has a part in it, so `seed` and `purpose` have none."""
        scorer = _EmbeddingScorer(self._embedder)
        outputs = (await scorer(delphi_record(label, examples))).score
        # Equal texts have equal similarities: a text says which example it was.
        similarity = {output.text: output.similarity for output in outputs}
        return [
            Judgement(
                example=shown, shown=shown.text, similarity=similarity[shown.text], detail=self._truncation(shown.text)
            )
            for shown in examples
        ]

    def _truncation(self, shown: str) -> str | None:
        # A cut text is compared all the same, and its row says so: the peak may lie in what was cut (audit row 46).
        if not self._embedder.count_truncated([shown]):
            return None
        return f"The embedder read the first {self._embedder.maximum_tokens} tokens only."
