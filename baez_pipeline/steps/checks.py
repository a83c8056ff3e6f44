"""The checks of a step's tables: their columns, how many are there, how many rows failed or are misaligned.

From what tables say of themselves, without reading a row: at ten thousand features a check is a pass over 100,000
entries. What is found are numbers and sentences; who shows them, and who stops a run, is not this module's business.
"""

import io
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from baez_pipeline.equipment import Equipment
from baez_pipeline.steps.chain import Chain
from baez_pipeline.steps.failures import Failures, failed_calls, failures_of
from baez_pipeline.steps.step import Found, Step, Unit
from baez_pipeline.steps.survey import State, Survey
from baez_pipeline.store import Address, Entry
from baez_pipeline.store.checking import has_outcomes, types_of
from baez_pipeline.store.files import Files
from baez_pipeline.tables import NlaExplanations, Outcome

SCHEMA, COVERAGE, FAILURE_RATE, ALIGNMENT = "schema", "coverage", "failure_rate", "alignment"

DESCRIPTIONS: Mapping[str, str] = {
    SCHEMA: "Every stored table has the columns and types of its schema, by the files' footers.",
    COVERAGE: "Every feature that a run was about has all its tables; and how many of all features have.",
    FAILURE_RATE: "No row has an outcome other than ok; and which share of those that somebody was asked about has.",
    ALIGNMENT: "Every token that was explained is the peak token; and for which share of all rows it was another one.",
}
"""What each check says when it passes, and what it counts."""

NAMED = 20
"""Features, files or differences that a check names; all of them are counted."""


def checks_of(step: Step) -> tuple[str, ...]:
    """The checks that a step's table has by its kind; one of its own is `step.check`."""
    found = [SCHEMA]
    if step.per_feature:
        found.append(COVERAGE)
    if has_outcomes(step.schema.create_empty()):
        found.append(FAILURE_RATE)
    if step.schema is NlaExplanations:
        found.append(ALIGNMENT)
    return tuple(found)


class Tables(NamedTuple):
    """The tables of a step as they are now; asked for once, for all its checks."""

    addresses: Sequence[Address]
    """Of all that there should be in the end, part by part."""
    entries: Mapping[Address, Entry]
    """Of those that are there."""


def tables_of(chain: Chain, step: Step, equipment: Equipment) -> Tables:
    """The tables of a step, of all kept features.

    Raises:
        TableError: there is no roster yet, or a folder cannot be read.
    """
    store = equipment.store
    if not step.per_feature:
        over_all = Address(table=step.name)
        entry = store.entry(over_all)
        return Tables([over_all], {over_all: entry} if entry else {})
    stored = store.entries(step.name)
    addresses = chain.addresses(step, equipment, chain.kept_features(equipment))
    return Tables(addresses, {address: stored[address] for address in addresses if address in stored})


def schema_found(step: Step, equipment: Equipment, tables: Tables) -> Found:
    """Are the columns and types of the stored tables those of the schema? A footer is read for each file.

    Args:
        step: whose schema.
        equipment: with the store.
        tables: whose files; one that was merged into another meanwhile was checked in doing so.
    """
    paths = sorted({equipment.store.location(address) for address in tables.entries})
    files, types, wrong = Files(equipment.data), types_of(step.schema), []
    for path in paths:
        try:
            file = files.found(path)
            if file is None:
                continue
            footer = files.footer(file)
            found = pl.read_parquet_schema(io.BytesIO(footer) if isinstance(footer, bytes) else footer)
        except FileNotFoundError:
            continue
        except (OSError, pl.exceptions.PolarsError) as error:
            wrong.append(f"{path} cannot be read: {str(error).partition(chr(10))[0]}")
            continue
        if difference := _difference(types, found):
            wrong.append(f"{path}: {difference}")
    details: dict[str, str | float] = {
        "tables": len(tables.entries),
        "files": len(paths),
        "files_that_differ": len(wrong),
    }
    if wrong:
        go_on = "delete the file, and run again: the tables in it are made anew, from the answers that are kept"
        details |= {"found": "; ".join(wrong[:NAMED]), "go_on": go_on}
    return Found(passed=not wrong, serious=True, details=details)


