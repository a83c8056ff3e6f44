import polars as pl

from baez_pipeline.reports import identities_of
from baez_pipeline_tests.reports.made_up_judgements import EMBEDDER


def test_names_are_those_that_the_tables_record(identities):
    assert identities.subject_model == "SmolLM2-135M-Instruct"
    assert identities.source == "20-topk-2048 of wikipedia"
    assert identities.verbalizer == "neighbours of 4,000 stored activations"
    assert identities.judge == "SmolLM2 by likelihood@0.1.2"
    assert identities.embedder == EMBEDDER


def test_several_names_are_listed_and_none_is_a_dash(tables):
    records = pl.DataFrame(
        {"modelId": ["m", "m"], "layer": ["1-res", "2-res"], "sourceSetName": pl.Series([None, None], dtype=pl.String)}
    )
    found = identities_of(
        records=records, explanations=tables.explanations, labels=tables.labels.clear(), judged=tables.judged
    )
    assert found.source == "1-res and 2-res"
    assert found.writer == "–"
