"""Where the models of a pair lie, and telling one content of a folder from another; nothing is loaded."""

from pathlib import Path

from baez_pipeline.embedded import DATA
from baez_pipeline.experiment import SmallNlaEngine, TransformersEngine, VllmEngine
from baez_pipeline.store import hash_of, short_hash

PairEngine = SmallNlaEngine | TransformersEngine | VllmEngine
"""Engines that run a verbalizer in this process."""

SIDECAR_FILE = "nla_meta.yaml"
SMALL_NLA = DATA / "small_nla"
"""The embedded NLA: `av` and `ar`, each with its sidecar."""

MOST_BYTES_HASHED = 64 * 2**20
"""Adapters are hashed; larger weights are gigabytes, told apart by name and size, and by a revision in the settings."""
_SMALL_FILES = ("*.json", "*.jinja", "*.model", "*.yaml")
"""Sidecar, configurations, tokenizer, chat template: each can change a text or an activation."""


def verbalizer_folder(engine: PairEngine) -> Path:
    """The folder of an engine's verbalizer."""
    return SMALL_NLA / "av" if isinstance(engine, SmallNlaEngine) else engine.verbalizer


def reconstructor_folder(engine: PairEngine) -> Path | None:
    """The folder of an engine's reconstructor; None where explanations are not scored."""
    if isinstance(engine, SmallNlaEngine):
        return SMALL_NLA / "ar" if engine.reconstructor else None
    return engine.reconstructor


def folder_identity(folder: Path) -> str:
    """A folder's name with hashes of the files that describe its model and of its weights."""
    return f"{folder.name} {_hash_of_files(folder, *_SMALL_FILES)} {_hash_of_files(folder, '*.safetensors')}"


def _hash_of_files(folder: Path, *patterns: str) -> str:
    paths = sorted(path for pattern in patterns for path in folder.glob(pattern))
    return hash_of([f"{path.name} {_content(path)}" for path in paths])[:12]


def _content(path: Path) -> str:
    size = path.stat().st_size
    return short_hash(path) if size <= MOST_BYTES_HASHED else str(size)