def _difference(expected: pl.Schema, found: Mapping[str, pl.DataType]) -> str:
    """In words; empty where there is none."""
    other = [
        f"column {name} is {_short(found[name])}, expected {_short(type_)}"
        for name, type_ in expected.items()
        if name in found and found[name] != type_
    ]
    if missing := [name for name in expected if name not in found]:
        other.append(f"columns missing: {', '.join(missing)}")
    if unknown := [name for name in found if name not in expected]:
        other.append(f"columns that the schema does not have: {', '.join(unknown)}")
    if not other and list(expected) != list(found):
        other.append("its columns are in another order")
    return "; ".join(other)


def _short(type_: pl.DataType) -> str:
    text = str(type_)
    return text if len(text) <= 60 else text[:59] + "…"


def coverage_found(
    chain: Chain, step: Step, equipment: Equipment, tables: Tables, covered: Collection[str] | None
) -> Found:
    """Are all tables there of the features that runs were about?

    A feature that no run was about yet is counted and not complained of, and so is a control that waits for another
    feature's label.

    Args:
        chain: the step's.
        step: made per feature.
        equipment: with the store.
        tables: the step's.
        covered: features that a run was about; None = all.
    """
    waiting: dict[str, list[Address]] = {}
    features = dict.fromkeys(address.feature or "" for address in tables.addresses)
    for address in tables.addresses:
        if address not in tables.entries:
            waiting.setdefault(address.feature or "", []).append(address)
    survey = Survey(chain, equipment)
    missing = [
        feature
        for feature in features
        if feature in waiting
        and (covered is None or feature in covered)
        and any(
            survey.standing(step, Unit(feature, address.part)).state is State.MISSING for address in waiting[feature]
        )
    ]
    details: dict[str, str | float] = {
        "features": len(features),
        "with_all_tables": len(features) - len(waiting),
        "missing": len(missing),
        "not_begun_or_waiting": len(waiting) - len(missing),
    }
    if missing:
        details["features_missing"] = _named(missing)
        details["go_on"] = "run again (baez run, or features: missing): only what is missing is made"
    return Found(passed=not missing, serious=False, details=details)


def failure_rate_found(tables: Tables, equipment: Equipment, *, stopped: Failures | None) -> Found:
    """Did no row fail? It is serious where a run stops for it.

    Args:
        tables: of a step.
        equipment: whose experiment says how many may fail.
        stopped: the failed calls of the run's own features, for which it does not go on; None = it does.
    """
    failures, calls = failures_of(tables.entries), failed_calls(tables.entries)
    details: dict[str, str | float] = {
        "share": round(calls.share, 4),
        "most_failures": equipment.experiment.checks.most_failures,
        "asked_rows": calls.rows,
        "asked_and_failed_rows": calls.failed,
        "rows": failures.rows,
        "failed_rows": failures.failed,
        "features_with_failures": len(failures.by_feature),
    }
    if failures.failed:
        details |= {"features": _named(sorted(failures.by_feature)), "reason": failures.sentence}
    if stopped:
        details["run_stopped"] = stopped.sentence
    return Found(passed=not failures.failed, serious=stopped is not None, details=details)


def alignment_found(tables: Tables, equipment: Equipment) -> Found:
    """Is every explained token the peak token? Misaligned rows have failed: they count in the failure rate, too."""
    misaligned = failures_of(tables.entries, among=(Outcome.MISALIGNED,))
    details: dict[str, str | float] = {
        "share": round(misaligned.share, 4),
        "misaligned_rows": misaligned.failed,
        "rows": misaligned.rows,
        "features_with_misaligned_rows": len(misaligned.by_feature),
    }
    if misaligned.failed:
        details |= {"features": _named(sorted(misaligned.by_feature)), "reason": misaligned.sentence}
    unverified = equipment.experiment.nla.alignment == "unverified"
    if unverified:
        details["reason"] = "nobody looks: nla.alignment is unverified, the article's way (docs/trust.md)"
    return Found(passed=not misaligned.failed and not unverified, serious=False, details=details)


def entries_of(chain: Chain, step: Step, equipment: Equipment, feature: str | None) -> dict[Address, Entry | None]:
    """What a feature's tables of a step say of themselves, part by part; None for one that is not there."""
    return {address: equipment.store.entry(address) for address in chain.addresses(step, equipment, [feature])}


def _named(features: Sequence[str]) -> str:
    more = f", and {len(features) - NAMED} more" if len(features) > NAMED else ""
    return ", ".join(features[:NAMED]) + more
