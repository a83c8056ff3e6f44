"""Models that have a GPU to themselves: each is loaded for its part of the work and freed after it.

A subject model, a verbalizer and a reconstructor of 27 billion parameters do not fit one GPU together, and need not:
the work goes through them one after the other (`FromActivations`), in groups that are large against the loading.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from baez_pipeline.nla.engine import Explanation, Rebuilder, Subject, VectorVerbalizer
from baez_pipeline.nla.memory import free_memory
from baez_pipeline.nla.reconstructor import Faithfulness

Model = TypeVar("Model")
Result = TypeVar("Result")


class _OnDemand(Generic[Model]):
    def __init__(self, load: Callable[[], Model]) -> None:
        self._load = load

    def _use(self, work: Callable[[Model], Result]) -> Result:
        """What the work gives, with nothing of the model left in memory."""
        model = self._load()
        try:
            return work(model)
        finally:
            del model
            free_memory()


class SubjectOnDemand(_OnDemand[Subject]):
    """A subject model."""

    def activations_at(self, contexts: Sequence[Sequence[int]], positions: Sequence[int]) -> NDArray[np.float32]:
        """As the subject model has it."""
        return self._use(lambda subject: subject.activations_at(contexts, positions))


class VerbalizerOnDemand(_OnDemand[VectorVerbalizer]):
    """A verbalizer; what it says of itself is known before it is loaded."""

    def __init__(
        self,
        load: Callable[[], VectorVerbalizer],
        *,
        name: str,
        identity: str,
        temperature: float,
        max_new_tokens: int,
    ) -> None:
        super().__init__(load)
        self.name = name
        self.identity = identity
        self.temperature: float | None = temperature
        self.max_new_tokens: int | None = max_new_tokens

    def explain_vectors(self, vectors: NDArray[np.float32], seeds: Sequence[int]) -> list[Explanation]:
        """As the verbalizer has it."""
        return self._use(lambda verbalizer: verbalizer.explain_vectors(vectors, seeds))


class ReconstructorOnDemand(_OnDemand[Rebuilder]):
    """A reconstructor."""

    def scores(self, explanations: Sequence[str], vectors: NDArray[np.float32]) -> list[Faithfulness | None]:
        """As the reconstructor has it."""
        return self._use(lambda reconstructor: reconstructor.scores(explanations, vectors))
