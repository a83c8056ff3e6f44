"""Tables that a run has left because they follow from another feature's, which was not there then and is there now.

A control judges a feature's examples with its partner's label. Where the partner is in a later run, the control is
left; nothing else of such a feature is missing, so that asking for it again makes the control alone.
"""

from collections.abc import Collection, Iterator

from baez_pipeline.equipment import Equipment
from baez_pipeline.steps import Chain, State, Step
from baez_pipeline.steps.step import Unit, units
from baez_pipeline.steps.survey import Survey


def left_by_partners(chain: Chain, equipment: Equipment, features: Collection[str]) -> Iterator[str]:
    """Features that lack nothing but what waited for another feature's label, which is there now.

    Features with something stale are not among them: that is somebody's to decide about.

    Args:
        chain: the experiment's.
        equipment: with the store, as it was when it was last refreshed.
        features: only these are looked at.

    Yields:
        Their keys, in the order of the partitions: whoever wants a few of ten thousand need not wait for the last.

    Raises:
        TableError: there is no roster yet, or a folder cannot be read.
    """
    survey = DeepSurvey(chain, equipment)
    per_feature = [step for step in chain if step.per_feature]
    for feature, lacking in _with_gaps_for_others(chain, equipment, per_feature, features).items():
        there = [
            (step, unit)
            for step in per_feature
            for unit in units(step, equipment, [feature])
            if (step, unit) not in lacking
        ]
        # What still waits goes on waiting.
        due = [table for table in lacking if not survey.waits(*table)]
        if due and all(survey.follows_from_fresh(*table) for table in due) and all(map(survey.is_fresh, there)):
            yield feature


def _with_gaps_for_others(
    chain: Chain, equipment: Equipment, per_feature: Collection[Step], features: Collection[str]
) -> dict[str, list[tuple[Step, Unit]]]:
    """Feature -> the tables that it lacks, where each of them follows from another feature's."""
    roster = chain.roster(equipment)
    left: dict[str, list[tuple[Step, Unit]]] = {feature: [] for feature in roster.features if feature in features}
    for step in per_feature:
        there = equipment.store.entries(step.name)
        for address in chain.addresses(step, equipment, list(left)):
            feature, part = address.feature, address.part
            if address in there or feature not in left:
                continue
            assert feature is not None
            if step.from_others(roster, feature, part).tables:
                left[feature].append((step, Unit(feature, part)))
            else:
                del left[feature]
    return {feature: lacking for feature, lacking in left.items() if lacking}


class DeepSurvey:
    """Whether tables are fresh together with all that they follow from."""

    def __init__(self, chain: Chain, equipment: Equipment) -> None:
        self._chain = chain
        self._equipment = equipment
        self._survey = Survey(chain, equipment)
        self._known: dict[tuple[str, Unit], bool] = {}

    def waits(self, step: Step, unit: Unit) -> bool:
        """Whether a table cannot be made yet because another feature's table is missing."""
        return self._survey.waits_for_others(step, unit)

    def is_fresh(self, table: tuple[Step, Unit]) -> bool:
        """Whether a table is fresh, and all that it follows from."""
        step, unit = table
        key = step.name, unit
        if key not in self._known:
            state = self._survey.standing(step, unit).state
            self._known[key] = state is State.FRESH and self.follows_from_fresh(step, unit)
        return self._known[key]

    def follows_from_fresh(self, step: Step, unit: Unit) -> bool:
        """Whether all that a table follows from is there, and fresh."""
        return all(map(self.is_fresh, self._read(step, unit)))

    def _read(self, step: Step, unit: Unit) -> Iterator[tuple[Step, Unit]]:
        for name in step.reads(unit.part):
            read = self._chain[name]
            whose = [unit.feature] if step.per_feature else self._chain.kept_features(self._equipment)
            yield from ((read, each) for each in units(read, self._equipment, whose))
        for address in self._survey.from_others(step, unit).tables:
            yield self._chain[address.table], Unit(address.feature, address.part)
