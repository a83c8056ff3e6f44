"""A Neuronpedia of made-up features, with the bodies and the bad manners of the real one.

Feature i is about theme i mod 12. Its contexts come from one corpus, so that features share contexts as they do in a
real source: packed with other documents nearly half of the time, some twice, some rows drawn from bins of activations,
some contexts in which the feature is silent.
"""

import asyncio
import gzip
import json
import random
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MODEL, SOURCE = "gemma-3-27b-it", "41-gemmascope-2-res-262k"
BOS = "<bos>"
THEMES = {
    "music": "orchestra melody violin concert song rhythm choir piano",
    "cooking": "recipe oven butter flour simmer garlic sauce dough",
    "football": "goalkeeper striker penalty league referee midfield stadium kickoff",
    "astronomy": "telescope galaxy orbit planet comet nebula eclipse asteroid",
    "medicine": "patient surgeon diagnosis vaccine hospital symptom therapy dosage",
    "law": "court judge verdict attorney statute appeal lawsuit testimony",
    "sailing": "harbour sail anchor captain deck mast rudder voyage",
    "railway": "locomotive platform timetable carriage junction conductor track station",
    "weather": "rainfall forecast thunder humidity blizzard drought breeze cloud",
    "banking": "loan interest deposit mortgage credit account teller currency",
    "gardening": "seedling compost prune hedge tulip greenhouse lawn weed",
    "painting": "canvas brush portrait pigment easel fresco watercolour gallery",
}
_NAMES = list(THEMES)
_FRAMES = (
    "In the spring of that year the {} was said to matter more than the {} .",
    "Nobody who came here before had seen a {} like this one , and some spoke of the {} .",
    "When the morning was over , they wrote about the {} and then about {} again .",
    "Her uncle kept an old {} in the house , which he called his {} .",
    "It is not easy to explain why a {} should need so much {} .",
    "Most of the people in town remember the {} and what it did to their {} .",
)
_CONTEXTS_PER_THEME = 60
_ROWS = 24
_BIN_ROWS = 6


@dataclass
class Fault:
    """What a request gets instead of its answer."""

    status: int = 500
    body: bytes = b'{"error": "Internal Server Error"}'
    headers: dict[str, str] = field(default_factory=dict)
    hang_seconds: float = 0
    cut: bool = False
    """Close the connection half-way through the body."""


LIMITED = json.dumps(
    {
        "endpoint": "/api/feature",
        "limitPerWindow": 120,
        "requestWindow": "60 m",
        "remainingRequests": 0,
        "error": "Rate limit exceeded. You are limited to 120 requests per 60 m.",
    }
).encode()
TRUNCATED = Fault(status=200, body=b'{"modelId": "gemma-3-27b-it", "lay')


class FakeNeuronpedia:
    """Routes under /api, what was asked of them, and what is to go wrong.

    Of every 25 features one is missing, one dead, one sparse, and one has rows that contradict themselves.
    """

    def __init__(self, *, model: str = MODEL, source: str = SOURCE, width: int = 200) -> None:
        self.model, self.source, self.width = model, source, width
        self.requests: Counter[str] = Counter()
        """By path."""
        self.keys: list[str | None] = []
        """The header x-api-key of each request."""
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        """By path, or "*" for any: each request takes one."""

    def routes(self) -> list[Route]:
        """GET /api/feature/{model}/{source}/{index}."""
        return [Route("/api/feature/{model}/{source}/{index}", self._feature)]

    def path(self, index: int) -> str:
        """Of a feature, as `requests` and `faults` know it."""
        return f"/api/feature/{self.model}/{self.source}/{index}"

    def body(self, index: int) -> dict[str, Any] | None:
        """The JSON of a feature; None if it is missing."""
        if not 0 <= index < self.width or index % 25 == 7:
            return None
        return _body(self.model, self.source, index)

    async def _feature(self, request: Request) -> Response:
        path = request.url.path
        self.requests[path] += 1
        self.keys.append(request.headers.get("x-api-key"))
        queue = self.faults[path] or self.faults["*"]
        if queue:
            return await _faulty(queue.popleft())
        body = None
        if (request.path_params["model"], request.path_params["source"]) == (self.model, self.source):
            body = self.body(int(request.path_params["index"]))
        return JSONResponse(body) if body else JSONResponse({"error": "Feature not found"}, status_code=404)


