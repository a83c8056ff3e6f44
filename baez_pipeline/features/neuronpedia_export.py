"""Features of a Neuronpedia source from its bulk export (field guide, nla-and-neuronpedia.md, section 8).

An export of 262,144 features is gigabytes: batch files are read in a stream, one pass for all features that are asked
for together, and what was found is kept as the API would have answered it. A later step reads no batch again.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import polars as pl

from baez_pipeline.answers import Answers
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import NeuronpediaExportSource
from baez_pipeline.features.activation_row import ROW_FIELDS, PackedDocuments
from baez_pipeline.features.export_files import ExportFiles
from baez_pipeline.features.export_places import Places
from baez_pipeline.features.neuronpedia_record import RECORD_FIELDS, Records
from baez_pipeline.features.source import check_index
from baez_pipeline.store import hash_of

_DOES_NOT_HAVE_IT = b"null"


class NeuronpediaExport:
    """Features of one source, from the batch files `features/` and `activations/` of its export."""

    def __init__(self, files: ExportFiles, answers: Answers, *, packed: PackedDocuments) -> None:
        """The source in an export.

        Args:
            files: the export.
            answers: where the records that were found are kept.
            packed: what becomes of contexts that hold several documents.

        Raises:
            SourceError: a file is damaged.
        """
        self._files, self._answers, self._packed = files, answers, packed
        firsts = files.first_rows()
        row = firsts[files.batches[0]]
        model, source = row.get("modelId"), row.get("layer")
        if not (isinstance(model, str) and isinstance(source, str)):
            raise SourceError(f"The features of the export at {files.url} name no modelId and layer.")
        self._model, self._source = model, source
        self._places = Places(
            files,
            {batch: int(first["index"]) for batch, first in firsts.items()},
            answers,
            kept_as=self._key("places"),
        )
        self._fetched: set[int] = set()
        self._records = Records(self._body, model=model, source=source, packed=packed)

    @classmethod
    def open(cls, settings: NeuronpediaExportSource, answers: Answers) -> "NeuronpediaExport":
        """The source that an experiment file describes.

        Raises:
            SourceError: files are missing or damaged.
        """
        return cls(ExportFiles(settings.url, anonymous=settings.anonymous), answers, packed=settings.packed_documents)

    @property
    def identity(self) -> str:
        """Model, source, the hash of the files' names and sizes, and what becomes of packed contexts."""
        return f"Neuronpedia export, {self._model} {self._source} {self._files.hash}, packed documents: {self._packed}"

    @property
    def source_id(self) -> str:
        """Neuronpedia's source id."""
        return self._source

    @property
    def model_id(self) -> str:
        """Neuronpedia's id of the subject model."""
        return self._model

    @property
    def width(self) -> int:
        """One more than the highest index of the export."""
        return self._places.width

    def fetch_ahead(self, indices: Sequence[int]) -> None:
        """Find several features in one pass over the batches that hold them.

        Raises:
            SourceError: a batch is damaged.
        """
        missing = {
            index for index in indices if index not in self._fetched and self._answers.kept(self._key(index)) is None
        }
        surely = self._places.surely
        missing -= self._search(missing)
        if missing and not surely:
            if not self._places.surely:
                self._places.look_everywhere()
            missing -= self._search(missing)
        for index in missing:
            self._answers.keep(self._key(index), _DOES_NOT_HAVE_IT)
        self._fetched.update(indices)

    def record(self, index: int) -> pl.DataFrame | None:
        """One row of FeatureRecords; None where the export has a gap.

        Raises:
            UnreadableRecord: the feature's line is damaged, or of another source.
            SourceError: the index is out of range, or a batch is damaged.
        """
        check_index(index, width=self.width, source_id=self.source_id)
        return self._records.frame(index)

    def is_silent(self, index: int, data_index: str) -> bool | None:
        """Whether the feature is silent in a context of its own record; None for any other context."""
        check_index(index, width=self.width, source_id=self.source_id)
        return self._records.is_silent(index, data_index)

    def _body(self, index: int) -> dict[str, Any] | None:
        kept = self._answers.kept(self._key(index))
        if kept is None:
            self.fetch_ahead([index])
            kept = self._answers.kept(self._key(index)) or _DOES_NOT_HAVE_IT
        return None if kept == _DOES_NOT_HAVE_IT else json.loads(kept)

    def _search(self, wanted: Collection[int]) -> set[int]:
        """Keep the wanted features from the batches in which they should lie, and say which were there."""
        found: set[int] = set()
        for batch, in_it in self._places.by_batch(wanted).items():
            found |= self._find(batch, in_it)
        return found

    def _find(self, batch: int, wanted: Sequence[int]) -> set[int]:
        """Keep those of the wanted features that a batch holds, and say which."""
        features = self._files.read("features", batch, wanted)
        self._places.check(batch, features.indices)
        activations = self._files.read("activations", batch, wanted)
        if strays := set(activations.indices.unique()) - set(features.indices):
            raise SourceError(
                f"activations/batch-{batch}.jsonl.gz of the export at {self._files.url} holds feature {min(strays)}, "
                f"which features/batch-{batch}.jsonl.gz does not: they are of different exports, or one is cut off."
            )
        for index, lines in features.lines.items():
            rows = [_fields(line, ROW_FIELDS) for line in activations.lines.get(index, [])]
            body = _fields(lines[0], RECORD_FIELDS)
            # A line that is no JSON makes a record that is none, rather than one without examples.
            whole = {**body, "activations": rows} if body is not None else {}
            self._answers.keep(self._key(index), json.dumps(whole).encode())
        return set(features.lines)

    def _key(self, of: int | str) -> str:
        return hash_of({"neuronpedia_export": [self._model, self._source, self._files.hash], "of": of})


def _fields(line: str, names: Sequence[str]) -> dict[str, Any] | None:
    """What is read of a line; None if it is not a JSON object."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return {name: row[name] for name in names if name in row} if isinstance(row, Mapping) else None
