"""How lessons word their rules. Several names of one thing stand in one string, apart by semicolons."""

from baez_pipeline.embedded import judge_words

PUNCTUATION = {
    "closing parenthesis;closing parentheses;right parentheses;the end of a parenthesis": ")",
    "closing quotation marks;end of a quotation;closing double quotes": judge_words.CLOSING_QUOTE,
    "closing square bracket;closing square brackets;right square brackets": "]",
    "opening curly brace;opening braces;left curly brackets": "{",
    "closing curly brace;closing braces;right curly brackets": "}",
    "opening single quote;opening single quotation marks;left single quotes": judge_words.OPENING_SINGLE,
    "closing single quote;closing single quotation marks;right single quotes": judge_words.CLOSING_SINGLE,
    "comma;commas": ",",
    "period;full stops;periods;a dot at the end of a sentence": ".",
    "semicolon;semicolons": ";",
    "colon;colons": ":",
    "question mark;question marks": "?",
    "exclamation mark;exclamation marks;exclamation points": "!",
    "hyphen;hyphens and dashes;dashes": "-",
    "percent sign;percent signs": "%",
    "apostrophe;apostrophes;apostrophes within words": "'",
    "slash;slashes": "/",
}
KINDS = {
    "capitalized names;proper names;names of people, places and organizations;capitalized words inside a sentence": (
        judge_words.NAME_LIKE
    ),
    "the beginning of a sentence;words that begin a sentence;start of a sentence": judge_words.SENTENCE_START,
    "words in capital letters;all-caps words;acronyms": judge_words.ALL_CAPITALS,
    "the last word of a sentence;words that end a sentence;words before a full stop": judge_words.SENTENCE_END,
    "words in brackets or parentheses;text inside parentheses": judge_words.IN_PARENTHESES,
    "quoted words;words in quotation marks;direct speech": judge_words.IN_QUOTES,
    "figures;numerals;digits;quantities written in digits": judge_words.DIGITS,
}
WORD_WORDINGS = (
    *['the word "{}"'] * 6,
    'the term "{}"',
    'mentions of "{}"',
    'occurrences of the word "{}"',
    'the token "{}"',
    'instances of "{}"',
    'uses of the word "{}"',
    '"{}"',
    "{}",
    "the word {}",
    "the word '{}'",
)
PHRASE_WORDINGS = (
    *['the phrase "{} {}"'] * 4,
    'the words "{} {}"',
    'the expression "{} {}"',
    '"{} {}"',
    'mentions of "{} {}"',
)
BEFORE_WORDINGS = (
    *['the word before "{}"'] * 4,
    'words followed by "{}"',
    'the word preceding "{}"',
    'what comes before "{}"',
    'tokens that come right before "{}"',
)
AFTER_WORDINGS = (
    *['the word after "{}"'] * 2,
    'words that follow "{}"',
    'what comes after "{}"',
    'words preceded by "{}"',
)
TOPIC_WORDINGS = (
    *["{}"] * 5,
    "words about {}",
    "mentions of {}",
    "terms related to {}",
    "references to {}",
    "{} terms",
)
TEXT_WORDINGS = ("text about {}", "passages about {}", "articles on {}", "the topic of {}", "discussion of {}")
