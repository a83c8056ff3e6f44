import json

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from baez_pipeline.checking import check_experiment, traffic
from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment
from baez_pipeline_tests.neuronpedia_server import MODEL, SOURCE, FakeNeuronpedia
from baez_pipeline_tests.nla_service import FakeNla
from baez_pipeline_tests.openai_server import FakeOpenAI
from baez_pipeline_tests.served import served

KEY = "sk-or-v1-5d41402abc4b2a76"
NEURONPEDIA_KEY = "np-93b885adfe0da089"


class World:
    """Everything that an experiment over HTTP names, on one server: OpenRouter, Neuronpedia, an NLA server."""

    def __init__(self):
        self.chat = FakeOpenAI(key=KEY, models=("maker/writer-1", "maker/judge-1", "maker/judge-2"))
        self.neuronpedia = FakeNeuronpedia()
        self.nla = FakeNla()
        self.key_status, self.key_body = 200, {"data": {"limit_remaining": 12.5, "usage": 3.25, "label": KEY}}

    @property
    def app(self):
        models = [{"id": name} for name in self.chat.models]
        return Starlette(
            routes=[
                *self.neuronpedia.routes(),
                *self.nla.routes(),
                Route("/v1/key", self._key),
                # As OpenRouter has it: the list is there for everybody.
                Route("/open/models", lambda _: JSONResponse({"data": models})),
                Route("/open/key", self._key),
                Route("/site/models", lambda _: JSONResponse("Welcome!")),
                Mount("", self.chat.app),
            ]
        )

    async def _key(self, request):
        if request.headers.get("authorization") != f"Bearer {KEY}":
            sent = request.headers.get("authorization")
            return JSONResponse({"error": {"message": f"User not found for {sent}", "code": 401}}, status_code=401)
        return JSONResponse(self.key_body, status_code=self.key_status)


class Stand:
    """One server for all tests, each of which puts its own world there."""

    world: World

    async def __call__(self, scope, receive, send):
        await self.world.app(scope, receive, send)


@pytest.fixture(scope="package")
def stand():
    stand = Stand()
    with served(stand) as stand.address:
        yield stand


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """Four clients a check would each read 140 certificates for servers that speak no TLS; and pauses are short."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setattr(traffic, "LONGEST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def world(stand, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("NEURONPEDIA_API_KEY", NEURONPEDIA_KEY)
    stand.world = world = World()
    world.address = stand.address
    yield world
    assert world.chat.requests == 0, "a check bought a completion"


@pytest.fixture
def equipment_with(world, tmp_path):
    """Equipment of an experiment on the world; writer={...}, source={...} and so on change tables of its file."""

    def equipment_with(*, data=None, budget=5.0, **changes):
        return Equipment(Experiment.model_validate(said(world, budget, **changes)), str(data or tmp_path / "data"))

    return equipment_with


def said(world, budget, *, writer=None, judge=None, source=None, engine=None, layer=41, **tables):
    """The experiment file as a dictionary. A source or engine with a kind is another one, without it a changed one."""
    api = f"{world.address}/api"
    read = {"kind": "neuronpedia_api", "model": MODEL, "source": SOURCE, "width": 200, "base_url": api}
    asked = {"kind": "neuronpedia", "model": MODEL, "nla_source": "kitft-l41", "base_url": api}
    prices = {"usd_per_million_in": 3, "usd_per_million_out": 15}
    chat = {"kind": "http", "base_url": f"{world.address}/v1", "key_variable": "OPENROUTER_API_KEY", **prices}
    return {
        "name": "mine",
        "source": _changed(read, source or {}),
        "nla": {"layer": layer, "engine": _changed(asked, engine or {})},
        "labeling": {"writer": chat | {"model": "maker/writer-1"} | (writer or {})},
        "scoring": {"judge": chat | {"model": "maker/judge-1"} | (judge or {})},
        "budget": {"max_usd": budget},
    } | tables


def _changed(usual, changes):
    return changes if "kind" in changes else usual | changes


def as_toml(tables):
    """The same as a file. JSON's strings, numbers, lists and inline values are TOML's; None is left out."""

    def lines(table, name=""):
        plain = {key: value for key, value in table.items() if not isinstance(value, dict) and value is not None}
        yield from ([f"[{name}]"] if name else []) + [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
        for key, value in table.items():
            if isinstance(value, dict):
                yield from lines(value, f"{name}.{key}".strip("."))

    return "\n".join(lines(tables))


def found(equipment):
    """The findings by subject; none of them holds a key."""
    findings = list(check_experiment(equipment))
    assert len({finding.subject for finding in findings}) == len(findings)
    shown = " ".join(f"{finding.subject} {finding.detail}" for finding in findings)
    assert KEY not in shown
    assert NEURONPEDIA_KEY not in shown
    return {finding.subject: finding for finding in findings}


def those(findings, outcome):
    """The subjects with an outcome."""
    return {subject for subject, finding in findings.items() if finding.outcome == outcome}
