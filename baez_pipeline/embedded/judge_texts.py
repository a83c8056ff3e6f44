"""Texts that the judge is trained on: written by SmolLM2 about given topics, and the news that gensim ships.

None is of an article that lends the embedded experiment an example or calibrates the judge.
"""

import importlib.util
import random
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import DynamicCache, LlamaForCausalLM, PreTrainedTokenizerBase

from baez_pipeline.embedded import DATA
from baez_pipeline.embedded.corpus import GENSIM_VERSION
from baez_pipeline.errors import MissingPackageError
from baez_pipeline.progress import tracked

LEXICONS = DATA / "judge_lexicons.txt"
NO_TOPIC = -1

_MORE_TOPICS = (
    "bees and honey; dogs as pets; cats; horses and riding; birdwatching; sharks; snakes and reptiles; spiders; "
    "butterflies; dinosaurs; the Moon landing; black holes; volcanoes; earthquakes; glaciers; rainforests; coral "
    "reefs; deserts; tornadoes; solar power; wind turbines; nuclear power; electric cars; steam engines; "
    "railways; bridges; skyscrapers; lighthouses; submarines; airports; cycling; marathon running; swimming "
    "pools; mountain climbing; skiing; surfing; chess; poker; crossword puzzles; video games; board games; jazz; "
    "opera; rock music; ballet; circus clowns; magic tricks; photography; sculpture; pottery; knitting; fashion "
    "shows; perfume; hairdressing; tattoos; jewelry; watches and clocks; furniture making; house cleaning; "
    "plumbing; gardening; wine making; beer brewing; coffee; tea ceremonies; chocolate; cheese; pizza; soup; "
    "vegetarian food; barbecue; baking bread; dentists; eye doctors; vaccines; diabetes; heart attacks; sleep "
    "problems; allergies; mental health; yoga; meditation; weight loss; first aid; ambulances; nursing homes; "
    "kindergartens; school exams; libraries; museums; archaeology; ancient Egypt; the Roman Empire; the Middle "
    "Ages; knights; pirates; Vikings; the Industrial Revolution; the Renaissance; castles; royal weddings; spies; "
    "bank robberies; kidnapping; forensic science; prison life; firefighters; police dogs; traffic jams; road "
    "accidents; insurance; taxes; the stock market; inflation; start-up companies; advertising; supermarkets; "
    "online shopping; credit cards; housing prices; trade unions; job interviews; retirement; computer viruses; "
    "artificial intelligence; robots; smartphones; social networks; programming languages; databases; encryption; "
    "satellites; microscopes; atoms; chemical reactions; evolution; genetics; bacteria; photosynthesis; the "
    "brain; dreams; memory; psychology experiments; childhood; twins; birthday parties; weddings; funerals; "
    "Christmas; holidays abroad; camping; hotels; cruise ships; trains; maps and navigation; the weather "
    "forecast; recycling; climate change; plastic waste; forest fires; floods; drought; fishing; sheep farming; "
    "rice growing; fruit orchards; honesty; friendship; jealousy; courage; loneliness; fairy tales; ghost "
    "stories; detective stories; poetry; newspapers; radio shows; television series; comic books; translation; "
    "sign language; spelling and grammar; public speaking; immigration; refugees; human rights; slavery; charity "
    "work; volunteering; space stations; telescopes; gold mining; diamonds; oil drilling; steel making; glass "
    "blowing"
)

_STYLES = (
    "Write an encyclopedia article about {topic}. Mention {one} and {two}.",
    "Write a news report with quotations about {topic}, {one} and {two}.",
    "Write a page of a novel with dialogue in which people talk about {topic} and {one}.",
    "Write a textbook paragraph on {topic}, with explanations in parentheses and the terms {one} and {two}.",
    "Tell the history of {topic}, with dates, names and places. Mention {one}.",
    "Write a letter to a friend about {topic} and about {one}.",
    "Write a magazine column with an opinion on {topic}. Use the words {one} and {two}.",
    "Write the abstract of a scientific paper on {topic}, {one} and {two}.",
    "Explain {topic} step by step to a beginner. Mention {one}.",
    "Write an interview with an expert on {topic}. One question is about {one}.",
)

_NEW_TOKENS = 140
_WARMTH = 0.9
_AT_ONCE = 2304
_COMMON_TOKENS = 20_000
"""The vocabulary's first tokens were merged first: they are the frequent ones."""


@dataclass(frozen=True)
class Topic:
    """What texts are written about, and words that mean it (none for topics without a list)."""

    names: tuple[str, ...]
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingText:
    """A text and the place of its topic among the topics."""

    text: str
    topic: int = NO_TOPIC


