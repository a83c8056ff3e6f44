import polars as pl
import pytest
from starlette.applications import Starlette

from baez_pipeline.draws import seeded_order
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Controls, NeuronpediaApiSource, Sample, Split
from baez_pipeline.features import draw_roster, open_source, sampling
from baez_pipeline.features.examples import distinct_examples, unreadable_rows
from baez_pipeline.features.neuronpedia_api import NeuronpediaApi
from baez_pipeline.features.source import UnreadableRecord
from baez_pipeline.neuronpedia import Neuronpedia
from baez_pipeline_tests.features.records import negatives_of
from baez_pipeline_tests.neuronpedia_server import MODEL, SOURCE, FakeNeuronpedia, Fault
from baez_pipeline_tests.served import served


@pytest.fixture
def opened(neuronpedia, answers):
    with served(Starlette(routes=neuronpedia.routes())) as url:

        def open_api(**settings):
            said = {"model": MODEL, "source": SOURCE, "width": neuronpedia.width, "base_url": f"{url}/api", **settings}
            client = Neuronpedia(said["base_url"], answers, key=None, wait=lambda seconds: None)
            return NeuronpediaApi(client, NeuronpediaApiSource(**said))

        yield open_api


def test_a_record_has_what_neuronpedia_says_of_the_feature(opened, neuronpedia):
    record, body = opened(packed_documents="keep").record(3).row(0, named=True), neuronpedia.body(3)
    assert record["feature"] == f"{SOURCE}_000003"
    for name in ("modelId", "layer", "index", "sourceSetName", "hookName", "pos_str", "neg_str", "frac_nonzero"):
        assert record[name] == body[name], name
    assert record["pos_values"] == pytest.approx(body["pos_values"])
    assert record["maxActApprox"] == pytest.approx(body["maxActApprox"])
    assert len(record["activations"]) == len(body["activations"])
    for made, raw in zip(record["activations"], body["activations"], strict=True):
        assert made["tokens"] == raw["tokens"]
        assert made["values"] == pytest.approx(raw["values"])
        assert (made["binMin"], made["qualifyingTokenIndex"]) == (
            pytest.approx(raw["binMin"]),
            raw["qualifyingTokenIndex"],
        )
        assert made["tokenIds"] is None


def test_packed_contexts_are_cut_unless_they_are_to_be_kept(opened):
    def most_documents(source):
        rows = source.record(3)["activations"][0]
        return max(row["tokens"].count("<bos>") for row in rows)

    assert most_documents(opened(packed_documents="keep")) > 1
    assert most_documents(opened()) == 1
    assert opened().identity != opened(packed_documents="keep").identity


def test_a_second_run_asks_nothing(opened, neuronpedia):
    sample = Sample(features=5, donors=6)
    first = draw_roster(opened(), sample, Controls(), Split(), seed=1)
    asked = neuronpedia.requests.total()
    assert asked == len(neuronpedia.requests) <= 2 * (5 + 6)
    assert draw_roster(opened(), sample, Controls(), Split(), seed=1).equals(first)
    assert neuronpedia.requests.total() == asked


def test_a_feature_that_neuronpedia_does_not_have_is_a_missing_draw(opened):
    assert opened().record(7) is None
    roster = draw_roster(opened(width=50), Sample(features=44, donors=6), Controls(), Split(), seed=1).filter(
        pool="sampled"
    )
    by_outcome = {outcome: set(part["feature_index"]) for (outcome,), part in roster.group_by("outcome")}
    assert by_outcome["missing"] == {7, 32}
    assert by_outcome["dead"] == {11, 36}
    assert by_outcome["too_few_examples"] == {17, 42}
    assert len(by_outcome["kept"]) == 44


def test_only_what_is_still_wanted_is_fetched_ahead(opened, neuronpedia):
    roster = draw_roster(opened(), Sample(features=10, donors=4), Controls(), Split(), seed=3)
    drawn = roster.filter(pl.col("pool") != "planted").height
    assert drawn <= neuronpedia.requests.total() <= 2 * (10 + 4)


def test_the_donors_of_a_feature_are_fetched_and_its_silent_contexts_used(opened):
    source = opened()
    negatives = negatives_of(source, 3, [4, 5, 6, 8, 9, 10, 12, 13], Split())
    own = {row["dataIndex"] for row in source.record(3)["activations"][0] if row["maxValue"] == 0}
    assert own <= set(negatives["example"])
    # Of other contexts of the donors the record says nothing: they are no hard ones.
    unknown = negatives.filter(~pl.col("example").is_in(own))
    assert set(unknown["negative_kind"]) == {"random", "other_peak"}
    assert unknown["silent"].null_count() == unknown.height == 10 - len(own)
    assert negatives.filter(pl.col("example").is_in(own))["silent"].all()
    assert negatives.filter(negative_kind="other_peak")["donor_index"].to_list() == [4, 5, 6]


