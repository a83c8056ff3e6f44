"""Explanations from the nearest stored activations: training-free, and the baseline that any NLA must beat.

An activation is compared with those of known texts by cosine, mean removed. What the nearest texts have in common
becomes the three paragraphs of a released NLA: topic, wording near the position, final token with continuations.
The continuations are the model's own: the vector through its final norm and unembedding (logit lens).
"""

import functools
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer, TfidfVectorizer
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from baez_pipeline.embedded import DATA
from baez_pipeline.embedded.bank import NeighbourBank
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import NeighboursEngine
from baez_pipeline.nla.engine import Explanation

WINDOWS_FILE = "neighbour_bank_windows.parquet"
LEAST_WINDOWS = 50
TOPIC_WORDS = 6
NEAR_TOKENS = 12
"""Tokens up to the position that count as near it: about eight words."""
SHARED_PHRASES = 3
LIKELIEST = 50
"""Continuations are chosen among so many: a token that is never likely can be raised a lot and mean nothing."""


class Neighbours:
    """The `neighbours` engine over a bank of activations of the subject model."""

    name = "neighbours"
    temperature = None
    max_new_tokens = None

    def __init__(
        self,
        model: LlamaForCausalLM,
        tokenizer: PreTrainedTokenizerBase,
        settings: NeighboursEngine,
        *,
        identity: str,
        folder: Path = DATA,
    ) -> None:
        """Open the bank in `folder`; `identity` names it with its revision.

        Raises:
            SourceError: the bank is missing, or its vectors are not of the model's width.
        """
        self.identity = identity
        self._settings = settings
        self._tokenizer = tokenizer
        self._head = torch.nn.Sequential(model.model.norm, model.lm_head)
        self._bank = NeighbourBank.load(folder)
        if self._bank.mean.shape[0] != model.config.hidden_size:
            raise SourceError(
                f"The neighbour bank in {folder} holds vectors of width {self._bank.mean.shape[0]}, "
                f"the subject model's are {model.config.hidden_size} wide: build the bank for this model."
            )
        windows = pl.read_parquet(folder / WINDOWS_FILE)["tokenIds"].to_list()
        # Position 0 is the BOS token, which is not text.
        self._windows: list[list[int]] = [list(ids) for ids in windows]
        if len(self._windows) < LEAST_WINDOWS:
            raise SourceError(
                f"The neighbour bank in {folder} holds {len(self._windows)} windows; at least {LEAST_WINDOWS} are "
                "needed to tell topic words from others."
            )

    def explain_vectors(self, vectors: NDArray[np.float32], seeds: Sequence[int]) -> list[Explanation]:
        """One explanation per vector (n, d_model); nothing is sampled, so the seeds are not used."""
        if len(vectors) == 0:
            return []
        activations = torch.from_numpy(np.ascontiguousarray(vectors))
        cosines, rows = self._bank.search(activations, self._settings.neighbours)
        continuations = self._continuations(activations)
        return [
            Explanation(text=self._describe(found.tolist(), near.numpy(), said))
            for found, near, said in zip(rows, cosines, continuations, strict=True)
        ]

    def _describe(self, rows: list[int], cosines: NDArray[np.float32], continuations: list[str]) -> str:
        places = [(int(self._bank.window[row]), int(self._bank.position[row])) for row in rows]
        return "\n\n".join(
            [
                self._topic(places, cosines),
                self._wording(places),
                self._final_token(places, continuations),
            ]
        )

    def _topic(self, places: list[tuple[int, int]], cosines: NDArray[np.float32]) -> str:
        vectorizer = self._topic_weights
        prefixes = [self._text(window, 1, position + 1) for window, position in places]
        weights = np.asarray(vectorizer.transform(prefixes).T @ np.maximum(cosines, 0)).ravel()
        names = vectorizer.get_feature_names_out()
        # Ties by name, so that the order is one.
        best = sorted(np.flatnonzero(weights > 0), key=lambda i: (-weights[i], names[i]))[:TOPIC_WORDS]
        words = ", ".join(str(names[i]) for i in best) or "no particular subject"
        return f"Encyclopedic prose about {words}."

    def _wording(self, places: list[tuple[int, int]]) -> str:
        near = [self._text(window, max(1, position - NEAR_TOKENS + 1), position + 1) for window, position in places]
        counter = CountVectorizer(ngram_range=(1, 3), token_pattern=r"[^\s]+", binary=True, lowercase=False)
        try:
            counts = np.asarray(counter.fit_transform(near).sum(axis=0)).ravel()
        except ValueError:  # only white space near every one of them
            return "No wording recurs near the position."
        names = [str(name) for name in counter.get_feature_names_out()]
        # A phrase of two words in four texts says more than a word in five; "the" alone says nothing.
        ranked = sorted(
            (i for i in range(len(names)) if counts[i] > 1 and names[i].lower() not in ENGLISH_STOP_WORDS),
            key=lambda i: (-int(counts[i]) * len(names[i].split()) ** 0.5, names[i]),
        )
        phrases: list[str] = []
        for i in ranked:
            if not any(names[i] in phrase or phrase in names[i] for phrase in phrases):
                phrases.append(names[i])
            if len(phrases) == SHARED_PHRASES:
                break
        if not phrases:
            return "No wording recurs near the position."
        return f"The wording {_listed([_quoted(phrase) for phrase in phrases], 'and')} recurs near the position."

    def _final_token(self, places: list[tuple[int, int]], continuations: list[str]) -> str:
        seen = Counter(self._text(window, position, position + 1).strip() for window, position in places)
        # By how often it ends the nearest texts. Without the counts: a small label writer takes them for content.
        token, *others = sorted((text for text in seen if text), key=lambda text: (-seen[text], text)) or ["?"]
        like = f", like {_listed([_quoted(other) for other in others[:3]], 'and')}" if others else ""
        expected = _listed([_quoted(text.strip()) for text in continuations if text.strip()], "or")
        return f"Final token {_quoted(token)}{like}; {expected or 'anything'} may follow."

    def _continuations(self, activations: torch.Tensor) -> list[list[str]]:
        """Tokens that the vector raises most over what the mean activation predicts, among its likeliest ones.

        The likeliest alone are the same for nearly every vector at this depth: space, hyphen, comma (measured).
        """
        with torch.inference_mode():
            scores = self._head(activations).log_softmax(-1)
            likeliest = scores.topk(LIKELIEST, dim=-1).indices
            raised = (scores - self._head(self._bank.mean[None]).log_softmax(-1)).gather(-1, likeliest)
            best = raised.topk(self._settings.continuations, dim=-1).indices
        ids = likeliest.gather(-1, best).tolist()
        return [[str(self._tokenizer.decode([token])) for token in row] for row in ids]

    def _text(self, window: int, start: int, end: int) -> str:
        return str(self._tokenizer.decode(self._windows[window][start:end]))

    @functools.cached_property
    def _topic_weights(self) -> TfidfVectorizer:
        # A word in over a fifth of the windows says nothing of the topic; one in a single window is noise.
        vectorizer = TfidfVectorizer(
            stop_words="english",
            token_pattern=r"(?u)\b[^\W\d_]{3,}\b",
            min_df=2,
            max_df=0.2,
            sublinear_tf=True,
        )
        vectorizer.fit([self._text(window, 1, len(ids)) for window, ids in enumerate(self._windows)])
        return vectorizer


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _listed(texts: Sequence[str], conjunction: str) -> str:
    *first, last = texts or [""]
    return f"{', '.join(first)} {conjunction} {last}" if first else last
