"""How a label is written into a graph: one short line that no viewer can take for anything but text."""

import unicodedata

MOST_CHARACTERS = 60
UNCERTAIN = "?"
"""Put before an uncertain label."""
# circuit-tracer's viewer puts labels into tooltips as HTML, unescaped: a script in one runs when a node is pointed at
# (tried with 0.5.0). Neuronpedia's function for tooltips does the same with what it is given (graph/utils.ts).
_NO_MARKUP = str.maketrans({"<": "‹", ">": "›"})


def label_text(label: str, *, uncertain: bool = False) -> str:
    """A label as a node's `clerp`: printable, at most 60 characters, angle brackets as ‹ and ›.

    Args:
        label: as it was written; it may come from a model that has read anything.
        uncertain: put a question mark before it.
    """
    shown = "".join(character if character.isprintable() else " " for character in unicodedata.normalize("NFC", label))
    shown = (UNCERTAIN if uncertain else "") + " ".join(shown.translate(_NO_MARKUP).split())
    return shown if len(shown) <= MOST_CHARACTERS else shown[: MOST_CHARACTERS - 1].rstrip() + "…"
