"""What a run says on a terminal: its progress, one line each. Everything else is in the Dagster UI's log."""

import logging
import sys
import time

import dagster as dg


class _ProgressOnly(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        meta = getattr(record, "dagster_meta", {})
        # Dagster's own events, stack traces among them, carry an event; what a step says does not.
        if str(meta.get("orig_message", "")).startswith("Dependencies for step"):
            # Said once for every step after one that failed, whose own sentence ends the run.
            return False
        return record.levelno >= logging.INFO and not meta.get("dagster_event")


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said = getattr(record, "dagster_meta", {}).get("orig_message") or record.getMessage()
        return f"{time.strftime('%H:%M:%S', time.localtime(record.created))}  {said}"


def _progress_logger(init: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("baez_pipeline.progress", level=logging.INFO)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Line())
    handler.addFilter(_ProgressOnly())
    logger.addHandler(handler)
    return logger


progress_logger = dg.LoggerDefinition(_progress_logger, description=__doc__)
"""A logger that prints what steps say."""
