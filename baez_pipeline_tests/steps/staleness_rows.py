"""What each setting of the experiment file makes stale: another value for it, and the steps that its change concerns.

Those steps are the ones whose tables are made from something else then; what is made from those follows from them.
"""

from dataclasses import dataclass, field
from typing import Any

NOTHING: set[str] = set()
REPORT = {"experiment_report"}
FROM_SOURCE = {"feature_sample", "feature_records", "example_splits", "correlation_scores", "ablation_scores"}
ROSTER = {"feature_sample"}
SPLITS = {"example_splits", "ablation_scores", *REPORT}
EXPLANATIONS = {"nla_explanations"}
LABELS = {"labels_baez", "labels_eleuther_acts_top5", "labels_tiers"}
TIER_LABELS = {"labels_tiers"}
JUDGED = {"scores_detection", "scores_fuzz_random"}
WINDOWS = {"correlation_scores", "feature_tiers"}
BY_LABEL = {"feature_scores", "metric_sanity", "feature_claims", "scores_by_negatives", "decile_curves", "reliability"}
STATISTICS = {
    *("metric_sanity", "benchmark_verdicts", "chance_comparison", "feature_claims", "scores_by_negatives"),
    *("decile_curves", "reliability", "benchmark_agreement", "score_summary", "method_comparison"),
    *("label_specificity", "article_ablation", "ablation_report", "tier_costs", "experiment_report"),
}
DRAWN = {
    *FROM_SOURCE,
    *EXPLANATIONS,
    *LABELS,
    *JUDGED,
    "scores_embedding",
    *STATISTICS - {"ablation_report", "experiment_report"},
}
"""Whatever draws, or asks a model that samples."""


@dataclass(frozen=True)
class Row:
    """A setting's other value, and the steps whose tables are made from something else then."""

    value: Any
    stale: set[str]
    before: dict[str, Any] = field(default_factory=dict)
    """Other settings, before and after."""
    along: dict[str, Any] = field(default_factory=dict)
    """Settings that must change with it."""


def over_http(place: str, stale: set[str], **more: Row) -> dict[str, Row]:
    """The settings of a model over HTTP: those that change an answer, and those that change when it comes and at what
    price."""
    changes = {"model": "other", "temperature": 0.5, "max_tokens": 99, "extra": {"top_p": 0.5}}
    changes_nothing = {
        **{
            "base_url": "https://other.invalid/v1",
            "key_variable": "OTHER",
            "max_tokens_field": "max_completion_tokens",
        },
        **{"usd_per_million_in": 9.0, "usd_per_million_cached_in": 1.0, "usd_per_million_out": 9.0},
        **{"mode": "batch", "concurrency": 2, "timeout_seconds": 9.0, "tries": 2, "asks": 3},
    }
    rows = {name: Row(value, stale) for name, value in changes.items()}
    rows |= {name: Row(value, NOTHING) for name, value in changes_nothing.items()} | more
    return {f"{place}:http.{name}": row for name, row in rows.items()}


def in_process(place: str, stale: set[str]) -> dict[str, Row]:
    values = {"temperature": 0.5, "max_tokens": 20, "prefill": False}
    return {f"{place}:smollm2.{name}": Row(value, stale) for name, value in values.items()}


def verbalizer(engine: str, **changes_nothing: Any) -> dict[str, Row]:
    values = {
        **{"verbalizer": "{folder}/av2", "reconstructor": "{folder}/ar", "revision": "2"},
        **{"temperature": 0.1, "max_new_tokens": 50},
    }
    rows = {name: Row(value, EXPLANATIONS) for name, value in values.items()}
    rows |= {name: Row(value, NOTHING) for name, value in changes_nothing.items()}
    return {f"nla.engine:{engine}.{name}": row for name, row in rows.items()}


def tables(prefix: str, rows: dict[str, Row]) -> dict[str, Row]:
    return {f"{prefix}.{name}": row for name, row in rows.items()}


# An ablation starts from a file without the article's faults.
NO_ABLATION = {"ablation": None}
SEVERAL_LAYERS = {"source": {"kind": "local_sae", "layers": [10, 20]}, "ablation": None}
ARTICLE_TIERS = {"tiers.mode": "article", "tiers.tau": 0.5}

