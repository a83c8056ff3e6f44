"""The text of `data/README.md`, made from the provenance record so that its figures cannot go stale."""
from typing import Any


def readme_text(provenance: dict[str, Any]) -> str:
    """Placeholder."""
    return "x\n"
