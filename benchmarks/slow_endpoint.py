"""An OpenAI-compatible endpoint in a process of its own that answers after a fixed time; prints its address."""

import argparse
import hashlib
import json
import sys
from typing import Any

from baez_pipeline_tests.openai_answers import answer
from baez_pipeline_tests.openai_server import FakeOpenAI
from baez_pipeline_tests.served import served


def _distinct(body: dict[str, Any]) -> str:
    """Labels of which no two are alike, so that no question is asked once for two methods."""
    text = answer(body)
    return f"{text} {hashlib.sha1(json.dumps(body).encode()).hexdigest()[:8]}" if "[EXPLANATION]" in text else text


def main() -> None:
    """Serve until the standard input is closed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--model", required=True)
    asked = parser.parse_args()
    endpoint = FakeOpenAI(models=(asked.model,), answer=_distinct, delay_seconds=asked.seconds)
    with served(endpoint.app) as address:
        print(address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
