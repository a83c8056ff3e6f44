"""An OpenAI-compatible endpoint in a process of its own that answers a fixed time after a request; prints its address.

It does as little as it can: what it computes, it takes from the cores of those whose speed is measured.
"""

import argparse
import asyncio
import hashlib
import json
import sys
import time
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from baez_pipeline_tests.openai_answers import answer
from baez_pipeline_tests.served import served


def main() -> None:
    """Serve until the standard input is closed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, required=True)
    asked = parser.parse_args()

    async def complete(request: Request) -> Response:
        arrived = time.monotonic()
        raw = await request.body()
        completion = json.dumps(_completion(json.loads(raw), raw))
        await asyncio.sleep(arrived + asked.seconds - time.monotonic())
        return Response(completion, media_type="application/json")

    with served(Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])) as address:
        print(address, flush=True)
        sys.stdin.read()


def _completion(body: dict[str, Any], raw: bytes) -> dict[str, Any]:
    """A plausible answer; of labels no two are alike, so that no question is asked once for two methods."""
    text = answer(body)
    if "[EXPLANATION]" in text:
        text += f" {hashlib.sha1(raw).hexdigest()[:8]}"
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    # Four characters to a token, as English has them.
    usage = {"prompt_tokens": len(raw) // 4, "completion_tokens": len(text) // 4}
    usage["total_tokens"] = sum(usage.values())
    head = {"id": "chatcmpl-0", "object": "chat.completion", "created": int(time.time()), "model": body["model"]}
    return {**head, "choices": [choice], "usage": usage}


if __name__ == "__main__":
    main()
