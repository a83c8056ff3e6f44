import re
import textwrap
from pathlib import Path

import pytest

from baez_pipeline.nla.paragraphs import explanation_body, last_paragraph, paragraphs, tag_of

RELEASED = Path(__file__).parents[3] / "shared" / "data" / "nla_gemma27b_layer41_examples.txt"


def test_single_line_breaks_belong_to_a_paragraph():
    assert paragraphs("one\nstill one\n\n \n two ") == ["one\nstill one", "two"]


def test_the_last_paragraph_says_when_it_is_the_only_one():
    assert last_paragraph('Genre.\n\nFinal token "x" ends it.') == ('Final token "x" ends it.', False)
    assert last_paragraph('Genre.\n\nFinal token "\n\n" opens a list') == ('Final token "\n\n" opens a list', False)
    assert last_paragraph("Only this.") == ("Only this.", True)
    assert last_paragraph("") == ("", True)


def test_tags_closed_unclosed_and_absent():
    assert explanation_body("<explanation>\n a \n</explanation> rest") == "a"
    assert explanation_body("<explanation> cut off") == "cut off"
    assert explanation_body("no tags") is None


@pytest.mark.skipif(not RELEASED.is_file(), reason="the reference data is not beside this checkout")
def test_the_released_explanations_end_on_their_final_token():
    text = RELEASED.read_text(encoding="utf-8")
    blocks = re.split(r"^\[ *\d+\]  (?:PROMPT|REPLY) .*$", text, flags=re.MULTILINE)[1:]
    # The file's last block is followed by a summary and another section, behind ruled lines.
    explanations = [textwrap.dedent(re.split(r"\n[═─]{3}", block)[0]).strip() for block in blocks]
    assert len(explanations) == 172
    assert all(last_paragraph(text)[0].startswith("Final token") for text in explanations)
    assert not any(last_paragraph(text)[1] for text in explanations)
    # The other four quote blank lines (field guide, trap 7).
    assert sum(len(paragraphs(text)) == 3 for text in explanations) == 168
    answers = [f"<explanation>\n{text}\n</explanation>" for text in explanations]
    assert [explanation_body(answer) for answer in answers] == explanations
    assert {tag_of(answer) for answer in answers} == {"closed"}
