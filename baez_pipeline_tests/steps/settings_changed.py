"""Every setting of the experiment file, found by walking its models, and experiments that differ in one of them.

A place in the file is written with dots, and with the kind of a table that comes in several:
`labeling.writer:http.model`.
"""

import copy
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from baez_pipeline.experiment import Experiment

BASE = {
    "name": "made_up",
    "sample": {"features": 2},
    "labeling": {"methods": ["baez", "eleuther_acts_top5", "tiers"]},
    "tiers": {},
    "ablation": {},
    "controls": {"shuffles": 1},
}
"""The embedded experiment with everything switched on that it has by default not."""

_PRICES = {"usd_per_million_in": 3.0, "usd_per_million_out": 15.0}
_HTTP = {"kind": "http", "model": "large", "base_url": "https://a.invalid/v1", **_PRICES}


def kinds(folder: Path) -> dict[str, dict[str, Any]]:
    """What a table of each kind has to say, besides its defaults; `folder` holds what its paths name."""
    pair = {"verbalizer": str(folder / "av"), "revision": "1"}
    return {
        "source:local_sae": {"kind": "local_sae"},
        "source:neuronpedia_api": {"kind": "neuronpedia_api", "model": "m", "source": "20-res", "width": 100},
        "source:neuronpedia_export": {"kind": "neuronpedia_export", "url": str(folder / "export_source")},
        "nla.subject:smollm2": {"kind": "smollm2"},
        "nla.subject:folder": {"kind": "folder", "path": str(folder / "subject"), "model": "m"},
        "nla.engine:neighbours": {"kind": "neighbours"},
        "nla.engine:small_nla": {"kind": "small_nla"},
        "nla.engine:transformers": {"kind": "transformers", **pair},
        "nla.engine:vllm": {"kind": "vllm", **pair},
        "nla.engine:neuronpedia": {"kind": "neuronpedia", "model": "m", "nla_source": "kitft-l20"},
        "nla.engine:nla_server": {"kind": "nla_server", "name": "n", "by": "vector"},
        "labeling.writer:smollm2": {"kind": "smollm2"},
        "labeling.writer:http": _HTTP,
        "tiers.tier_1_writer:smollm2": {"kind": "smollm2", "max_tokens": 12},
        "tiers.tier_1_writer:http": _HTTP | {"model": "small"},
        "scoring.judge:smollm2_likelihood": {"kind": "smollm2_likelihood"},
        "scoring.judge:http": _HTTP,
    }


def leaves(model: type[BaseModel] = Experiment, before: str = "") -> Iterator[str]:
    """Every setting: fields that are no tables, tables that may be left out, and which kind a table is of."""
    for name, field in model.model_fields.items():
        place = f"{before}{name}"
        tables = [found for found in _flat(field.annotation) if _is_table(found)]
        if name == "kind":
            continue
        if not tables or type(None) in _flat(field.annotation) or len(tables) > 1:
            yield place
        for table in tables:
            kind = f":{table.model_fields['kind'].default}" if len(tables) > 1 else ""
            yield from leaves(table, f"{place}{kind}.")


def with_settings(settings: dict[str, Any], kinds_of: dict[str, dict[str, Any]], place: str, value: Any) -> Any:
    """The settings with the one at a place changed, and tables on the way there of the kinds that the place names."""
    settings = at_place(settings, kinds_of, place)
    *tables, last = [piece.partition(":")[0] for piece in place.split(".")]
    reduce(lambda table, name: table.setdefault(name, {}), tables, settings)[last] = value
    return settings


def at_place(settings: dict[str, Any], kinds_of: dict[str, dict[str, Any]], place: str) -> dict[str, Any]:
    """The settings with tables of the kinds that a place names."""
    settings = copy.deepcopy(settings)
    pieces = place.split(".")
    for end in range(1, len(pieces)):
        kind = ".".join(pieces[:end])
        if ":" in pieces[end - 1]:
            *tables, last = [piece.partition(":")[0] for piece in pieces[:end]]
            table = reduce(lambda found, name: found.setdefault(name, {}), tables, settings)
            if table.get(last, {}).get("kind") != kinds_of[kind]["kind"]:
                table[last] = dict(kinds_of[kind])
    if settings.get("scoring", {}).get("judge", {}).get("kind") == "http":
        # The ablation judges in process.
        settings.pop("ablation", None)
    return settings


def _flat(annotation: Any) -> list[Any]:
    inner = get_args(annotation)
    return [annotation, *(found for each in inner for found in _flat(each))]


def _is_table(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
