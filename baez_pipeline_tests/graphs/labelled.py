"""The small graph, labelled: its means, with an embedder that counts words and a writer that says one thing."""

from baez_pipeline.experiment import Split, Tiers
from baez_pipeline.graphs.feature_files import FeatureFiles
from baez_pipeline.graphs.labelled import label_graph
from baez_pipeline.graphs.labelling import Means
from baez_pipeline.labeling import METHODS
from baez_pipeline.labeling.method import Asking
from baez_pipeline.llm.chat import Completion
from baez_pipeline_tests.graphs.made_up import embed, feature, feature_body, graph_body, graph_of, write_records
from baez_pipeline_tests.labeling.asking import SHARED

INPUT = feature_body(0, 11, at="capital")
ALSO_INPUT = feature_body(1, 12, at="capital")
OUTPUT = feature_body(20, 13, after="Austin")


RIGHT = "[EXPLANATION]: ranch, oil and river in Dallas, Texas"


class Writer:
    """A chat model that answers alike, but for features whose answer is set, and notes whom it is asked about."""

    identity = "a writer"
    concurrency = 1

    def __init__(self, **answers: Completion):
        self.answers, self.asked = answers, []

    async def complete(self, request):
        self.asked.append(request.purpose.feature)
        return self.answers.get(request.purpose.feature, Completion(text=RIGHT))


def means(writer=None, asked=(2,)):
    """What the graph is labelled with."""
    return Means(
        tiers=Tiers(examples=10, most_draws=999),
        split=Split(train=4, test=6),
        confidence=0.95,
        embed=embed,
        embed_together=embed,
        embedder="words",
        asking={
            tier: Asking(method=METHODS["eleuther_acts_top5"], open_writer=lambda: writer, writing=SHARED)
            for tier in asked
        },
        seed=0,
        tell=lambda sentence: None,
    )


def labelled_graph(tmp_path, bodies, *, body=None, using=None, cost=dict):
    """The graph labelled from made-up records; further features without anything in common lend the nulls."""
    body = body or graph_body()
    lenders = [feature_body(5, number) for number in range(8)]
    graph = graph_of(body | {"nodes": [*body["nodes"], *(feature(5, number, 1) for number in range(8))]})
    folder = write_records(tmp_path / "records", [*lenders, *bodies])
    return label_graph(graph, FeatureFiles(folder, packed="cut").of(graph), using or means(), cost=cost)


def row_of(labelled, node_id):
    """A node's row of GraphLabels."""
    return next(row for row in labelled.table.iter_rows(named=True) if row["node_id"] == node_id)
