"""Names of the pages and how they lead to one another.

Goes in: file names below `pages/`, which is where links are relative to. Stays out: what a page shows.
"""

EXPERIMENT_REPORT = "experiment_report.html"
ABLATION_REPORT = "ablation_report.html"
MOST_DISTANT_REPORT = "most_distant_report.html"
TIER_REPORT = "tier_report.html"
LAYER_TABLES = "layer_profile.md"
LAYER_PICTURE = "layer_profile.png"
FEATURE_INDEX = "features/index.html"
"""Lists all feature pages."""


def feature_page(feature: str) -> str:
    """The page of a feature. Its key is safe in a path (features/source.py)."""
    return f"features/{feature}.html"
