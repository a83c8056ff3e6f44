import pytest

from baez_pipeline.graphs.grouping import MOST_PINNED, Labelled, propose_subgraph
from baez_pipeline_tests.graphs.made_up import embed, embedding, feature, graph_body, graph_of, link


def labelled(node_id, label, *, tier=1, window="input", position=2, influence=1.0, groupable=True):
    return Labelled(
        node_id=node_id,
        label=label,
        sort=(tier, window),
        position=position,
        influence=influence,
        groupable=groupable,
    )


TWO = [labelled("0_11_2", '"capital"', influence=0.5), labelled("1_12_2", '"capital"', influence=0.2)]


def test_alike_nodes_become_a_group_that_is_pinned_with_the_tokens_and_the_logit():
    subgraph = propose_subgraph(graph_of(graph_body()), TWO, embed)
    assert subgraph.supernodes == (('"capital"', "0_11_2", "1_12_2"),)
    assert subgraph.pinned == ("0_11_2", "1_12_2", "E_4_2", "27_22605_3")


@pytest.mark.parametrize(
    "second",
    [
        labelled("1_12_2", '"capital"', window="output"),
        labelled("1_12_2", '"capital"', tier=2),
        labelled("1_12_2", '"harbour"'),
        labelled("1_12_2", '"capital"', groupable=False),
    ],
)
def test_another_tier_window_or_label_or_an_uncertain_one_stays_apart(second):
    subgraph = propose_subgraph(graph_of(graph_body()), [TWO[0], second], embed)
    assert not subgraph.supernodes
    assert "1_12_2" in subgraph.pinned


def test_at_two_positions_it_takes_alike_edges():
    body = graph_body()
    body["nodes"] += [feature(0, 21, 2), feature(0, 22, 3)]
    for node_id in ("0_21_2", "0_22_3"):
        body["links"] += [link("E_4_2", node_id, 1.0), link(node_id, "20_13_3", 1.0)]
    far = [labelled("0_21_2", "capital"), labelled("0_22_3", "capital", position=3)]
    assert len(propose_subgraph(graph_of(body), far, embed).supernodes) == 1
    body["links"] = [each for each in body["links"] if each["target"] != "0_22_3" and each["source"] != "0_22_3"]
    assert not propose_subgraph(graph_of(body), far, embed).supernodes


def test_what_the_file_has_pinned_and_grouped_stays_and_no_node_is_in_two_groups():
    view = {"pinnedIds": ["20_13_3", "gone"], "supernodes": [["mine", "0_11_2", "20_13_3"], ["left alone", "gone"]]}
    subgraph = propose_subgraph(graph_of(graph_body() | {"qParams": view}), TWO, embed)
    assert subgraph.supernodes == (("mine", "0_11_2", "20_13_3"),)
    assert subgraph.pinned[:3] == ("20_13_3", "0_11_2", "1_12_2")


def test_a_node_in_two_groups_of_the_file_stays_in_the_first():
    groups = [["first", "0_11_2", "20_13_3", "0_11_2"], ["second", "0_11_2", "1_12_2"], [], ["third", "0_11_2"]]
    subgraph = propose_subgraph(graph_of(graph_body() | {"qParams": {"supernodes": groups}}), [], embed)
    assert subgraph.supernodes == (("first", "0_11_2", "20_13_3"),)


def test_at_most_two_hundred_nodes_are_pinned_the_influential_ones_first():
    body = graph_body()
    body["nodes"] += [embedding(1), *(feature(5, number, 1) for number in range(300))]
    many = [labelled(f"5_{n}_1", f"word{n}", position=1, influence=n) for n in range(300)]
    subgraph = propose_subgraph(graph_of(body), many, embed)
    assert len(subgraph.pinned) <= MOST_PINNED
    assert subgraph.pinned[0] == "5_299_1"
    assert "5_0_1" not in subgraph.pinned
    assert all(member in subgraph.pinned for _, *members in subgraph.supernodes for member in members)


def test_nothing_labelled_pins_nothing():
    subgraph = propose_subgraph(graph_of(graph_body()), [], embed)
    assert subgraph.pinned == () and subgraph.supernodes == ()
