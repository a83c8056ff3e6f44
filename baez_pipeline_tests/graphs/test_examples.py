import pytest

from baez_pipeline.experiment import Split
from baez_pipeline.graphs.examples import contexts_of, examples_of
from baez_pipeline.graphs.feature_files import FeatureFiles
from baez_pipeline.graphs.reading import FeatureId
from baez_pipeline_tests.graphs.made_up import feature_body, graph_body, graph_of, write_records


@pytest.fixture
def record_of(tmp_path):
    """The record in a feature's body."""

    def read(body):
        records = FeatureFiles(write_records(tmp_path, [body]), packed="cut").of(graph_of(graph_body()))
        return records.found[FeatureId(0, 11)]

    return read


def in_documents(names, **changes):
    """A feature's body whose texts are from documents of these names."""
    body = feature_body(0, 11, at="capital", examples=len(names), **changes)
    for row, name in zip(body["activations"], names, strict=True):
        row["dataSource"] = f"texts: {name}"
    return body


def test_label_and_score_share_no_document(record_of):
    record = record_of(in_documents("aabbccddeeffgg"))
    examples = examples_of(record, Split(train=4, test=6), seed=0)
    assert (examples.train.height, examples.test.height) == (4, 6)
    assert not set(examples.train["document"]) & set(examples.test["document"])
    shared = examples_of(record, Split(train=3, test=6, documents="shared"), seed=0)
    assert set(shared.train["document"]) & set(shared.test["document"])


def test_a_feature_of_one_document_has_nothing_to_be_scored_by(record_of):
    examples = examples_of(record_of(in_documents("a" * 12)), Split(train=4, test=6), seed=0)
    assert (examples.train.height, examples.test.height) == (4, 0)


@pytest.mark.parametrize(("there", "train", "test"), [(9, 4, 5), (4, 4, 0), (3, 3, 0), (0, 0, 0)])
def test_a_feature_with_few_examples_has_fewer_to_be_scored_by(record_of, there, train, test):
    examples = examples_of(record_of(feature_body(0, 11, examples=there)), Split(train=4, test=6), seed=0)
    assert (examples.train.height, examples.test.height) == (train, test)


def test_the_design_of_the_experiment_is_used(record_of):
    record = record_of(feature_body(0, 11, at="capital", examples=30))
    assert examples_of(record, Split(train=4, test=6), seed=0).train["rank"].to_list() == [1, 2, 3, 4]
    spread = examples_of(record, Split(train=4, test=6, design="quantiles"), seed=0)
    assert spread.train["rank"].to_list() != [1, 2, 3, 4]
    assert spread.train["relative_activation"].min() < 0.8 < spread.train["relative_activation"].max()


def test_the_peak_is_the_experiments(record_of):
    body = feature_body(0, 11, at="capital")
    for row in body["activations"]:
        row["tokens"][5], row["values"][5], row["qualifyingTokenIndex"] = " river", 3.0, 5
    record = record_of(body)
    for peak, word in (("qualifying_token", " river"), ("maximum", " capital")):
        train = examples_of(record, Split(train=4, test=6, peak=peak), seed=0).train
        assert {context.tokens[context.peak] for context in contexts_of(train)} == {word}
