"""`eleuther_acts_top5`: labels from the activating texts themselves; and its own prompt, delphi's `DefaultExplainer`.

The own prompt is the article's: tokens marked above 0.6 of the peak, activations listed, reasoning asked for. delphi's
defaults are 0.3 and none, and reasoning gains nothing (scoring audit, row 24). Its answer is read by our parser: delphi
takes the first marker and everything after it (row 27).
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import polars as pl

from baez_pipeline.labeling.answer import Answer, problem_of, read_label
from baez_pipeline.labeling.evidence import activating_texts
from baez_pipeline.labeling.method import LabelMethod, Prompt, Writing, Written
from baez_pipeline.labeling.shared_prompt import shared_prompt
from baez_pipeline.llm.chat import ChatModel

THRESHOLD = 0.6
"""Share of an example's largest activation above which the article has delphi mark a token."""


def _delphi_version() -> str:
    try:
        return version("eai-delphi")
    except PackageNotFoundError:
        return "missing"


DELPHI = f"eai-delphi {_delphi_version()}"
"""Whose prompts are used, for fingerprints."""


def _own_text(writing: Writing) -> str:
    examples = "numbered examples, strongest tokens" if writing.numbered_examples else "examples as delphi lists them"
    return f"DefaultExplainer of {DELPHI}: activations, threshold {THRESHOLD}, chain of thought, {examples}"


async def _write(rows: pl.DataFrame, writer: ChatModel, writing: Writing) -> Written:
    # delphi takes seconds to import; the UI's code server reads this module without ever labelling.
    from baez_pipeline.labeling.delphi_explainer import NumberedExplainer, WholeAnswer, delphi_record
    from baez_pipeline.llm.delphi_client import DelphiClient, FailedAnswerError

    class AskedForALabel(DelphiClient):
        async def generate(self, prompt: Any, **settings: Any) -> Any:
            return await super().generate(prompt, whole=True, problem=problem_of, **settings)

    train = rows.filter(pl.col("role") == "train").sort("rank")
    client = AskedForALabel(
        writer,
        max_tokens=writing.max_tokens,
        seed=writing.seed,
        prefill=writing.prefill or "",
        stop=("\n",) if writing.prefill else (),
        purpose=writing.purpose,
    )
    explainer = NumberedExplainer if writing.numbered_examples else WholeAnswer
    asked = explainer(client, threshold=THRESHOLD, temperature=writing.temperature, cot=True)
    try:
        result = await asked(delphi_record(train, one_line=writing.numbered_examples))
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


ELEUTHER_ACTS_TOP5 = LabelMethod(
    name="eleuther_acts_top5",
    reads="example_splits",
    prompts={"shared": shared_prompt(activating_texts), "own": Prompt(text=_own_text, write=_write)},
)
