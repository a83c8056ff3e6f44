import polars as pl

from baez_pipeline.embedded import DATA
from baez_pipeline.features import LocalSae
from baez_pipeline.tiers.logits import COUNT, top_logits
from baez_pipeline_tests.tiers.made_up import record_of_rows


def test_top_logits_are_the_records_own_where_it_has_them():
    record = LocalSae.open().record(5)
    assert top_logits(record, DATA) == record["pos_str"].item().to_list()


def test_top_logits_are_worked_out_from_the_decoder_where_the_record_has_none():
    record = LocalSae.open().record(5)
    told = record["pos_str"].item().to_list()
    found = top_logits(record.with_columns(pos_str=pl.lit(None, record.schema["pos_str"])), DATA)
    assert len(found) == COUNT
    assert found[: len(told)] == told


def test_nothing_is_said_of_a_feature_of_another_model_or_a_planted_one_or_a_folder_without_a_decoder(tmp_path):
    assert top_logits(record_of_rows(), DATA) is None
    ours = record_of_rows().with_columns(modelId=pl.lit("smollm2-135m-instruct"))
    assert top_logits(ours, tmp_path) is None
    assert top_logits(ours, None) is None
    assert top_logits(ours.with_columns(feature=pl.lit("planted-topic_000001")), DATA) is None
