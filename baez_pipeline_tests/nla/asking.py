"""What the tests of engines over HTTP ask about, and a clock that costs no time."""

from baez_pipeline.nla.engine import Peak
from baez_pipeline_tests.nla_service import pieces

TEXT = "<bos>The fishing boats left the harbour before dawn, and the harbour was quiet until noon."
HARBOUR, DAWN = 6, 8


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self):
        self.seconds = 1000.0
        self.waits = []
        self.then = lambda: None
        """What has happened when a wait is over."""

    def __call__(self):
        return self.seconds

    def wait(self, seconds):
        self.waits.append(seconds)
        self.seconds += seconds
        self.then()


def peak(text=TEXT, position=HARBOUR, tokens=None):
    return Peak(tokens=tokens or pieces(text), token_ids=None, position=position, seed=1)
