"""Taking an explanation apart.

A released verbalizer writes three paragraphs apart by blank lines: genre and format, the specific phrase, and last the
final token's role with its expected continuations (field guide, traps 7).
"""

import re
from typing import Literal

CLOSING_TAG = "</explanation>"
FINAL_TOKEN = "Final token"
Tag = Literal["closed", "unclosed", "none"]

_TAGGED = re.compile(rf"<explanation>\s*(.*?)\s*({CLOSING_TAG}|\Z)", re.DOTALL)


def explanation_body(text: str) -> str | None:
    """The text between the tags; an unclosed tag gives what there is; None without an opening tag."""
    match = _TAGGED.search(text)
    return match.group(1).strip() if match else None


def tag_of(text: str) -> Tag:
    """What became of the tags: an explanation is closed, was cut off before that, or was not begun."""
    match = _TAGGED.search(text)
    if match is None:
        return "none"
    return "closed" if match.group(2) else "unclosed"


def paragraphs(text: str) -> list[str]:
    """The non-empty paragraphs. Single line breaks belong to a paragraph: explanations quote them."""
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]


def last_paragraph(text: str) -> tuple[str, bool]:
    """The last paragraph, and whether it is the only one, so that nothing was left out.

    A line that begins "Final token" opens it, wherever there is one: on 4 of 172 released explanations the paragraph
    quotes blank lines, and the text after them alone would be a fragment (measured). That line is gemma's and Qwen's
    habit (23 of 112 on llama-70B; field guide, trap 7), so without one it is the last non-empty paragraph; the
    article's rule silently took the whole text there.
    """
    start = text.rfind("\n" + FINAL_TOKEN)
    if start >= 0:
        return text[start:].strip(), not text[:start].strip()
    found = paragraphs(text)
    return (found[-1] if found else "", len(found) < 2)
