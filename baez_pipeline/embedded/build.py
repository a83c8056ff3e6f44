"""The command that rebuilds the embedded experiment's data from public packages.

Three stages, which can run on different machines over one work folder:
`corpus` (needs gensim) writes token ids, `compute` (torch; a GPU helps) trains and selects, `write` makes the
shipped files. `python -m baez_pipeline.embedded.build --help` runs one stage or all. With `--layers` the same stages
make the data of several blocks, `data/layers/`.
"""

import argparse
import tempfile
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

from baez_pipeline.embedded import DATA
from baez_pipeline.embedded.compute import CORPUS_FILE, BuildSettings, compute
from baez_pipeline.embedded.corpus import build_corpus, read_articles
from baez_pipeline.embedded.layers import LayerSettings, compute_layers
from baez_pipeline.errors import BaezError
from baez_pipeline.llm.smollm2 import load_smollm2

STAGES = ("corpus", "compute", "write")
LAYERS_DATA = DATA / "layers"


def build_embedded_data(
    output: Path = DATA,
    device: str = "cpu",
    *,
    work: Path | None = None,
    stages: tuple[str, ...] = STAGES,
    settings: BuildSettings | None = None,
    gguf: Path | None = None,
    articles: int | None = None,
) -> None:
    """Build the shipped data, or run some stages of it.

    Args:
        output: receives the shipped files; existing ones are replaced once all are written.
        device: a torch device name, for the stage `compute`.
        work: folder for what passes between stages; a temporary one when None.
        stages: of `STAGES`, run in the order given there.
        settings: see `BuildSettings`; the ones the shipped data was made with when None.
        gguf: SmolLM2's weights; the installed package's when None.
        articles: use only this many (for a trial run).
    """
    settings = settings or BuildSettings()

    def write(folder: Path) -> None:
        # Imported here: the stage `compute` must run where polars is not installed.
        from baez_pipeline.embedded.write import write_shipped_files

        write_shipped_files(folder, output, load_smollm2(gguf)[1])

    steps: dict[str, Callable[[Path], None]] = {
        "corpus": partial(_write_corpus, articles=articles, gguf=gguf, seed=settings.seed),
        "compute": partial(compute, device=device, settings=settings, gguf=gguf),
        "write": write,
    }
    _run_stages(steps, stages, work)


def build_layers_data(
    output: Path = LAYERS_DATA,
    device: str = "cpu",
    *,
    work: Path | None = None,
    stages: tuple[str, ...] = STAGES,
    settings: LayerSettings | None = None,
    gguf: Path | None = None,
    articles: int | None = None,
) -> None:
    """Build the shipped data of several blocks, or run some stages of it. Arguments: see `build_embedded_data`."""
    settings = settings or LayerSettings()

    def write(folder: Path) -> None:
        # Imported here: the stage `compute` must run where polars is not installed.
        from baez_pipeline.embedded.layers_write import write_layers

        write_layers(folder, output, load_smollm2(gguf)[1])

    steps: dict[str, Callable[[Path], None]] = {
        "corpus": partial(_write_corpus, articles=articles, gguf=gguf, seed=settings.seed),
        "compute": partial(compute_layers, device=device, settings=settings, gguf=gguf),
        "write": write,
    }
    _run_stages(steps, stages, work)


def _run_stages(steps: Mapping[str, Callable[[Path], None]], stages: Collection[str], work: Path | None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for stage, step in steps.items():
            if stage in stages:
                step(folder)


def _write_corpus(folder: Path, *, articles: int | None, gguf: Path | None, seed: int) -> None:
    _, tokenizer = load_smollm2(gguf)
    build_corpus(read_articles()[:articles], tokenizer, seed=seed).save(folder / CORPUS_FILE)


def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=[*STAGES, "all"], default="all")
    parser.add_argument("--device", default="cpu", help="torch device of the stage compute")
    parser.add_argument("--work", type=Path, help="folder for what passes between stages; temporary if not given")
    parser.add_argument("--layers", action="store_true", help="the data of several blocks instead of the experiment's")
    parser.add_argument("--output", type=Path, help="folder of the shipped files; the package's if not given")
    parser.add_argument("--gguf", type=Path, help="SmolLM2's weights; the installed package's if not given")
    parser.add_argument("--articles", type=int, help="use only this many articles, for a trial run")
    arguments = parser.parse_args()
    if arguments.stage != "all" and arguments.work is None:
        parser.error("--stage needs --work, where the stages leave their results for each other")
    build, shipped = (build_layers_data, LAYERS_DATA) if arguments.layers else (build_embedded_data, DATA)
    try:
        build(
            arguments.output or shipped,
            arguments.device,
            work=arguments.work,
            stages=STAGES if arguments.stage == "all" else (arguments.stage,),
            gguf=arguments.gguf,
            articles=arguments.articles,
        )
    except BaezError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
