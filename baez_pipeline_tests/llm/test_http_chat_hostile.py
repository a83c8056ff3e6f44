"""Chat over HTTP with an endpoint that means harm, or is only broken: nothing that it sends may stop or spoil a run."""

import json
import sqlite3
import traceback
import zlib

import pytest

from baez_pipeline.llm.chat import Completion
from baez_pipeline.tables import Outcome
from baez_pipeline_tests.llm.asking import ask_all, judged, question
from baez_pipeline_tests.openai_faults import (
    altered,
    always,
    cut,
    error_with_200,
    in_turn,
    instead,
    turned_away,
)

DEEP = 100_000
HALF_A_PAIR = {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "[1, 0, 1] \ud83d"}}],
}
KEY = "sk-hunter2-hunter2-hunter2"


@pytest.mark.parametrize(
    "fault",
    [
        altered(choices=[None]),
        altered(choices="abc"),
        altered(choices=[{"index": 0}]),
        altered(choices=[{"index": 0, "message": "text"}]),
        altered(choices=[{"index": 0, "message": {"content": 5}}]),
        altered(choices=[{"index": 0, "message": {"content": [{"type": "text", "text": "[1, 0, 1]"}]}}]),
        altered(choices=[{"index": 0, "message": {"content": "[1, 0, 1]", "refusal": 5}}]),
        altered(choices=[{"index": 0, "message": {"content": "[1, 0, 1]"}, "logprobs": "abc"}]),
        altered(choices=[{"index": 0, "message": {"content": "[1, 0, 1]"}, "logprobs": {"content": "abc"}}]),
        altered(choices=[{"index": 0, "message": {"content": "[1]"}, "logprobs": {"content": [{"token": "1"}]}}]),
        altered(choices=[{"message": {"content": "[1]"}, "logprobs": {"content": [{"token": 1, "logprob": "a"}]}}]),
        altered(usage=None),
        altered(usage="many"),
        altered(usage=[1]),
        altered(usage={"prompt_tokens": "many", "completion_tokens": {}}),
        altered(usage={"prompt_tokens": None, "completion_tokens": None}),
        altered(usage={"prompt_tokens": -5, "completion_tokens": -5}),
        altered(usage={"prompt_tokens": 1.5, "completion_tokens": 2.0}),
        altered(usage={"prompt_tokens": 2**70, "completion_tokens": 5}),
        altered(usage={"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": 7}),
        altered(usage={"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 50}}),
        altered(error="Something went wrong"),
        altered(error={"code": "502", "message": None}),
        altered(error=5),
        instead("[" * DEEP),
        instead('{"choices": ' + "[" * DEEP),
        instead('{"error": {"message": "half a pair \\ud800, zero \\u0000"}}', status=500),
        instead('{"error": {"message": {"not": "text"}, "code": []}}', status=400),
        instead('{"error": null}', status=500),
        instead("[1, 2]", status=400),
        instead(json.dumps(HALF_A_PAIR)),
    ],
)
def test_no_response_stops_a_run_or_spoils_the_ledger(asking, fault):
    asking.fake.faults = always(fault)
    (completion,) = ask_all(asking.chat(asks=2, tries=1), [judged()])
    assert isinstance(completion, Completion), completion
    assert completion.text.encode().decode() == completion.text
    assert asking.answers.ledger("e")["usd"].min() >= 0
    spent = asking.answers.spent("e")
    assert spent.usd_at_most >= spent.usd
    asking.fake.faults = in_turn()
    assert asking.ask(judged()).outcome is Outcome.OK


@pytest.mark.parametrize(
    "fault",
    [
        turned_away(401),
        turned_away(402),
        turned_away(403),
        turned_away(404),
        turned_away(400),
        turned_away(429),
        turned_away(500),
        error_with_200(502),
        error_with_200(401),
        instead(f"<html>{KEY}</html>", status=500, media_type="text/html"),
        instead(f"<html>{KEY}</html>", media_type="text/html"),
        instead(json.dumps({"error": {"message": f"Bearer {KEY}", "code": KEY}}), status=400),
        instead(json.dumps({KEY: KEY})),
        cut(),
        None,
    ],
)
def test_the_key_is_in_no_message_log_or_file(asking, caplog, fault):
    caplog.set_level("DEBUG")
    for logger in ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "sqlalchemy", "baez_pipeline"):
        caplog.set_level("DEBUG", logger)
    asking.fake.key = KEY
    asking.fake.faults = always(fault) if fault else in_turn()
    (result,) = ask_all(asking.chat(key=KEY, key_variable="FAKE_KEY"), [question()])
    said = "".join(traceback.format_exception(result)) if isinstance(result, BaseException) else str(result)
    assert asking.fake.with_key[0]
    assert KEY not in said
    assert KEY not in caplog.text
    assert KEY not in str([vars(record) for record in caplog.records])
    for file in asking.folder.iterdir():
        assert KEY.encode() not in file.read_bytes()
    with sqlite3.connect(asking.folder / "answers.sqlite") as connection:
        for (body,) in connection.execute("SELECT body FROM answers"):
            assert KEY.encode() not in zlib.decompress(body)
