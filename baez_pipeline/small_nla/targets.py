"""What the verbalizer is to say of a position: three paragraphs by rule, from the text up to it and the next tokens.

No other model is asked. The form is that of the released verbalizers: what kind of text and what about, what it has
just said, and the final token with its role and continuations.
"""

import json
import re
from collections.abc import Sequence

FINAL_TOKEN = "Final token"
OPENING_TAG, CLOSING_TAG = "<explanation>\n", "\n</explanation>"
LAST_WORDS = 5
CONTINUATIONS = 3

_ROLES = {
    "an article": "a an the",
    "a preposition": "about above across after against along among around as at before behind below beneath beside "
    "between beyond by despite during except for from in inside into like near of off on onto out outside over past "
    "per since through throughout to toward towards under until up upon via with within without",
    "a conjunction": "and although because but if nor or so than though unless whereas whether while yet",
    "a relative word": "how that what when where which who whom whose why",
    "a pronoun": "he her hers herself him himself his i it its itself me my myself our ours she their theirs them "
    "themselves these they this those us we you your yours",
    "an auxiliary verb": "am are be been being can could did do does had has have is may might must shall should was "
    "were will would",
    "a negation": "not no never none neither",
    "a quantity": "all any both each enough every few half many more most much one only other several some such two "
    "three four five six seven eight nine ten",
}
_CLOSED_CLASSES = {word: role for role, words in _ROLES.items() for word in words.split()}
FUNCTION_WORDS = frozenset(_CLOSED_CLASSES)

_MARKS = {
    ".": "the end of a sentence",
    "!": "the end of a sentence",
    "?": "the end of a sentence",
    ",": "a comma",
    ":": "a colon",
    ";": "a semicolon",
    "(": "an opening bracket",
    "[": "an opening bracket",
    ")": "a closing bracket",
    "]": "a closing bracket",
    '"': "a quotation mark",
    "“": "a quotation mark",
    "”": "a quotation mark",
    "-": "a hyphen",
}


_ENDINGS = (
    (r"...ing$", "an -ing form"),
    (r"...ly$", "an adverb"),
    (r"..ed$", "a past form"),
    (r"..[^aisu]s$", "a plural or verb"),
)
_READ_CHARACTERS = 200
"""Of the text before the token: enough for the last words."""


def role_of(token: str, before: str) -> str:
    """What the token is in its text, as far as the text up to it can tell.

    Args:
        token: the final token's text, with its leading space if it has one.
        before: the text before it.
    """
    word = token.strip()
    if not word:
        return "a line break" if "\n" in token else "a space"
    if not word[0].isalnum():
        return _MARKS.get(word[0], "a mark")
    if word[0].isdigit():
        return "a number" if not (begun := _begun(before, token)) else f"in {quoted(begun + word)}"
    if begun := _begun(before, token):
        return f"in {quoted(begun + word)}"
    if role := _CLOSED_CLASSES.get(word.lower()):
        return role
    if word[0].isupper():
        return "a first word" if re.search(r"(^|[.!?:]\W*|\n\s*)$", before) else "a name"
    return next((role for ending, role in _ENDINGS if re.search(ending, word)), "a word")


def _begun(before: str, token: str) -> str:
    """The part of the token's word that stands before it."""
    if token[:1].isspace():
        return ""
    match = re.search(r"[^\W_]+$", before)
    return match[0] if match else ""


def explanation_text(
    *, genre: str, topic_words: Sequence[str], before: str, token: str, continuations: Sequence[str]
) -> str:
    """The three paragraphs.

    Args:
        genre: of the text.
        topic_words: what it is about, the most telling first; may be none.
        before: the text before the final token.
        token: the final token, as it stands in the text.
        continuations: texts of the likeliest next tokens, likeliest first.
    """
    before = before[-_READ_CHARACTERS:]
    first, *others = [*topic_words, ""]
    about = f" about {first}" if first else ""
    listed = ", ".join(word for word in others if word)
    topic = f"{genre}{about}: {listed}." if listed else f"{genre}{about}."
    last = " ".join((before + token).split()[-LAST_WORDS:])
    named = token.strip() or token
    return "\n\n".join(
        [
            topic,
            f"The text goes {quoted(last)}.",
            f"{FINAL_TOKEN} {quoted(named)}, {role_of(token, before)}; {expected(continuations)} may follow.",
        ]
    )


def expected(continuations: Sequence[str]) -> str:
    """The first few distinct continuations that are not blank, quoted and listed."""
    words = list(dict.fromkeys(text.strip() for text in continuations if text.strip()))[:CONTINUATIONS]
    if not words:
        return "anything"
    *first, last = [quoted(word) for word in words]
    return f"{', '.join(first)} or {last}" if first else last


def quoted(text: str) -> str:
    """In double quotation marks, as JSON has them."""
    return json.dumps(text, ensure_ascii=False)


def target_of(text: str) -> str:
    """What the verbalizer is to write: the explanation in its tags."""
    return f"{OPENING_TAG}{text}{CLOSING_TAG}"
