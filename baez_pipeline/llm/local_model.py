"""SmolLM2 in process as a chat model: the label writer of the embedded experiment."""

import asyncio
import copy
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from transformers import DynamicCache, LlamaForCausalLM, PreTrainedTokenizerBase

from baez_pipeline.llm.chat import Completion, Message, Request, TokenChoice
from baez_pipeline.llm.smollm2 import CONTEXT_LENGTH, IDENTITY, MODEL_ID, load_smollm2
from baez_pipeline.tables import Outcome

# The turn marks of SmolLM2's chat template (ChatML) and the end of a document.
TURN_START, TURN_END, END_OF_TEXT = 1, 2, 0

ALTERNATIVES = 5
"""Tokens recorded per generated one; as many as delphi's scorers ask for."""

PREFIXES_KEPT = 4
"""Key-value caches kept, 46 KB a token: one for each label method, with one to spare."""


class SmolLM2Chat:
    """Answers requests one at a time, on a thread of its own so that the event loop goes on.

    Turns before the last user message (system prompt and few-shot examples, the same for every feature) are computed
    once and kept. They are always computed apart from the rest, so that an answer depends, to the last bit, on its
    request and not on what was asked before.
    """

    def __init__(self) -> None:
        self._prefixes: OrderedDict[tuple[int, ...], DynamicCache] = OrderedDict()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="smollm2")

    @property
    def identity(self) -> str:
        """Name and revision, known without loading the model."""
        return IDENTITY

    @property
    def concurrency(self) -> int:
        """One: two at once on the same cores are slower than one after the other."""
        return 1

    async def complete(self, request: Request) -> Completion:
        """The answer; `EMPTY` for one without text, `ERROR` for a prompt that the context cannot hold."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, request)

    @property
    def _model(self) -> LlamaForCausalLM:
        return load_smollm2()[0]

    @property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return load_smollm2()[1]

    def _answer(self, request: Request) -> Completion:
        shared, rest, prefill = self.prompt_ids(request.messages)
        tokens_in = len(shared) + len(rest)
        if tokens_in >= CONTEXT_LENGTH:
            return Completion(
                text="",
                outcome=Outcome.ERROR,
                detail=f"The prompt has {tokens_in:,} tokens; the context of {MODEL_ID} ends at {CONTEXT_LENGTH:,}.",
                tokens_in=tokens_in,
            )
        generated, choices = self._generate(shared, rest, request)
        if not generated.strip():
            return Completion(
                text="",
                outcome=Outcome.EMPTY,
                detail="The model answered nothing.",
                tokens_in=tokens_in,
                tokens_out=len(choices),
            )
        return Completion(
            text=prefill + generated, tokens_in=tokens_in, tokens_out=len(choices), choices=tuple(choices)
        )

    def prompt_ids(self, messages: Sequence[Message]) -> tuple[list[int], list[int], str]:
        """A conversation by SmolLM2's chat template: ids before the last user turn, ids from there, and the prefill.

        The template writes a system turn of its own ("You are a helpful AI assistant ...") where a conversation has
        none; here that turn is empty. Marks of turns inside a message are text, not marks.
        """
        turns = list(messages)
        if not turns or turns[0]["role"] != "system":
            turns.insert(0, Message(role="system", content=""))
        prefill = turns.pop()["content"] if turns[-1]["role"] == "assistant" else ""
        last_user = max((index for index, turn in enumerate(turns) if turn["role"] == "user"), default=1)
        shared = [token for turn in turns[:last_user] for token in self._turn_ids(turn)]
        rest = [token for turn in turns[last_user:] for token in self._turn_ids(turn)]
        return shared, [*rest, TURN_START, *self._text_ids(f"assistant\n{prefill}")], prefill

    def _turn_ids(self, turn: Message) -> list[int]:
        text = self._text_ids(f"{turn['role']}\n{turn['content']}")
        return [TURN_START, *text, TURN_END, *self._text_ids("\n")]

    def _text_ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return ids

    @torch.inference_mode()
    def _generate(self, shared: list[int], rest: list[int], request: Request) -> tuple[str, list[TokenChoice]]:
        """The text up to a stop string, the end of the turn, `max_tokens` or the end of the context."""
        cache = self._prefix_cache(tuple(shared))
        generator = torch.Generator().manual_seed(request.seed)
        budget = min(request.max_tokens, CONTEXT_LENGTH - len(shared) - len(rest))
        ids: list[int] = []
        choices: list[TokenChoice] = []
        upcoming = rest
        text = ""
        while len(ids) < budget:
            logits = self._next_logits(upcoming, cache)
            token = _pick(logits, request.temperature or 0.0, generator)
            if token in (TURN_END, END_OF_TEXT):
                break
            ids.append(token)
            choices.append(self._choice(token, logits))
            upcoming = [token]
            text = str(self._tokenizer.decode(ids))
            ends = [text.find(stop) for stop in request.stop if stop in text]
            if ends:
                return text[: min(ends)], choices
        return text, choices

    def _prefix_cache(self, shared: tuple[int, ...]) -> DynamicCache:
        """A copy of the keys and values of the shared turns, to be written on."""
        if shared not in self._prefixes:
            cache = DynamicCache()
            self._next_logits(shared, cache)
            self._prefixes[shared] = cache
            if len(self._prefixes) > PREFIXES_KEPT:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(shared)
        return copy.deepcopy(self._prefixes[shared])

    def _next_logits(self, ids: Sequence[int], cache: DynamicCache) -> torch.Tensor:
        """Logits [vocabulary] after `ids`, whose keys and values are added to the cache."""
        inputs = torch.tensor([list(ids)], device=self._model.device)
        output = self._model(inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
        logits: torch.Tensor = output.logits[0, -1].float().cpu()
        return logits

    def _choice(self, token: int, logits: torch.Tensor) -> TokenChoice:
        log_probabilities = logits.log_softmax(-1)
        weighed = dict.fromkeys([token, *log_probabilities.topk(ALTERNATIVES).indices.tolist()])
        return TokenChoice(
            token=self._tokenizer.decode([token]),
            alternatives={self._tokenizer.decode([each]): float(log_probabilities[each]) for each in weighed},
        )


def _pick(logits: torch.Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    return int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator))
