"""`eleuther_acts_top5`: delphi's `DefaultExplainer` on the train examples, with normalised activations.

delphi's defaults (highlighting above 0.3 of the peak, no chain of thought): the article's threshold of 0.6 and chain of
thought gain nothing (scoring audit, row 24). Its prompt is delphi's own, its answer is read by our parser: delphi takes
the first marker and everything after it (row 27).
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import polars as pl

from baez_pipeline.labeling.answer import Answer, problem_of, read_label
from baez_pipeline.labeling.method import LabelMethod, Writing, Written
from baez_pipeline.llm.chat import ChatModel


def _delphi_version() -> str:
    try:
        return version("eai-delphi")
    except PackageNotFoundError:
        return "missing"


DELPHI = f"eai-delphi {_delphi_version()}"
"""Whose prompts are used, for fingerprints."""


async def _write(evidence: pl.DataFrame, writer: ChatModel, writing: Writing) -> Written:
    # delphi takes seconds to import; the UI's code server reads this module without ever labelling.
    from baez_pipeline.llm.delphi_client import DelphiClient, FailedAnswerError
    from baez_pipeline.llm.delphi_import import DefaultExplainer

    class WholeAnswer(DefaultExplainer):  # type: ignore[misc]
        def parse_explanation(self, text: str) -> str:
            return text

    class AskedForALabel(DelphiClient):
        async def generate(self, prompt: Any, **settings: Any) -> Any:
            return await super().generate(prompt, whole=True, problem=problem_of, **settings)

    train = evidence.filter(pl.col("role") == "train").sort("rank")
    client = AskedForALabel(
        writer,
        max_tokens=writing.max_tokens,
        seed=writing.seed,
        prefill=writing.prefill or "",
        stop=("\n",) if writing.prefill else (),
        purpose=writing.purpose,
    )
    try:
        result = await WholeAnswer(client, temperature=writing.temperature)(_record(train))
        answer = read_label(result.explanation)
    except FailedAnswerError as error:
        answer = Answer(label=None, outcome=error.outcome, detail=error.detail)
    completion = client.last_completion
    return Written(
        answer=answer,
        n_shown=train.height,
        text=completion.text if completion else None,
        tokens_in=completion.tokens_in if completion else None,
        tokens_out=completion.tokens_out if completion else None,
    )


def _record(train: pl.DataFrame) -> object:
    """delphi's record of the train examples, each cut to its shown window.

    Activations are normalised as delphi's sampler does: ceil(10 x activation / the largest of those shown).
    """
    import torch

    from baez_pipeline.features.shown_text import shown_token
    from baez_pipeline.llm.delphi_import import ActivatingExample, Latent, LatentRecord

    record = LatentRecord(latent=Latent("", 0))
    largest = max(train["peak_activation"])
    for row in train.iter_rows(named=True):
        window = slice(row["window_start"], row["window_end"])
        activations = torch.tensor(row["activations"][window])
        record.train.append(
            ActivatingExample(
                tokens=torch.zeros(len(activations), dtype=torch.long),
                activations=activations,
                normalized_activations=(activations * 10 / largest).ceil().clamp(0, 10),
                str_tokens=[shown_token(token, marks=True) for token in row["tokens"][window]],
            )
        )
    return record


ELEUTHER_ACTS_TOP5 = LabelMethod(
    name="eleuther_acts_top5",
    reads="example_splits",
    prompt=f"DefaultExplainer of {DELPHI}: activations, threshold 0.3, no chain of thought",
    write=_write,
)
