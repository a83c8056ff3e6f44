import pytest

from baez_pipeline.experiment import Tiers
from baez_pipeline.features.examples import readable_rows
from baez_pipeline.graphs.feature_files import FeatureFiles
from baez_pipeline.graphs.nulls import graph_pools, without_own_texts
from baez_pipeline_tests.graphs.made_up import embed, feature, feature_body, graph_body, graph_of, write_records

EARLY, LATE = 61, 12


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Records of many features of layer 0 and some of layer 20, in the graph's order."""
    numbers = [*((0, number) for number in range(EARLY)), *((20, number) for number in range(LATE))]
    folder = write_records(
        tmp_path_factory.mktemp("records"), [feature_body(layer, number, examples=4) for layer, number in numbers]
    )
    body = graph_body() | {"nodes": [feature(layer, number, 1) for layer, number in numbers], "links": []}
    found = FeatureFiles(folder, packed="cut").of(graph_of(body)).found
    return {record["feature"].item(): record for record in found.values()}


@pytest.fixture(scope="module")
def pools(records):
    return graph_pools(records, Tiers(examples=6), embed, peak="maximum", seed=0)


def test_peaks_of_all_layers_are_lent_though_the_first_layer_alone_would_do(pools):
    assert {donor.partition("-")[0] for donor in pools.others["cross"].groups} == {"0", "20"}


def test_no_feature_is_compared_with_its_own_texts(records, pools):
    lending = set(pools.random["cross"].groups)
    shares = 0
    for record in records.values():
        own = set(readable_rows(record)["dataIndex"])
        left = set(without_own_texts(pools, record).random["cross"].groups)
        shares += bool(own & lending)
        assert left == lending - own
    assert shares > 10


def test_the_order_is_the_seeds_and_not_the_graphs(records, pools):
    turned = dict(reversed(records.items()))
    again = graph_pools(turned, Tiers(examples=6), embed, peak="maximum", seed=0)
    assert list(again.others["cross"].groups) == list(pools.others["cross"].groups)
