"""How a token of an example is shown to label writers and judges.

delphi lists examples line by line and marks tokens with << and >>. Whatever could be taken for either is replaced
beforehand, one character for one, so that a question has one reading and the table records what was judged.
"""

from baez_pipeline.features.examples import SPECIAL_TOKENS

LINE_BREAK = "⏎"
# Every character that Python, a terminal or a model may take for the end of a line.
_ON_ONE_LINE = str.maketrans(dict.fromkeys("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", LINE_BREAK))
_WITHOUT_MARKS = str.maketrans("<>", "‹›")
_AS_WRITTEN = str.maketrans(LINE_BREAK + "‹›", "\n<>")


def shown_token(token: str, *, marks: bool) -> str:
    """A token as it is shown: no special token, no line break and, where tokens are marked, no angle bracket."""
    if token in SPECIAL_TOKENS:
        return ""
    shown = token.translate(_ON_ONE_LINE)
    return shown.translate(_WITHOUT_MARKS) if marks else shown


def as_written(shown: str) -> str:
    """A shown text without marks as its author wrote it; every character keeps its place."""
    return shown.translate(_AS_WRITTEN)