async def _faulty(fault: Fault) -> Response:
    await asyncio.sleep(fault.hang_seconds)
    if not fault.cut:
        return Response(fault.body, fault.status, headers=fault.headers, media_type="application/json")

    async def half():
        yield fault.body
        raise ConnectionError

    return StreamingResponse(half(), headers={"content-length": str(2 * len(fault.body))})


def write_export(folder: Path, server: FakeNeuronpedia, batches: list[list[int]]) -> Path:
    """The same features as a bulk export: `<model>/<source>` in the folder, one batch per list of indices."""
    root = folder / server.model / server.source
    for kind in ("features", "activations"):
        (root / kind).mkdir(parents=True)
    for number, indices in enumerate(batches):
        bodies = [body for body in map(server.body, indices) if body]
        rows = [row for body in bodies for row in body.pop("activations")]
        for kind, lines in (("features", bodies), ("activations", rows)):
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (root / kind / f"batch-{number}.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    return root


def context(theme: int, number: int) -> tuple[list[str], int, int]:
    """A context of the corpus, and where the document about the theme lies in it."""
    rng = random.Random(f"context {theme} {number}")
    document = [BOS, *_text(theme, rng)]
    if rng.random() > 0.46:
        return document, 0, len(document)
    before = [BOS, *_text((theme + 5) % len(_NAMES), rng)[: rng.randrange(8, 20)]]
    after = rng.choice([[BOS], [BOS, *_text((theme + 7) % len(_NAMES), rng)[:15]]])
    return [*before, *document, *after], len(before), len(before) + len(document)


def _text(theme: int, rng: random.Random) -> list[str]:
    words = [_NAMES[theme], *THEMES[_NAMES[theme]].split()]
    sentences = [frame.format(*rng.sample(words, 2)) for frame in rng.sample(_FRAMES, rng.randrange(4, 6))]
    return [word if word in ",." else f" {word}" for word in " ".join(sentences).split()]


def _body(model: str, source: str, index: int) -> dict[str, Any]:
    rng, theme = random.Random(f"feature {index}"), index % len(_NAMES)
    rows = _rows(index, theme, rng)
    where = {"index": str(index), "layer": source, "modelId": model}
    rows = [_filled(where, place, row) for place, row in enumerate(rows)]
    rows.sort(key=lambda row: -row["maxValue"])
    words = [f"▁{word}" for word in THEMES[_NAMES[theme]].split()]
    return {
        **where,
        "sourceSetName": source.partition("-")[2],
        "creatorId": "made-up",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "maxActApprox": max((row["maxValue"] for row in rows), default=0),
        "hasVector": False,
        "vector": [],
        "vectorLabel": None,
        "vectorDefaultSteerStrength": 10,
        "hookName": f"blocks.{source.partition('-')[0]}.hook_resid_post",
        "topkCosSimIndices": [],
        "topkCosSimValues": [],
        **{f"neuron_alignment_{name}": [] for name in ("indices", "values", "l1")},
        **{f"correlated_neurons_{name}": [] for name in ("indices", "pearson", "l1")},
        **{f"correlated_features_{name}": [] for name in ("indices", "pearson", "l1")},
        "neg_str": ["▁zzz", "�"],
        "neg_values": [-0.8, -0.5],
        "pos_str": words,
        "pos_values": [round(1.5 - 0.1 * place, 3) for place in range(len(words))],
        "frac_nonzero": 0.00123,
        **{f"{name}_hist_data_bar_{what}": [] for name in ("freq", "logits") for what in ("heights", "values")},
        "decoder_weights_dist": [],
        **{f"umap_{name}": None for name in ("cluster", "log_feature_sparsity", "x", "y")},
        "model": {"id": model, "displayName": "GEMMA-3-27B-IT", "layers": 62, "tlensId": None, "instruct": True},
        "lists": [],
        "creator": {"name": "made-up"},
        "source": {
            "id": source,
            "modelId": model,
            "saelensRelease": None,
            "saelensSaeId": None,
            "hfRepoId": "google/gemma-scope-2-27b-it",
            "hfFolderId": "resid_post/layer_41_width_262k_l0_medium",
            "num_prompts": 16384,
            "num_tokens_in_prompt": 128,
            "dataset": "monology/pile-uncopyrighted",
            "setName": source.partition("-")[2],
            "inferenceEnabled": True,
        },
        "sourceSet": None,
        "comments": [],
        "activations": rows,
        "explanations": [
            {"id": f"e{index}", "description": _NAMES[theme], "typeName": "np_max-act", "scores": []},
        ],
    }


def _rows(index: int, theme: int, rng: random.Random) -> list[dict[str, Any]]:
    kind = index % 25
    if kind == 11:
        return []
    chosen = rng.sample(range(_CONTEXTS_PER_THEME), 6 if kind == 17 else _ROWS)
    rows = [_active(theme, number, rank, rng) for rank, number in enumerate(chosen)]
    twice = [{**row, "dataIndex": f"{row['dataIndex']}-again"} for row in rows[:2]]
    others = [(theme + step) % len(_NAMES) for step in (1, 2, 3, 4, 6)]
    zeros = [_silent(other, rng.randrange(_CONTEXTS_PER_THEME)) for other in others]
    broken = (
        [] if kind != 19 else [{**rows[0], "values": rows[0]["values"][:-1]}, {**rows[1], "maxValueTokenIndex": 999}]
    )
    return [*rows, *twice, *zeros, *broken]


def _active(theme: int, number: int, rank: int, rng: random.Random) -> dict[str, Any]:
    tokens, start, end = context(theme, number)
    words = {f" {word}" for word in [_NAMES[theme], *THEMES[_NAMES[theme]].split()]}
    places = [place for place in range(start, end) if tokens[place] in words]
    values = [0.0] * len(tokens)
    strongest = round(900 * 0.96**rank, 2)
    for place in places:
        values[place] = round(strongest * rng.uniform(0.1, 0.5), 2)
    late = [place for place in places if place > start + 20]
    peak = rng.choice(late)
    values[peak] = strongest
    row = {"tokens": tokens, "values": values, "dataIndex": str(1000 * theme + number)}
    if rank >= _ROWS - _BIN_ROWS:
        qualifying = rng.choice([place for place in late if place != peak])
        value = values[qualifying]
        row |= {"qualifyingTokenIndex": qualifying, "binMin": value - 1, "binMax": value + 1, "binContains": 0.1}
    return row


def _silent(theme: int, number: int) -> dict[str, Any]:
    tokens, _, _ = context(theme, number)
    return {"tokens": tokens, "values": [0.0] * len(tokens), "dataIndex": str(1000 * theme + number)}


def _filled(where: dict[str, Any], place: int, row: dict[str, Any]) -> dict[str, Any]:
    largest = max(row["values"])
    return {
        "id": f"a{where['index']}-{place}",
        **where,
        "dataSource": None,
        "maxValue": largest,
        "maxValueTokenIndex": row["values"].index(largest),
        "minValue": min(row["values"]),
        **{name: [] for name in ("dfaValues", "zQIndices", "zKIndices", "zValues", "lossValues")},
        "dfaTargetIndex": None,
        "dfaMaxValue": None,
        "creatorId": "made-up",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "logitContributions": None,
        "binMin": -1,
        "binMax": -1,
        "binContains": -1,
        "qualifyingTokenIndex": None,
        **row,
    }
