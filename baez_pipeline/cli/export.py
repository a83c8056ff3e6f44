"""`baez export`: labels and scores as files that others read."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from baez_pipeline.cli.common import ExperimentName, app, console, equipment_of, require_finished, require_labels


@app.command()
def export(
    experiment: ExperimentName = None,
    folder: Annotated[Path | None, typer.Option(help="Where to; export/<experiment> if not given.")] = None,
) -> None:
    """Write labels and scores: Neuronpedia's explanation rows and upload batches, one Parquet, one CSV, the ledger.

    Neuronpedia has to know each method as an explanation type and each writer as a model, and only the owner of a
    source can upload to it; nothing is sent from here.
    """
    import polars as pl

    from baez_pipeline.exports import export_experiment
    from baez_pipeline.steps import build_chain

    equipment = equipment_of(experiment)
    require_labels(equipment)
    require_finished(equipment)
    name, chain = equipment.experiment.name, build_chain(equipment.experiment)
    features = chain.kept_features(equipment)

    def read(*tables: str) -> pl.DataFrame:
        return pl.concat(
            equipment.store.read(
                chain.addresses(chain[table], equipment, features),
                schema=chain[table].schema,
            )
            for table in tables
        )

    exported = export_experiment(
        read(*(f"labels_{method}" for method in equipment.experiment.labeling.methods)),
        read(*(f"scores_{benchmark}" for benchmark in equipment.experiment.scoring.benchmarks)),
        read("feature_records"),
        folder or Path("export") / name,
        experiment=name,
        created_at=datetime.now(UTC),
        failures=equipment.experiment.scoring.failures,
        ledger=equipment.answers.ledger(name) if equipment.pays else None,
    )
    for file in exported:
        left_out = "; ".join(f"{count} left out: {reason}" for reason, count in sorted(file.left_out.items()))
        console.print(f"{file.path}: {file.n_rows:,} rows{'; ' + left_out if left_out else ''}", soft_wrap=True)
