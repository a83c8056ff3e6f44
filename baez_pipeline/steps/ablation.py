"""Steps of the ablation, in experiments whose file has a table `ablation`."""

import json
from collections.abc import Iterator

from baez_pipeline import reports
from baez_pipeline.ablation.effects import ablation_effects
from baez_pipeline.ablation.faults import FAULTS, check_without_faults
from baez_pipeline.ablation.scoring import score_variants
from baez_pipeline.experiment import Experiment
from baez_pipeline.features.roster import Roster, is_planted
from baez_pipeline.scoring import open_benchmark
from baez_pipeline.scoring.controls import RIGHT, Judged
from baez_pipeline.steps.examples import FEATURE_RECORDS, split_feature
from baez_pipeline.steps.pages import write_page
from baez_pipeline.steps.results import label_tables, over_all_features
from baez_pipeline.steps.scores import from_others, judged_by, labels_to_judge
from baez_pipeline.steps.step import FromOthers, Produced, Step, Unit, Work
from baez_pipeline.tables import AblationEffects, AblationScores, Pages


def ablation_scores(experiment: Experiment) -> Step:
    """The step `ablation_scores`.

    Raises:
        ExperimentError: the file itself has one of the faults.
    """
    check_without_faults(experiment)
    methods = experiment.labeling.methods

    def parts(feature: str) -> list[str]:
        # Chance needs one label of another feature: whose method it is by makes no difference to it.
        own = [Judged(RIGHT)] if is_planted(feature) else [Judged(method) for method in methods]
        return [judged.part for judged in (*own, Judged(own[0].method, 1))]

    def compute(work: Work) -> Iterator[Produced]:
        equipment, roster = work.equipment, work.chain.roster(work.equipment)
        for feature in work.features:
            labels = labels_to_judge(
                roster,
                [Unit(feature, part) for part in parts(feature)],
                lambda method, features: work.read(f"labels_{method}", *features),
            )
            yield (
                Unit(feature),
                score_variants(
                    experiment,
                    labels,
                    lambda split, feature=feature: split_feature(work, feature, split),  # type: ignore[misc]
                    lambda name, scoring: open_benchmark(name, scoring, chat=None, embedder=lambda: equipment.embedder),
                ),
            )

    def from_roster(roster: Roster, feature: str, part: str | None) -> FromOthers:
        found = [from_others(roster, feature, each) for each in parts(feature)]
        facts = {f"{name} {place}": fact for place, other in enumerate(found) for name, fact in other.facts.items()}
        # Examples are split anew under each fault, from the record, what a planted one's rule finds, and the donors.
        facts |= FEATURE_RECORDS.from_others(roster, feature, None).facts
        facts["donors in turn"] = json.dumps(roster.donors[feature])
        return FromOthers(facts=facts, tables=tuple(table for other in found for table in other.tables))

    return Step(
        name="ablation_scores",
        schema=AblationScores,
        room="ablation",
        description="Scores of the same labels with none, all, and all but or only one of the article's faults.",
        version=1,
        per_feature=True,
        # Not the roster: one more feature would have every variant of all others judged again.
        reads=lambda part: ("feature_records", *label_tables(experiment), "example_splits"),
        from_others=from_roster,
        depends_on=lambda equipment, part: {
            "judges": {name: judged_by(equipment, name) for name in ("detection", "fuzz_random", "embedding")},
            "ablation": experiment.model_dump(mode="json", include={"ablation", "split", "scoring", "seed"}),
            "source": equipment.source.identity,
            "faults": {fault.name: str(fault.changes) for fault in FAULTS},
        },
        compute=compute,
    )


def article_ablation(experiment: Experiment) -> Step:
    """The step `article_ablation`."""
    return over_all_features(
        experiment,
        AblationEffects,
        lambda work: ablation_effects(work.read("ablation_scores"), experiment.statistics, experiment.seed),
        name="article_ablation",
        reads=("ablation_scores",),
        description="How far each of the article's faults moves each benchmark toward chance.",
        room="ablation",
    )


def ablation_report(experiment: Experiment) -> Step:
    """The step `ablation_report`."""

    def compute(work: Work) -> Iterator[Produced]:
        effects, n_features = work.read("article_ablation"), len(work.features)
        page = reports.render_ablation(experiment, effects).encode()
        written = [write_page(work, reports.ABLATION_REPORT, "What the article's faults do", page, n_features)]
        for group, picture in (("right", "ablation_right_labels.png"), ("methods", "ablation_methods.png")):
            chart = reports.ablation_picture(effects, group, confidence=experiment.statistics.confidence)
            written.append(write_page(work, picture, f"The faults, chart of {group}", chart, n_features))
        yield Unit(), reports.pages_table(written)

    return Step(
        name="ablation_report",
        schema=Pages,
        room="reports",
        description="What each of the article's faults does to each benchmark, as a page and as pictures.",
        version=1,
        per_feature=False,
        reads=lambda part: ("article_ablation",),
        depends_on=lambda equipment, part: {"statistics": experiment.statistics.model_dump(mode="json")},
        compute=compute,
    )


def ablation_steps(experiment: Experiment) -> tuple[Step, ...]:
    """The steps of the ablation; none where the experiment file does not ask for it."""
    if not experiment.ablation:
        return ()
    return ablation_scores(experiment), article_ablation(experiment), ablation_report(experiment)
