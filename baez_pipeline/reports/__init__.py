"""Charts and pages for people: frames in, text or picture out.

Goes in: what a result looks like. Pages are self-contained (no script, no request), escape whatever comes
from a model or a data set, and hold no time stamp: the same tables give the same bytes. Stays out: computing
results.
"""

from baez_pipeline.reports.ablation_page import ablation_picture, render_ablation
from baez_pipeline.reports.charts import CHART_PICTURE, chart_picture
from baez_pipeline.reports.experiment_report import render_experiment_report
from baez_pipeline.reports.experiment_tables import ExperimentTables
from baez_pipeline.reports.feature_page import FeatureTables, render_feature, render_feature_index
from baez_pipeline.reports.identities import Identities, identities_of
from baez_pipeline.reports.layer_chart import layer_picture
from baez_pipeline.reports.layer_tables import (
    hypothesis_sentence,
    profile_tables,
    tables_markdown,
    tables_text,
    trend_table,
)
from baez_pipeline.reports.method_table import MethodTable, as_markdown, as_text, method_table
from baez_pipeline.reports.most_distant import render_most_distant
from baez_pipeline.reports.names import (
    ABLATION_REPORT,
    EXPERIMENT_REPORT,
    FEATURE_INDEX,
    LAYER_PICTURE,
    LAYER_TABLES,
    MOST_DISTANT_REPORT,
    TIER_REPORT,
    feature_page,
)
from baez_pipeline.reports.outcomes import StepOutcomes, outcomes_by_step
from baez_pipeline.reports.own_labels import own_summary
from baez_pipeline.reports.pages import page_row, pages_table
from baez_pipeline.reports.tier_page import render_tiers
from baez_pipeline.reports.trust import Trust, trust_in
from baez_pipeline.reports.verdict_sentences import Answer, answer

__all__ = [
    "ABLATION_REPORT",
    "CHART_PICTURE",
    "EXPERIMENT_REPORT",
    "FEATURE_INDEX",
    "LAYER_PICTURE",
    "LAYER_TABLES",
    "MOST_DISTANT_REPORT",
    "TIER_REPORT",
    "Answer",
    "ExperimentTables",
    "FeatureTables",
    "Identities",
    "MethodTable",
    "StepOutcomes",
    "Trust",
    "ablation_picture",
    "answer",
    "as_markdown",
    "as_text",
    "chart_picture",
    "feature_page",
    "hypothesis_sentence",
    "identities_of",
    "layer_picture",
    "method_table",
    "outcomes_by_step",
    "own_summary",
    "page_row",
    "pages_table",
    "profile_tables",
    "render_ablation",
    "render_experiment_report",
    "render_feature",
    "render_feature_index",
    "render_most_distant",
    "render_tiers",
    "tables_markdown",
    "tables_text",
    "trend_table",
    "trust_in",
]
