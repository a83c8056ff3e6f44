"""The header Retry-After, by which a service says how long to wait."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_seconds(header: str) -> float | None:
    """Seconds until the next request may come, at least 0; None if the header does not say.

    Args:
        header: its value: seconds, or an HTTP date (RFC 9110, 10.2.3). Some services give fractions of seconds.
    """
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    # Neither nan nor infinity is a wait.
    return max(0.0, seconds) if seconds < float("inf") else None
