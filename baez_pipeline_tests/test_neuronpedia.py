import json
import socket
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.routing import Route

from baez_pipeline.answers import Answers
from baez_pipeline.errors import AccessError, ServiceError
from baez_pipeline.neuronpedia import TRIES, CallFailed, Neuronpedia
from baez_pipeline.tables import Outcome
from baez_pipeline_tests.neuronpedia_server import LIMITED, MODEL, SOURCE, TRUNCATED, FakeNeuronpedia, Fault
from baez_pipeline_tests.served import served

PATH = f"/feature/{MODEL}/{SOURCE}/3"
KEY = "sk-np-very-secret"


@pytest.fixture
def answers(tmp_path):
    return Answers(f"sqlite:///{tmp_path / 'answers.sqlite'}")


@pytest.fixture
def server():
    return FakeNeuronpedia()


@pytest.fixture
def waits():
    return []


@pytest.fixture
def said():
    return []


@pytest.fixture
def client(answers, waits, said):
    with ExitStack() as stack:

        def connect(app, **options):
            app = app if isinstance(app, Starlette) else Starlette(routes=app.routes())
            url = stack.enter_context(served(app)) + "/api"
            return Neuronpedia(
                url,
                answers,
                **{"key": None, "timeout_seconds": 10, "wait": waits.append, "say": said.append, **options},
            )

        yield connect


def answering(*routes):
    return Starlette(routes=[Route(f"/api{path}", endpoint, methods=["GET", "POST"]) for path, endpoint in routes])


def test_a_response_is_asked_for_once_and_then_kept_whatever_the_address(server, client):
    first = client(server).get(PATH)
    assert first == server.body(3)
    assert client(server).get(PATH) == first
    assert server.requests == {server.path(3): 1}


def test_a_feature_that_is_not_there_is_none_and_not_asked_for_again(server, client):
    missing = PATH[:-1] + "7"
    assert client(server).get(missing) is None
    assert client(server).get(missing) is None
    assert server.requests == {server.path(7): 1}


def test_a_page_that_is_not_there_does_not_make_a_feature_missing(client):
    with pytest.raises(ServiceError, match=r"at http://127.* has nothing at this address \(404\): check base_url"):
        client(answering(("/elsewhere", lambda request: JSONResponse({})))).get(PATH)


def test_a_limit_is_waited_for_as_the_header_says_and_said_with_the_time(server, client, waits, said):
    server.faults["*"].append(Fault(429, LIMITED, {"retry-after": "7"}))
    assert client(server).get(PATH)["index"] == "3"
    assert waits == [7.0]
    assert "You are limited to 120 requests per 60 m" in said[0]
    assert f"at {(datetime.now() + timedelta(seconds=7)):%H:%M}" in said[0]


def test_the_header_may_be_a_date(server, client, waits):
    then = datetime.now(UTC) + timedelta(minutes=3)
    server.faults["*"].append(Fault(429, LIMITED, {"retry-after": format_datetime(then, usegmt=True)}))
    client(server).get(PATH)
    assert 170 < waits[0] <= 180


def test_without_a_header_the_window_says_how_long_and_each_refusal_doubles_it(server, client, waits):
    server.faults["*"].extend([Fault(429, LIMITED)] * 3)
    client(server).get(PATH)
    assert waits == [30.0, 60.0, 120.0]


def test_a_limit_that_says_nothing_is_a_busy_server(server, client, waits):
    server.faults["*"].extend([Fault(429, b'{"error": "NLA server error: 429"}')] * 2)
    client(server).get(PATH)
    assert waits == [5.0, 10.0]


def test_a_limit_that_does_not_end_fails_the_call(server, client, waits):
    server.faults["*"].extend([Fault(429, LIMITED, {"retry-after": "3600"})] * 3)
    with pytest.raises(CallFailed, match="still limits us after 7200 s") as failed:
        client(server).get(PATH)
    assert failed.value.outcome == Outcome.ERROR
    assert waits == [3600.0, 3600.0]


def test_a_limit_while_several_are_fetched_is_waited_for_once(server, client, waits):
    server.faults["*"].append(Fault(429, LIMITED, {"retry-after": "9"}))
    service = client(server)
    paths = [f"/feature/{MODEL}/{SOURCE}/{index}" for index in range(30)]
    service.prefetch(paths)
    assert waits == [9.0]
    assert server.requests.total() == 31
    assert [service.get(path) for path in paths] == [server.body(index) for index in range(30)]
    assert server.requests.total() == 31


@pytest.mark.parametrize(
    "fault", [Fault(500), Fault(503, b"<html>down</html>"), TRUNCATED, Fault(body=b'{"index"', cut=True)]
)
def test_a_passing_fault_is_tried_again(server, client, waits, fault):
    server.faults["*"].extend([fault, fault])
    assert client(server).get(PATH) == server.body(3)
    assert waits == [1.0, 2.0]


