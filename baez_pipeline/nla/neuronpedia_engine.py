"""The `neuronpedia` engine: Neuronpedia's public NLA service, by text and position.

The service tokenises the text again and may put a BOS before it, so that a position of the source can be one off
(field guide, trap 1). The text ends with the peak token; a result is taken only if its token is the peak token, and a
token next to it is tried before the row fails as misaligned. With nla.alignment = unverified, the article's way, the
source's position is asked for once, and whatever token comes back is taken.

The service keeps its own answers by text, model, source and temperature (trap 6): a second sample needs another
temperature, and `Peak.seed` changes nothing.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from baez_pipeline.errors import AccessError
from baez_pipeline.experiment import NeuronpediaEngine
from baez_pipeline.neuronpedia import CallFailed, Neuronpedia
from baez_pipeline.nla.described import (
    TextToPeak,
    check_layer,
    describes,
    explanation_of,
    failed_call,
    failure,
    quoted,
    result_at,
    same_token,
    unverified,
)
from baez_pipeline.nla.engine import Explanation, Peak
from baez_pipeline.nla.opening import identity_of
from baez_pipeline.nla.pace import Pace
from baez_pipeline.tables import Outcome

PATH = "/nla/explain"
MOST_CHARACTERS = 16_384
MOST_POSITIONS_TRIED = 2


class NeuronpediaVerbalizer:
    """Neuronpedia's NLA of one model and layer. Neuronpedia publishes no revision of it."""

    name = "neuronpedia"
    peaks_at_once = 1
    max_new_tokens = None
    """The service decides: 256 by its web application's source."""

    def __init__(
        self,
        settings: NeuronpediaEngine,
        client: Neuronpedia,
        *,
        layer: int,
        alignment: Literal["verified", "unverified"] = "verified",
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """An engine over a client of the service.

        Args:
            settings: model, NLA, temperature and pace.
            client: of the service, for this engine alone: all its requests are paced from now on.
            layer: that the experiment reads.
            alignment: whether the token that was explained must be the peak.
            clock: seconds, for the pace.
            wait: sleeps, for the pace.
        """
        self.identity = identity_of(settings)
        self.temperature = settings.temperature
        self._settings = settings
        self._client = client
        self._layer = layer
        self._explain = self._explain_peak if alignment == "verified" else self._explain_position
        self._shifts: dict[bool, int] = {}
        """The shift that was right last, for texts with and without a BOS: servers treat the two differently."""
        pace = Pace(settings.requests_per_hour, clock=clock, wait=wait)
        client.around_requests(pace.before, pace.after)

    def explain(self, peaks: Sequence[Peak]) -> list[Explanation]:
        """One explanation per peak. Each answer is kept as it comes in.

        Raises:
            SidecarError: the service reads another layer.
            AccessError: it does not know the model or the NLA, or does not accept the key.
            ServiceError, AnswersError: as the client has them.
        """
        return [self._explain(peak) for peak in peaks]

    def _explain_position(self, peak: Peak) -> Explanation:
        context = TextToPeak.of(peak, most_characters=MOST_CHARACTERS)
        try:
            answer = self._ask(context.text, context.position)
        except CallFailed as failed:
            return failed_call(failed)
        result = result_at(answer, context.position)
        if result is None:
            return failure(Outcome.ERROR, f"the service left out position {context.position}")
        return self._check_layer(answer) or unverified(result, context)

    def _explain_peak(self, peak: Peak) -> Explanation:
        context = TextToPeak.of(peak, most_characters=MOST_CHARACTERS)
        seen: list[str] = []
        learned = self._shifts.get(context.has_bos, 0)
        shift = learned if learned in context.shifts else 0
        while shift in context.shifts and len(seen) < MOST_POSITIONS_TRIED:
            position = context.position + shift
            try:
                answer = self._ask(context.text, position)
            except CallFailed as failed:
                if not _is_out_of_range(failed):
                    return failed_call(failed)
                seen.append(f"none at position {position}")
                shift -= 1
                continue
            result = result_at(answer, position)
            if result is None:
                return failure(Outcome.ERROR, f"the service left out position {position}")
            if unsaid := self._check_layer(answer):
                return unsaid
            end = _end_of(answer, position)
            # Of two equal tokens in a row the peak is the later one, which ends the text.
            if same_token(result.get("token"), context.token) and not (context.repeats and position < (end or 0)):
                self._shifts[context.has_bos] = shift
                return explanation_of(result, position=position, note=context.note)
            seen.append(f"{quoted(result.get('token'))} at position {position}")
            if position == end:
                break
            shift = shift + 1 if end is None else end - context.position
        found = " and ".join(seen)
        return failure(Outcome.MISALIGNED, f"the peak token is {context.token!r}, the service has {found}")

    def _ask(self, text: str, position: int) -> dict[str, Any]:
        body = {
            "modelId": self._settings.model,
            "nlaSourceId": self._settings.nla_source,
            "text": text,
            "positions": [position],
            "temperature": self._settings.temperature,
            "stream": False,
        }
        try:
            return self._client.post(PATH, body, worth_keeping=lambda answer: describes(result_at(answer, position)))
        except CallFailed as failed:
            if failed.status == 404:
                raise AccessError(
                    f"{failed.detail}. It does not have the NLA {self.identity}: check nla.engine.model and "
                    "nla.engine.nla_source."
                ) from failed
            raise

    def _check_layer(self, answer: dict[str, Any]) -> Explanation | None:
        found = answer.get("layer_index")
        # The service writes 0 where it lost what its GPU server said.
        if found is None or (found == 0 and self._layer != 0):
            return failure(Outcome.ERROR, "the service does not say which layer it read")
        check_layer(found, layer=self._layer, nla=f"The NLA {self.identity}")
        return None


def _is_out_of_range(failed: CallFailed) -> bool:
    """The GPU server says which positions there are; the web application passes on its status alone."""
    return failed.status == 400 and ("out of range" in failed.detail or "NLA server error: 400" in failed.detail)


def _end_of(answer: dict[str, Any], position: int) -> int | None:
    """Position of the text's last token, which is the peak, by the service's count; None where it does not say.

    The service writes the number of results in place of the text's length where it lost the latter.
    """
    length = answer.get("prompt_length")
    return length - 1 if isinstance(length, int) and not isinstance(length, bool) and length > position else None
