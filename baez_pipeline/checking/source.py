"""The source: whether it can be read, and is of the layer, site and width that the experiment says."""

import re
from collections.abc import Generator
from dataclasses import dataclass

import polars as pl

from baez_pipeline.checking.finding import Finding, Undecided, tried
from baez_pipeline.checking.traffic import Traffic
from baez_pipeline.draws import seeded_order
from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import NeuronpediaApiSource, optional_key
from baez_pipeline.features import FeatureSource
from baez_pipeline.features.examples import distinct_examples
from baez_pipeline.features.neuronpedia_api import NeuronpediaApi
from baez_pipeline.features.source import UnreadableRecord
from baez_pipeline.neuronpedia import Neuronpedia
from baez_pipeline.nla.described import BOS

DRAWS_TRIED = 20
UNREADABLE_TRIED = 2
_BLOCK = re.compile(r"(?:^|\.)(?:blocks|layers|h)\.(\d{1,4})(?:\.(.*))?$")
"""TransformerLens's `blocks.41.hook_resid_post`, transformers' `model.layers.41`."""
_OUTPUT = ("", "output", "hook_resid_post")
_INPUT = ("input", "hook_resid_pre")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the check of the source leaves for the check of the verbalizer."""

    source: FeatureSource | None = None
    """None: it does not open."""
    examples: pl.DataFrame | None = None
    """One feature's examples (ActivationRow columns); None: none could be read."""

    @property
    def bos(self) -> str | None:
        """The token with which the source's contexts begin, if it is a BOS; Gemma's where no context was read."""
        if self.examples is None:
            return "<bos>"
        first = self.examples["tokens"][0][0]
        return first if first in BOS else None


def check_source(equipment: Equipment) -> Generator[Finding, None, Seen]:
    """Open it, read the first of the features that a run would draw, and compare them with the experiment."""
    opened = tried("source", lambda: _named(equipment.source))
    yield opened
    if opened.outcome == "failed":
        return Seen()
    of_one_layer = not equipment.experiment.lists_layers
    if of_one_layer:
        yield tried("source's layer", lambda: _layer(equipment))
    reader, traffic = _reader(equipment)
    found: list[pl.DataFrame] = []

    def read() -> str:
        record, said = _first_record(reader, equipment.source.width, equipment.experiment.seed)
        found.append(record)
        return said + (traffic.note if traffic else "")

    yield tried("source's features", read)
    if not found:
        return Seen(source=equipment.source)
    record, examples = found[0], distinct_examples(found[0])
    if of_one_layer:
        yield tried("source's hook", lambda: _hook(record["hookName"][0], equipment.experiment.nla.layer))
    yield tried("source's contexts", lambda: _beginnings(examples))
    if traffic:
        yield tried("source's width", lambda: _width(reader, equipment.source.width))
    return Seen(source=equipment.source, examples=examples)


def _named(source: FeatureSource) -> str:
    return f"{source.model_id} {source.source_id}, {source.width:,} features"


def _layer(equipment: Equipment) -> str:
    equipment.check_layer()
    return f"{equipment.experiment.nla.layer}, as nla.layer"


def _reader(equipment: Equipment) -> tuple[FeatureSource, Traffic | None]:
    """The source; one behind Neuronpedia's API waits for no limit to be lifted, and may be asked beyond its width."""
    settings = equipment.experiment.source
    if not isinstance(settings, NeuronpediaApiSource):
        return equipment.source, None
    traffic = Traffic()
    key = optional_key(settings.key_variable)
    client = Neuronpedia(settings.base_url, equipment.answers, key=key, wait=traffic.wait)
    client.around_requests(traffic.before, traffic.after)
    return NeuronpediaApi(client, settings.model_copy(update={"width": settings.width + 1})), traffic


def _first_record(source: FeatureSource, width: int, seed: int) -> tuple[pl.DataFrame, str]:
    """The first feature with examples in the order in which a run draws, so that the run asks nothing twice.

    Raises:
        SourceError: there is none among the first, or records cannot be read.
        ServiceError: the service behind the source cannot be asked.
        Undecided: the first have no examples.
    """
    drawn = seeded_order(range(width), seed, source.source_id, "sampled")[:DRAWS_TRIED]
    missing = unreadable = 0
    for index in drawn:
        try:
            record = source.record(index)
        except UnreadableRecord:
            unreadable += 1
            if unreadable == UNREADABLE_TRIED:
                raise
            continue
        if record is None:
            missing += 1
        elif n_examples := distinct_examples(record).height:
            return record, f"feature {index} can be read and has {n_examples} examples"
    if missing + unreadable == len(drawn):
        raise SourceError(
            f"Source {source.source_id} of {source.model_id} has none of the first {len(drawn)} features that are "
            f"drawn from its {width:,}: check source.model, source.source and source.width, or its files."
        )
    raise Undecided(
        f"The source can be read, but none of the first {len(drawn)} features that are drawn has an example."
    )


def _hook(name: str | None, layer: int) -> str:
    """That a source's hook is the tensor that an NLA of the layer reads: the residual stream after that block.

    Raises:
        SourceError: it is not.
        Undecided: the name does not say.
    """
    if not name:
        raise Undecided("The source's records do not name the hook.")
    match = _BLOCK.search(name)
    if match is None:
        raise Undecided(f"The records name {name[:80]!r}, in which no block can be read.")
    block, place = int(match[1]), match[2] or ""
    if place not in _OUTPUT + _INPUT:
        raise SourceError(
            f"The SAE reads {name[:80]}, which is not the residual stream between blocks; what an NLA reads of layer "
            f"{layer} is: choose a source whose hook is blocks.{layer}.hook_resid_post."
        )
    # What goes into a block is what comes out of the one before it.
    after = block - 1 if place in _INPUT else block
    if after != layer:
        raise SourceError(
            f"The SAE reads {name[:80]}, the output of block {after}, and nla.layer is {layer}: "
            f"choose another source, or set nla.layer to {after}."
        )
    return f"{name[:80]}, the output of block {layer}"


def _beginnings(examples: pl.DataFrame) -> str:
    firsts = examples["tokens"].list.first().to_list()
    begins = sum(first in BOS for first in firsts)
    if begins == len(firsts):
        return f"all {begins} begin with {firsts[0]}"
    if begins:
        return f"{begins} of {len(firsts)} begin with a BOS"
    return "none begins with a BOS: a service by text may put one before it, which its engine finds out"


def _width(reader: FeatureSource, width: int) -> str:
    """That `source.width` is the source's: Neuronpedia does not say how many features it has.

    Raises:
        SourceError: the source has a feature beyond it.
        Undecided: the source lacks the last one, too.
    """
    if reader.record(width) is not None:
        raise SourceError(
            f"source.width is {width:,}, but the source has a feature {width:,}: features beyond would never be drawn. "
            "Set source.width to the number of its features."
        )
    if reader.record(width - 1) is None:
        raise Undecided(
            f"The source has neither feature {width:,} nor feature {width - 1:,}: it may be narrower than source.width "
            "says, or lack the last one. Draws of features that are missing are rejected, and counted in the roster."
        )
    return f"feature {width - 1:,} is the last"