@pytest.mark.parametrize(
    ("fault", "outcome", "saying"),
    [
        (Fault(500, b'{"error": "out of\\norder"}'), Outcome.ERROR, "500, 5 times: out of order"),
        (TRUNCATED, Outcome.UNPARSABLE, "not a JSON object"),
        (Fault(200, b"[1, 2]"), Outcome.UNPARSABLE, "not a JSON object"),
        (Fault(body=b'{"index"', cut=True), Outcome.ERROR, "connection was cut"),
        (Fault(hang_seconds=0.3), Outcome.TIMED_OUT, "no answer within 0.1 s, 5 times"),
    ],
)
def test_a_lasting_fault_is_the_calls_outcome_and_nothing_is_kept(server, client, fault, outcome, saying):
    service = client(server, timeout_seconds=0.1 if fault.hang_seconds else 10)
    server.faults["*"].extend([fault] * TRIES)
    with pytest.raises(CallFailed, match=saying) as failed:
        service.get(PATH)
    assert failed.value.outcome == outcome
    assert client(server).get(PATH) == server.body(3)


def test_what_prefetching_could_not_get_is_left_to_be_asked_for(server, client):
    server.faults[server.path(3)].extend([Fault(400)])
    service = client(server)
    service.prefetch([PATH, PATH[:-1] + "4"])
    assert service.get(PATH) == server.body(3)


def test_prefetching_gives_up_when_everything_fails(server, client):
    server.faults["*"].extend([Fault(400)] * 500)
    client(server).prefetch([f"/feature/{MODEL}/{SOURCE}/{index}" for index in range(100)])
    assert server.requests.total() < 30


def test_a_service_that_cannot_be_reached_is_a_sentence(answers, waits):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    service = Neuronpedia(f"http://someone:secret@127.0.0.1:{port}/api", answers, key=None, wait=waits.append)
    with pytest.raises(ServiceError, match=rf"http://127.0.0.1:{port}/api cannot be reached") as failed:
        service.get(PATH)
    assert "secret" not in str(failed.value)
    assert len(waits) == TRIES - 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_accepted_is_a_sentence_without_the_key(server, client, status):
    server.faults["*"].append(Fault(status, json.dumps({"error": f"bad key {KEY}"}).encode()))
    with pytest.raises(AccessError, match=r"does not accept the key \(40.\): bad key \*\*\*"):
        client(server, key=KEY).get(PATH)


def test_another_refusal_is_quoted_cut_and_without_the_key(server, client):
    server.faults["*"].append(Fault(400, json.dumps({"message": f"\x1b[31mwith {KEY} " + "z" * 999}).encode()))
    with pytest.raises(CallFailed) as failed:
        client(server, key=KEY).get(PATH)
    assert failed.value.detail.startswith("Neuronpedia answered 400: [31mwith *** zzz")
    assert len(failed.value.detail) < 240


def test_the_key_is_sent_only_if_there_is_one(server, client):
    client(server, key=KEY).get(PATH)
    client(server).get(PATH[:-1] + "4")
    assert server.keys == [KEY, None]


@pytest.mark.parametrize("key", ["line\nbreak", "schlüssel"])
def test_a_key_that_no_header_carries_is_not_shown(answers, key):
    with pytest.raises(AccessError) as failed:
        Neuronpedia("https://example.org/api", answers, key=key)
    assert key not in str(failed.value)


def test_a_redirect_is_not_followed_with_the_key(client):
    keys = []

    async def elsewhere(request):
        keys.append(request.headers.get("x-api-key"))
        return JSONResponse({})

    app = answering((PATH, lambda request: RedirectResponse("/api/elsewhere")), ("/elsewhere", elsewhere))
    with pytest.raises(ServiceError, match="points elsewhere"):
        client(app, key=KEY).get(PATH)
    assert keys == []


@pytest.mark.parametrize("base_url", ["www.neuronpedia.org/api", "ftp://example.org", "http://", "http://[::1"])
def test_an_address_that_is_none_is_a_sentence(answers, base_url):
    with pytest.raises(ServiceError, match="base_url is"):
        Neuronpedia(base_url, answers, key=None)


def test_a_posted_question_is_answered_once_by_its_content(client):
    asked = Counter()

    async def explain(request):
        body = await request.json()
        asked[body["text"]] += 1
        return JSONResponse({"echo": body["text"]})

    app = answering(("/nla/explain", explain))
    assert client(app).post("/nla/explain", {"text": "a", "n": 1}) == {"echo": "a"}
    assert client(app).post("/nla/explain", {"n": 1, "text": "a"}) == {"echo": "a"}
    assert client(app).post("/nla/explain", {"text": "b", "n": 1}) == {"echo": "b"}
    assert asked == {"a": 1, "b": 1}


def test_a_posted_question_that_is_refused_fails_alone_and_is_not_kept(client):
    replies = [JSONResponse({"error": "no such model"}, 404), JSONResponse({"echo": "a"})]
    app = answering(("/nla/explain", lambda request: replies.pop(0)))
    with pytest.raises(CallFailed, match="404: no such model"):
        client(app).post("/nla/explain", {"text": "a"})
    assert client(app).post("/nla/explain", {"text": "a"}) == {"echo": "a"}


def test_an_error_page_is_quoted_as_text(client):
    app = answering(("/nla/explain", lambda request: PlainTextResponse("too large", 413)))
    with pytest.raises(CallFailed, match="413: too large"):
        client(app).post("/nla/explain", {})
