"""A small made-up store: every table of a chain, under the fingerprints that it would have, without a model.

Two real and two planted features. All tables but the roster are empty: what a fingerprint needs is that they are there.
"""

from collections.abc import Callable
from typing import Any

import polars as pl

from baez_pipeline.equipment import Equipment
from baez_pipeline.steps import build_chain
from baez_pipeline.steps.step import units
from baez_pipeline.steps.survey import Survey
from baez_pipeline.store import Address, Table
from baez_pipeline.tables import FeatureSample

REAL = ("l20_000001", "l20_000002")
PLANTED = ("planted-keyword_000000", "planted-keyword_000001")
DONOR = 7


def equipment_of(experiment: Any, data: str) -> Equipment:
    """The equipment of an experiment over a store."""
    return Equipment(experiment, data, answers=f"sqlite:///{data}/answers.sqlite")


def fill(equipment: Equipment, *, without: Callable[[Address], bool] = lambda address: False) -> None:
    """Write every table of the experiment's chain, in order, each fresh, except for some."""
    chain = build_chain(equipment.experiment)
    for step in chain:
        survey = Survey(chain, equipment)
        tables = [
            Table(
                Address(table=step.name, feature=unit.feature, part=unit.part),
                roster() if step.name == "feature_sample" else step.schema.create_empty(),
                survey.fingerprint(step, unit) or "made up",
            )
            for unit in units(step, equipment, [*REAL, *PLANTED])
            if not without(Address(table=step.name, feature=unit.feature, part=unit.part))
        ]
        equipment.store.write_many(tables, schema=step.schema)


def rewrite(equipment: Equipment, address: Address, frame: pl.DataFrame) -> None:
    """A table with other rows, as if it had been made again from the same."""
    before = equipment.store.entry(address)
    assert before
    schema = build_chain(equipment.experiment)[address.table].schema
    equipment.store.write(address, frame, schema=schema, fingerprint=before.fingerprint)


def roster(*, partners: int = 2) -> pl.DataFrame:
    """The roster; whose k-th partner is whom does not depend on how many there are."""
    rows = [_kept("donor", 0, f"l20_{DONOR:06d}", DONOR)]
    for pool, features in (("sampled", REAL), ("planted", PLANTED)):
        for place, feature in enumerate(features):
            others = [other for other in features if other != feature]
            row = _kept(pool, place, feature, int(feature[-6:])) | {
                "donors": [DONOR],
                "partners": (others * partners)[:partners],
            }
            if pool == "planted":
                row |= {"planted": "keyword", "right_label": f"the word {place}", "rule": rf"\bword{place}\b"}
            rows.append(row)
    return FeatureSample.validate(pl.DataFrame(rows, schema=FeatureSample.create_empty().schema), cast=True)


def _kept(pool: str, draw: int, feature: str, index: int) -> dict[str, Any]:
    return {"draw": draw, "pool": pool, "feature": feature, "feature_index": index, "outcome": "kept", "n_examples": 30}
