"""What is said about the state of tables: failed rows with their reasons, how much is there, whether going on pays.

Numbers and sentences from frames and from what tables say of themselves; who shows them is not this module's business.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from baez_pipeline.equipment import Equipment
from baez_pipeline.steps.chain import Chain
from baez_pipeline.steps.step import Step
from baez_pipeline.store import Address, Entry
from baez_pipeline.tables import Outcome

REASON_CHARACTERS = 200


def entries_of(chain: Chain, step: Step, equipment: Equipment, feature: str | None) -> dict[Address, Entry | None]:
    """What a feature's tables of a step say of themselves, part by part; None for one that is not there."""
    return {address: equipment.store.entry(address) for address in chain.addresses(step, equipment, [feature])}


def failed_rows(entries: Iterable[Entry | None]) -> int:
    """Rows with an outcome other than ok."""
    return sum(entry.n_failed for entry in entries if entry)


def reason_of(rows: pl.DataFrame) -> str | None:
    """The most frequent reason of failed rows in a sentence; None if no row failed or the table has no outcomes.

    Args:
        rows: a table with `outcome`, and with `detail` where it has that column.
    """
    if "outcome" not in rows.columns:
        return None
    failed = rows.filter(pl.col("outcome").cast(pl.String) != Outcome.OK.value)
    if failed.is_empty():
        return None
    detail = pl.col("detail") if "detail" in failed.columns else pl.lit(None, dtype=pl.String)
    reasons = Counter(failed.select(pl.col("outcome").cast(pl.String), detail.alias("detail")).iter_rows())
    (outcome, said), n_rows = reasons.most_common(1)[0]
    # Details quote services: one line, shortened.
    quoted = " ".join(str(said).split()) if said else ""
    reason = f"{outcome}: {quoted}" if quoted else str(outcome)
    reason = reason if len(reason) <= REASON_CHARACTERS else reason[: REASON_CHARACTERS - 1] + "…"
    return f"{failed.height} of {rows.height} rows failed, {n_rows} of them {reason}"


def reason_of_feature(step: Step, equipment: Equipment, entries: Mapping[Address, Entry | None]) -> str | None:
    """Why rows of a feature's tables failed; the tables are read only where some did."""
    failing = [address for address, entry in entries.items() if entry and entry.n_failed]
    return reason_of(equipment.store.read(failing, schema=step.schema)) if failing else None


def failing_features(chain: Chain, step: Step, equipment: Equipment, features: Sequence[str | None]) -> dict[str, int]:
    """Failed rows by feature, of those features that have any; a table over all features goes by its step's name."""
    counted = {
        feature or step.name: failed_rows(entries_of(chain, step, equipment, feature).values()) for feature in features
    }
    return {feature: n_failed for feature, n_failed in counted.items() if n_failed}
