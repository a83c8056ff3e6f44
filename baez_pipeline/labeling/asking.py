"""Asking a writer for a label, and what came of it."""

from baez_pipeline.labeling.answer import Answer, problem_of, read_label
from baez_pipeline.labeling.evidence import Evidence
from baez_pipeline.labeling.method import Writing, Written
from baez_pipeline.llm.chat import ChatModel, Message, Request
from baez_pipeline.tables import Outcome


async def ask_for_label(messages: list[Message], evidence: Evidence, writer: ChatModel, writing: Writing) -> Written:
    """The label that the writer gives to a conversation, cut to the longest allowed.

    Args:
        messages: the conversation, the question last.
        evidence: what it shows; nobody is asked about nothing.
        writer: the label writer.
        writing: how it is asked.
    """
    if not evidence.shown:
        answer = Answer(label=None, outcome=Outcome.NO_EVIDENCE, detail=evidence.missing)
        return Written(
            answer=answer,
            n_shown=0,
            last_paragraph_fallback=evidence.last_paragraph_fallback,
            n_unfaithful=evidence.n_unfaithful,
        )
    if writing.prefill:
        messages = [*messages, {"role": "assistant", "content": writing.prefill}]
    completion = await writer.complete(
        Request(
            messages=tuple(messages),
            temperature=writing.temperature,
            max_tokens=writing.max_tokens,
            seed=writing.seed,
            stop=("\n",) if writing.prefill else (),
            whole=True,
            problem=problem_of,
            purpose=writing.purpose,
        )
    )
    return Written(
        answer=(
            read_label(completion.text, maximum_words=writing.maximum_words)
            if completion.outcome == Outcome.OK
            else Answer(label=None, outcome=completion.outcome, detail=completion.detail)
        ),
        n_shown=len(evidence.shown),
        last_paragraph_fallback=evidence.last_paragraph_fallback,
        n_unfaithful=evidence.n_unfaithful,
        text=completion.text,
        tokens_in=completion.tokens_in,
        tokens_out=completion.tokens_out,
    )
