"""Text of models and data sets made safe and legible for a page.

Goes in: what a reader must be able to see that plain text hides: line breaks, lone blanks, control
characters, and those that reorder or join text. Stays out: cutting examples into tokens, and page layout.
"""

import re
import unicodedata

from markupsafe import Markup

from baez_pipeline.reports.wording import counted

_SIGNS = {"\n": ("⏎", "line break"), "\r": ("␍", "carriage return"), "\t": ("⇥", "tab")}
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode's controls, formatting characters (zero-width and bidirectional ones), surrogates, private and
unassigned characters, line and paragraph separators: none has a shape of its own."""


def visible(text: str) -> Markup:
    """Text as HTML: escaped, with a sign for each character that has no shape of its own.

    Control and formatting characters are replaced by their code (U+202E), so they cannot reorder the page;
    text of a right-to-left script keeps its letters, and the caller puts it into <bdi>.
    """
    if text.isprintable():
        return Markup.escape(text)
    return Markup("".join(_character(character) for character in text))


def isolated(text: str) -> Markup:
    """The same in <bdi>: its direction ends with it."""
    return Markup(f"<bdi>{visible(text)}</bdi>")


def isolated_token(token: str) -> Markup:
    """One token in <bdi>; a token of blanks alone gets signs for them, as shading without text looks like an error."""
    if token and not token.strip(" "):
        return Markup("<bdi>{}</bdi>").format(_sign("␣" * len(token), counted(len(token), "blank")))
    return isolated(token)


def breakable(name: str) -> Markup:
    """A name with underscores, which may be broken after each of them."""
    return Markup("<wbr>").join(Markup.escape(piece) for piece in re.split("(?<=_)", name))


def _character(character: str) -> Markup:
    if character in _SIGNS:
        return _sign(*_SIGNS[character])
    if unicodedata.category(character) in _HIDDEN_CATEGORIES:
        return _sign(_code(character), unicodedata.name(character, "control character").lower())
    return Markup.escape(character)


def _sign(sign: str, meaning: str) -> Markup:
    return Markup('<span class="sign" title="{}">{}</span>').format(meaning, sign)


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"
