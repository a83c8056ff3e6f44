import pytest

from baez_pipeline.errors import BudgetError
from baez_pipeline.graphs.dictionary import Dictionary
from baez_pipeline.graphs.labelled import label_graph
from baez_pipeline.graphs.records import Records
from baez_pipeline.llm.chat import Completion
from baez_pipeline.tables import Outcome
from baez_pipeline_tests.graphs.labelled import INPUT, OUTPUT, Writer, labelled_graph, means, row_of
from baez_pipeline_tests.graphs.made_up import (
    MODEL,
    OTHER_TOPIC,
    SOURCE_SET,
    TOPIC,
    changed,
    feature_body,
    graph_body,
    graph_of,
)

FEW = feature_body(5, 7, at="capital", examples=4)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return labelled_graph(tmp_path_factory.mktemp("graph"), [INPUT, OUTPUT, FEW])


def test_input_and_output_features_are_named_by_words_without_asking_anybody(labelled):
    first, last = row_of(labelled, "0_11_2"), row_of(labelled, "20_13_3")
    names = ("state", "label", "tier", "window", "method")
    assert [first[name] for name in names] == ["labelled", '"capital"', 1, "input", "peak_tokens"]
    assert [last[name] for name in names] == ["labelled", 'say "Austin"', 1, "output", "next_tokens"]
    assert first["score"] == 1.0 and first["n_test"] == 6 and first["scored_by"] == "matching words"
    assert first["q_input"] <= 0.05 < first["p_output"]
    assert first["evidence"] == [f"0-11-{number}" for number in range(4)]


def test_a_feature_without_a_record_or_without_a_pattern_has_no_label(labelled):
    missing, obscure = row_of(labelled, "1_12_2"), row_of(labelled, "5_0_1")
    assert missing["state"] == "no_record" and missing["detail"].startswith("There is no file 1-clt-hp/12.json")
    assert obscure["state"] in ("obscure", "undetermined") and obscure["detail"]
    assert missing["label"] is None and obscure["label"] is None


def test_few_examples_leave_a_feature_undetermined(labelled):
    row = row_of(labelled, "5_7_1")
    assert (row["state"], row["label"], row["tier"]) == ("undetermined", None, None)


ON_A_TOPIC = feature_body(1, 12, words=TOPIC)
RIGHT, WRONG, FAILED = "1-clt-hp_000012", "5-clt-hp_000006", "5-clt-hp_000007"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    writer = Writer(
        **{
            WRONG: Completion(text="[EXPLANATION]: xylophones"),
            FAILED: Completion(text="", outcome=Outcome.TIMED_OUT, detail="no answer"),
        }
    )
    bodies = [ON_A_TOPIC, feature_body(5, 6, words=OTHER_TOPIC), feature_body(5, 7, words=OTHER_TOPIC)]
    folder = tmp_path_factory.mktemp("graph")
    return writer, labelled_graph(folder, bodies, using=means(writer), cost=lambda: {RIGHT: 0.25})


def test_tier_two_is_written_by_the_method_and_its_cost_is_on_the_node(written):
    writer, labelled = written
    assert sorted(writer.asked) == sorted(labelled.table.filter(tier=2)["feature"])
    assert {RIGHT, WRONG, FAILED} <= set(writer.asked)
    row = row_of(labelled, "1_12_2")
    names = ("state", "tier", "window", "method", "writer", "usd", "scored_by")
    expected = ["labelled", 2, "cross", "eleuther_acts_top5", "a writer", 0.25, "cosine, words"]
    assert [row[name] for name in names] == expected
    assert row["label"] == "ranch, oil and river in Dallas, Texas" and row["score"] == 1.0
    assert labelled.usd == 0.25


def test_an_answer_that_failed_is_no_label(written):
    row = row_of(written[1], "5_7_1")
    assert (row["state"], row["label"], row["detail"]) == ("failed", None, "timed_out: no answer")


def test_a_label_that_tells_nothing_apart_is_marked_and_in_no_group(written):
    row = row_of(written[1], "5_6_1")
    assert row["uncertain"] and row["label"] == "?xylophones"
    assert row["supernode"] is None


class Broke(Writer):
    async def complete(self, request):
        raise BudgetError("The budget is reached")


def test_a_spent_budget_stops_the_run(tmp_path):
    with pytest.raises(BudgetError):
        labelled_graph(tmp_path, [ON_A_TOPIC], using=means(Broke()))


def test_a_node_that_has_a_label_keeps_it_and_nobody_is_asked(tmp_path):
    body = changed(graph_body(), ("nodes", 3, "clerp"), "my own")
    # As circuit-tracer's server saves a user's labels: by the raw feature.
    body["qParams"]["clerps"] = '[["77", "mine, too"]]'
    writer = Writer()
    labelled = labelled_graph(tmp_path, [ON_A_TOPIC, INPUT], body=body, using=means(writer))
    row = row_of(labelled, "1_12_2")
    assert (row["state"], row["label"], row["method"]) == ("kept", "my own", None)
    assert row_of(labelled, "0_11_2")["label"] == "mine, too"
    assert writer.asked == []
    assert labelled.before.n_labelled == 2


def test_without_any_record_the_graph_stays_as_it_was():
    graph = graph_of(graph_body())
    missing = dict.fromkeys(graph.features, "There is none.")
    dictionary = Dictionary(model=MODEL, source_set=SOURCE_SET, attention_set=SOURCE_SET, named_by="the graph file")
    records = Records(found={}, missing=missing, dictionary=dictionary)
    labelled = label_graph(graph, records, means(), cost=dict)
    assert set(labelled.table["state"]) == {"no_record"} and set(labelled.table["detail"]) == {"There is none."}
    assert labelled.subgraph.pinned == () and labelled.after == labelled.before


def test_a_small_model_names_input_and_output_features_where_one_is_asked(tmp_path):
    writer = Writer()
    labelled = labelled_graph(tmp_path, [INPUT, OUTPUT], using=means(writer, asked=(1, 2)))
    row = row_of(labelled, "0_11_2")
    assert (row["state"], row["tier"], row["method"], row["writer"]) == (
        "labelled",
        1,
        "eleuther_acts_top5",
        "a writer",
    )
    assert row["label"].endswith("ranch, oil and river in Dallas, Texas")
    assert {row["feature"] for row in labelled.table.filter(tier=1).iter_rows(named=True)} == set(writer.asked)
