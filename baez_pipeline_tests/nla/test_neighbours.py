"""The embedded verbalizer on the shipped bank and the real model."""

import shutil

import numpy as np
import polars as pl
import pytest

from baez_pipeline.embedded import DATA
from baez_pipeline.embedded.bank import BANK_FILE
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import NeighboursEngine
from baez_pipeline.nla.extraction import SubjectModel
from baez_pipeline.nla.neighbours import WINDOWS_FILE, Neighbours
from baez_pipeline.nla.paragraphs import last_paragraph, paragraphs

TEXTS = ["The army won the battle, and the war", "The atoms in each molecule form a chemical"]


@pytest.fixture(scope="module")
def engine(smollm2):
    return Neighbours(*smollm2, NeighboursEngine(), identity="bank")


@pytest.fixture(scope="module")
def vectors(smollm2):
    model, tokenizer = smollm2
    contexts = [[0, *tokenizer.encode(text)] for text in TEXTS]
    return SubjectModel(model.model, layer=20).activations_at(contexts, [len(c) - 1 for c in contexts])


def test_an_explanation_has_the_three_paragraphs_of_a_released_verbalizer(engine, vectors):
    for said in engine.explain_vectors(vectors, [0, 0]):
        assert len(paragraphs(said.text)) == 3
        text, alone = last_paragraph(said.text)
        assert text.startswith("Final token")
        assert not alone


def test_the_final_token_and_the_topic_are_found(engine, vectors):
    war, chemistry = (said.text for said in engine.explain_vectors(vectors, [0, 0]))
    assert '"war"' in paragraphs(war)[2]
    assert "chemical" in chemistry
    assert '"war"' not in chemistry


def test_a_vector_is_explained_alike_alone_and_in_company(engine, vectors):
    together = engine.explain_vectors(vectors, [0, 0])
    assert [engine.explain_vectors(vectors[i : i + 1], [0])[0] for i in range(2)] == together
    assert engine.explain_vectors(np.zeros((0, 576), np.float32), []) == []


def test_a_bank_too_small_to_tell_topics_is_refused(smollm2, tmp_path):
    shutil.copy(DATA / BANK_FILE, tmp_path)
    pl.read_parquet(DATA / WINDOWS_FILE).head(10).write_parquet(tmp_path / WINDOWS_FILE)
    with pytest.raises(SourceError, match="holds 10 windows; at least 50"):
        Neighbours(*smollm2, NeighboursEngine(), identity="bank", folder=tmp_path)