ROWS: dict[str, Row] = {
    "seed": Row(1, DRAWN),
    "source": Row({"kind": "neuronpedia_api", "model": "m", "source": "20-res", "width": 100}, FROM_SOURCE),
    "source:local_sae.path": Row("{folder}/sae", FROM_SOURCE),
    "source:local_sae.layers": Row(
        [10, 20, 25], {"feature_sample", "feature_records", "correlation_scores"}, SEVERAL_LAYERS
    ),
    **tables(
        "source:neuronpedia_api",
        {
            "model": Row("other", FROM_SOURCE),
            "source": Row("20-other", FROM_SOURCE),
            "width": Row(90, ROSTER),
            "base_url": Row("https://other.invalid/api", NOTHING),
            "key_variable": Row("OTHER", NOTHING),
            "packed_documents": Row("keep", FROM_SOURCE),
        },
    ),
    **tables(
        "source:neuronpedia_export",
        {
            "url": Row("{folder}/export2_source", FROM_SOURCE),
            "anonymous": Row(True, NOTHING),
            "packed_documents": Row("keep", FROM_SOURCE),
        },
    ),
    "sample.features": Row(3, ROSTER),
    "sample.minimum_examples": Row(16, ROSTER),
    "sample.donors": Row(50, ROSTER),
    "split.train": Row(4, ROSTER | SPLITS),
    "split.test": Row(9, ROSTER | SPLITS),
    "split.design": Row("quantiles", SPLITS),
    "split.documents": Row("shared", ROSTER | SPLITS - {"ablation_scores"}, NO_ABLATION),
    "split.negatives.random": Row(3, SPLITS),
    "split.negatives.hard": Row(2, SPLITS),
    "split.negatives.other_peak": Row(2, SPLITS),
    "split.negatives.verified_silent": Row(False, SPLITS),
    "split.window": Row(30, ROSTER | SPLITS),
    "split.peak": Row("maximum", ROSTER | SPLITS | {"correlation_scores"}),
    "nla.layer": Row(21, EXPLANATIONS),
    "nla.minimum_position": Row(9, EXPLANATIONS),
    "nla.alignment": Row("unverified", EXPLANATIONS),
    "nla.subject": Row({"kind": "folder", "path": "{folder}/subject", "model": "m"}, EXPLANATIONS),
    **tables(
        "nla.subject:folder",
        {
            "path": Row("{folder}/subject2", EXPLANATIONS),
            "model": Row("other", EXPLANATIONS),
            "revision": Row("2", EXPLANATIONS),
        },
    ),
    "nla.engine": Row({"kind": "neighbours"}, EXPLANATIONS),
    "nla.engine:neighbours.neighbours": Row(11, EXPLANATIONS),
    "nla.engine:neighbours.continuations": Row(4, EXPLANATIONS),
    **tables(
        "nla.engine:small_nla",
        {
            "temperature": Row(0.5, EXPLANATIONS),
            "max_new_tokens": Row(70, EXPLANATIONS),
            "reconstructor": Row(False, EXPLANATIONS),
            "batch_size": Row(2, NOTHING),
        },
    ),
    **verbalizer("transformers", batch_size=2),
    **verbalizer("vllm", gpu_memory_share=0.5, gpus=2),
    **tables(
        "nla.engine:neuronpedia",
        {
            "model": Row("other", EXPLANATIONS),
            "nla_source": Row("other", EXPLANATIONS),
            "temperature": Row(0.1, EXPLANATIONS),
            "requests_per_hour": Row(9, NOTHING),
            "timeout_seconds": Row(9.0, NOTHING),
            "base_url": Row("https://other.invalid/api", NOTHING),
            "key_variable": Row("OTHER", NOTHING),
        },
    ),
    **tables(
        "nla.engine:nla_server",
        {
            "name": Row("other", EXPLANATIONS),
            "by": Row("text", EXPLANATIONS),
            "temperature": Row(0.1, EXPLANATIONS),
            "max_new_tokens": Row(50, EXPLANATIONS),
            "base_url": Row("http://other.invalid", NOTHING),
            "secret_variable": Row("OTHER", NOTHING),
            "timeout_seconds": Row(9.0, NOTHING),
        },
    ),
    "labeling.methods": Row(
        ["baez", "eleuther_acts_top5"],
        {"ablation_scores", "label_specificity", "feature_pages", *BY_LABEL, *REPORT},
    ),
    "labeling.maximum_words": Row(7, LABELS),
    "labeling.prompts": Row("own", LABELS),
    "labeling.numbered_examples": Row(False, LABELS),
    "labeling.minimum_fve": Row(0.1, {"labels_baez"}),
    "labeling.writer": Row(
        {
            "kind": "http",
            "model": "m",
            "base_url": "https://a.invalid/v1",
            "usd_per_million_in": 1,
            "usd_per_million_out": 1,
        },
        LABELS,
    ),
    **in_process("labeling.writer", LABELS),
    **over_http("labeling.writer", LABELS),
    "scoring.benchmarks": Row(
        ["detection", "embedding"],
        {"ablation_scores", "feature_pages", *BY_LABEL, *REPORT},
    ),
    "scoring.failures": Row("wrong", {"feature_scores", "scores_by_negatives"}, NO_ABLATION),
    "scoring.marking": Row("delphi", {"scores_fuzz_random"}, NO_ABLATION),
    "scoring.judge": Row(
        {
            "kind": "http",
            "model": "m",
            "base_url": "https://a.invalid/v1",
            "usd_per_million_in": 1,
            "usd_per_million_out": 1,
        },
        JUDGED,
        NO_ABLATION,
    ),
    "scoring.judge:smollm2_likelihood.examples_per_prompt": Row(5, {*JUDGED, "ablation_scores"}),
    **over_http(
        "scoring.judge",
        JUDGED,
        examples_per_prompt=Row(4, JUDGED),
        reading=Row("delphi", JUDGED),
        answers=Row("json_schema", JUDGED),
        logprobs=Row(True, JUDGED),
    ),
    "scoring.embedder.prompt": Row("delphi", {"scores_embedding"}, NO_ABLATION),
    "controls.shuffles": Row(1, {*ROSTER, *BY_LABEL, "feature_pages", *REPORT}, {"controls.shuffles": 2}),
    "controls.planted_per_kind": Row(1, ROSTER),
    "ablation": Row(None, NOTHING),
    "ablation.failing_share": Row(0.2, {"ablation_scores"}),
    "ablation.preamble_share": Row(0.2, {"ablation_scores"}),
    "tiers": Row(None, NOTHING, {"labeling.methods": ["baez", "eleuther_acts_top5"]}),
    "tiers.mode": Row("article", {"feature_tiers"}, {}, ARTICLE_TIERS),
    "tiers.window": Row(5, WINDOWS),
    "tiers.examples": Row(21, WINDOWS),
    "tiers.weighted": Row(True, WINDOWS),
    "tiers.tau": Row(0.4, {"feature_tiers"}, ARTICLE_TIERS),
    "tiers.fdr": Row(0.1, WINDOWS),
    "tiers.draws": Row(1000, WINDOWS),
    "tiers.most_draws": Row(20_000, WINDOWS),
    "tiers.shifts": Row(5, WINDOWS),
    "tiers.method": Row("baez", {"labels_tiers", "tier_costs"}),
    "tiers.tier_1_writer": Row({"kind": "smollm2", "max_tokens": 12}, TIER_LABELS),
    **in_process("tiers.tier_1_writer", TIER_LABELS),
    **over_http("tiers.tier_1_writer", TIER_LABELS),
    "statistics.confidence": Row(0.9, STATISTICS),
    "statistics.resamples": Row(1000, STATISTICS),
    "statistics.margin": Row(0.03, STATISTICS),
    "report.most_distant": Row(["eleuther_acts_top5", "baez"], {"most_distant_report", *REPORT}),
    "report.most_distant_features": Row(7, {"most_distant_report", *REPORT}),
    "budget.max_usd": Row(3.0, NOTHING),
    "rescore.cron": Row("0 4 * * 2", NOTHING),
    "rescore.features": Row(2, NOTHING),
    "checks.most_failures": Row(0.5, NOTHING),
}

WITHOUT_ROW = {
    # A file with another name has tables of its own.
    "name",
    # An ablation starts from a file without the fault that the other value is.
    "ablation.reading",
}
OTHER_PARTS = {"labeling.methods", "scoring.benchmarks", "controls.shuffles", "tiers.method"}
"""They change which tables a step reads or is made of. Its code version does not know the one, and is of all its parts
together in the other."""