def test_silence_is_known_for_the_contexts_of_the_record_alone(opened):
    source = opened()
    rows = source.record(3)["activations"][0].to_list()
    active = next(row["dataIndex"] for row in rows if row["maxValue"] > 0)
    silent = next(row["dataIndex"] for row in rows if row["maxValue"] == 0)
    assert source.is_silent(3, active) is False
    assert source.is_silent(3, silent) is True
    assert source.is_silent(3, "elsewhere") is None


def test_an_answer_about_another_feature_cannot_be_used(opened, neuronpedia):
    neuronpedia.body = FakeNeuronpedia(source="41-other").body
    with pytest.raises(UnreadableRecord, match=rf"of {MODEL} {SOURCE} names another one: {MODEL} 41-other 3"):
        opened().record(3)


def test_an_answer_without_activations_cannot_be_used(opened, neuronpedia):
    neuronpedia.body = lambda index: {"modelId": MODEL, "layer": SOURCE, "index": index}
    with pytest.raises(UnreadableRecord, match="not a JSON object with a list of activations"):
        opened().record(3)


def test_an_index_may_be_a_number(opened, neuronpedia):
    body = neuronpedia.body(3)
    neuronpedia.body = lambda index: {**body, "index": 3}
    assert opened().record(3)["index"].item() == "3"


def test_one_feature_that_cannot_be_read_is_rejected_and_the_draw_goes_on(opened, neuronpedia):
    index = first_draws(neuronpedia, 1)[0]
    neuronpedia.faults[neuronpedia.path(index)].extend([Fault(400, b'{"error": "cannot serve this"}')] * 9)
    roster = draw_roster(opened(), Sample(features=4, donors=4), Controls(), Split(), seed=1)
    rejected = roster.row(0, named=True)
    assert (rejected["feature_index"], rejected["outcome"]) == (index, "missing")
    assert "cannot be read from Neuronpedia: Neuronpedia answered 400: cannot serve this" in rejected["detail"]
    assert roster.filter(pool="sampled", outcome="kept").height == 4


def test_many_that_cannot_be_read_stop_the_draw(opened, neuronpedia):
    for index in first_draws(neuronpedia, 5):
        neuronpedia.faults[neuronpedia.path(index)].extend([Fault(400)] * 9)
    with pytest.raises(SourceError, match=r"records of 5 features of .* in a row cannot be read"):
        draw_roster(opened(), Sample(features=4, donors=4), Controls(), Split(), seed=1)


def test_a_source_that_neuronpedia_does_not_know_is_noticed_early(opened, neuronpedia, monkeypatch):
    monkeypatch.setattr(sampling, "_MISSING_AT_FIRST", 40)
    with pytest.raises(SourceError, match=r"has none of the first 40 features .* check source\.model"):
        draw_roster(
            opened(source="41-misspelt", width=262_144), Sample(features=20, donors=2), Controls(), Split(), seed=1
        )
    assert neuronpedia.requests.total() < 50


def test_rows_that_cannot_be_read_are_counted_where_a_feature_is_rejected(opened):
    source = opened()
    assert unreadable_rows(source.record(19)) == 2
    with pytest.raises(SourceError, match="only 0 features with at least 25"):
        draw_roster(opened(width=25), Sample(features=20, donors=2, minimum_examples=25), Controls(), Split(), seed=1)
    assert distinct_examples(source.record(19)).height == 24


def test_a_width_that_is_too_small_is_a_sentence(opened):
    with pytest.raises(SourceError, match="Feature 200 is out of range"):
        opened().record(200)


@pytest.mark.parametrize("key", ["sk-np-7", None])
def test_the_experiments_source_is_opened_with_the_key_of_the_environment_or_none(
    neuronpedia, answers, monkeypatch, key
):
    monkeypatch.setenv("NP_TEST_KEY", key or "")
    with served(Starlette(routes=neuronpedia.routes())) as url:
        settings = NeuronpediaApiSource(
            model=MODEL, source=SOURCE, width=200, base_url=f"{url}/api", key_variable="NP_TEST_KEY"
        )
        assert open_source(settings, lambda: answers).record(3) is not None
    assert neuronpedia.keys == [key]


def first_draws(neuronpedia, n):
    return seeded_order(range(neuronpedia.width), 1, SOURCE, "sampled")[:n]
