"""Charts and pages for people: frames in, text or picture out.

Goes in: what a result looks like. Pages are self-contained (no script, no request), escape whatever comes
from a model or a data set, and hold no time stamp: the same tables give the same bytes. Stays out: computing
results.
"""

from baez_pipeline.reports.charts import CHART_PICTURE, chart_picture
from baez_pipeline.reports.experiment_report import EXPERIMENT_REPORT, render_experiment_report
from baez_pipeline.reports.identities import Identities, identities_of
from baez_pipeline.reports.method_table import MethodTable, as_markdown, as_text, method_table
from baez_pipeline.reports.most_distant import MOST_DISTANT_REPORT, render_most_distant
from baez_pipeline.reports.outcomes import StepOutcomes, outcomes_by_step
from baez_pipeline.reports.pages import page_row, pages_table

__all__ = [
    "CHART_PICTURE",
    "EXPERIMENT_REPORT",
    "MOST_DISTANT_REPORT",
    "Identities",
    "MethodTable",
    "StepOutcomes",
    "as_markdown",
    "as_text",
    "chart_picture",
    "identities_of",
    "method_table",
    "outcomes_by_step",
    "page_row",
    "pages_table",
    "render_experiment_report",
    "render_most_distant",
]
