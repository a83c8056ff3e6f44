"""Where the records of a graph's features are taken from, by what the user and the experiment say."""

from collections.abc import Callable
from pathlib import Path

from baez_pipeline.answers import Answers
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import LocalSaeSource, NeuronpediaExportSource, Source
from baez_pipeline.graphs.feature_files import FeatureFiles
from baez_pipeline.graphs.layer_sources import LayerSources
from baez_pipeline.graphs.records import RecordSource
from baez_pipeline.store import hash_of, short_hash


def open_records(
    source: Source, folder: Path | None, answers: Callable[[], Answers], *, asked: str | None = None
) -> RecordSource:
    """Where an experiment has the records from.

    Args:
        source: the experiment's.
        folder: a folder of feature files, which comes before the source; None = the source.
        answers: opens the database in which what was read over a network is kept.
        asked: the dictionary that the graph's features are of, `<model>/<source set>`, as the user says; None = as the
            graph's file says, and where it does not, the folder or the source.

    Raises:
        SourceError: the folder is none, or the experiment's features are of no graph.
    """
    if folder is not None:
        packed = "cut" if isinstance(source, LocalSaeSource) else source.packed_documents
        return FeatureFiles(folder, packed=packed, asked=asked)
    if isinstance(source, LocalSaeSource):
        raise SourceError(
            "The experiment's features are of a local SAE, which no graph file names: give the folder of the features' "
            "files (--records FOLDER), or an experiment whose source is a Neuronpedia one (--experiment)."
        )
    return LayerSources(source, answers, asked=asked)


def state_of_records(source: Source, folder: Path | None) -> str | None:
    """A hash that changes when a record may have changed; None where that cannot be told.

    Args:
        source: the experiment's; what was read over the API is kept, and stays as it is.
        folder: a folder of feature files, which comes before the source.
    """
    if folder is not None:
        files = sorted(folder.rglob("*.json"))
        return hash_of({path.relative_to(folder).as_posix(): short_hash(path) for path in files})
    return None if isinstance(source, NeuronpediaExportSource) else "kept answers"