def training_topics() -> list[Topic]:
    """Topics with word lists, then topics without."""
    listed = []
    for line in LEXICONS.read_text(encoding="utf-8").splitlines():
        names, words = line.split(": ")
        listed.append(Topic(tuple(names.split("; ")), tuple(words.split())))
    return [*listed, *(Topic((name,)) for name in _MORE_TOPICS.split("; "))]


def news_texts() -> list[TrainingText]:
    """300 pieces of Australian news of 2000 to 2002 (the Lee background corpus).

    Raises:
        MissingPackageError: gensim is not installed.
    """
    spec = importlib.util.find_spec("gensim")
    if spec is None or spec.origin is None:
        raise MissingPackageError(package="gensim", version=GENSIM_VERSION, needed_for="the judge's training texts")
    path = Path(spec.origin).parent / "test" / "test_data" / "lee_background.cor"
    return [TrainingText(line.strip()) for line in path.read_text(encoding="utf-8").splitlines()]


def written_texts(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    topics: list[Topic],
    *,
    per_topic: int,
    seed: int,
) -> list[TrainingText]:
    """Texts by the model itself, `per_topic` about each topic, in changing styles and with two random words to use."""
    draw = random.Random(seed)
    vocabulary = tokenizer.convert_ids_to_tokens(range(_COMMON_TOKENS))
    words = [token[1:] for token in vocabulary if re.fullmatch(r"Ġ[A-Za-z][a-z]{3,}", token)]
    asked = []
    for index, topic in enumerate(topics):
        for number in range(per_topic):
            style = _STYLES[number % len(_STYLES)]
            asked.append(
                (index, style.format(topic=draw.choice(topic.names), one=draw.choice(words), two=draw.choice(words)))
            )
    prompts = [
        tokenizer.encode(f"<|im_start|>user\n{request}<|im_end|>\n<|im_start|>assistant\n") for _, request in asked
    ]
    # Prompts of one length need no padding between prompt and answer.
    order = sorted(range(len(asked)), key=lambda index: len(prompts[index]))
    torch.manual_seed(seed)
    texts: dict[int, str] = {}
    batches = [order[start : start + _AT_ONCE] for start in range(0, len(order), _AT_ONCE)]
    for batch in tracked(batches, "Writing texts", units_each=_AT_ONCE, unit="texts"):
        answers = _continue(model, [prompts[index] for index in batch])
        texts.update(zip(batch, tokenizer.batch_decode(answers, skip_special_tokens=True), strict=True))
    return [TrainingText(texts[index].strip(), topic) for index, (topic, _) in enumerate(asked)]


@torch.inference_mode()
def _continue(model: LlamaForCausalLM, prompts: list[list[int]]) -> Tensor:
    """`_NEW_TOKENS` sampled tokens after each prompt, none of them special."""
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts], device=model.device)
    before = torch.tensor([width - len(prompt) for prompt in prompts], device=model.device)
    mask = (torch.arange(width, device=model.device) >= before[:, None]).long()
    positions = (torch.arange(width, device=model.device) - before[:, None]).clamp(min=0)
    cache = DynamicCache()
    written = []
    for _ in range(_NEW_TOKENS):
        logits = model(
            ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits[:, -1]
        logits[:, :17] = -torch.inf
        best, tokens = logits.float().topk(200)
        ids = tokens.gather(1, torch.multinomial((best / _WARMTH).softmax(-1), 1))
        written.append(ids)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        positions = positions[:, -1:] + 1
    return torch.cat(written, dim=1)


_BRACKETS = ("()", "()", "[]", '""', '""', "''", "“”", "{}", "‘’")


def with_marks(text: str, draw: random.Random) -> str:
    """The text with brackets, quotation marks and numbers put in, which SmolLM2 seldom writes."""
    words = text.split(" ")
    for _ in range(draw.choice((0, 0, 1, 1, 2, 3))):
        start = draw.randrange(len(words))
        end = min(len(words) - 1, start + draw.choice((0, 0, 1, 2, 4)))
        brackets = draw.choice(_BRACKETS)
        words[start] = brackets[0] + words[start]
        words[end] += brackets[1]
    for _ in range(draw.choice((0, 0, 0, 1, 2))):
        number = draw.choice(
            (str(draw.randrange(1400, 2030)), str(draw.randrange(100)), f"{draw.randrange(1, 900)},000")
        )
        words.insert(
            draw.randrange(len(words)), draw.choice((number, number, f"({number})", f"[{number}]", f"{number}%"))
        )
    return " ".join(words)
