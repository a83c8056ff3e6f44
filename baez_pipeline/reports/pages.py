"""Pages from templates, and the table that lists them.

Goes in: the template environment, with its filters, and rows of Pages. Stays out: what a page says.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import dataframely as dy
import jinja2
import polars as pl

from baez_pipeline.reports import wording
from baez_pipeline.reports.measures import benchmark_name
from baez_pipeline.reports.visible_text import breakable, isolated, isolated_token
from baez_pipeline.tables import Pages

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("baez_pipeline", "reports/templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ENVIRONMENT.filters.update(
    isolated=isolated,
    isolated_token=isolated_token,
    percent=wording.percent,
    plain_number=wording.plain_number,
    signed_number=wording.signed_number,
    activation=wording.activation,
    benchmark_name=benchmark_name,
    breakable=breakable,
    share_of_tokens=wording.share_of_tokens,
)
_ENVIRONMENT.globals.update(counted=wording.counted, listed=wording.listed, missing=wording.MISSING)


def render(template: str, **values: Any) -> str:
    """A template of reports/templates/ with these values; whatever is not Markup is escaped."""
    return _ENVIRONMENT.get_template(template).render(**values)


def page_row(page: str, *, title: str, content: bytes, n_features: int) -> dict[str, str | int]:
    """The row of Pages for a page or picture of this content."""
    return {
        "page": page,
        "title": title,
        "n_features": n_features,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def pages_table(rows: Iterable[dict[str, str | int]]) -> dy.DataFrame[Pages]:
    """The table of these rows."""
    return Pages.validate(pl.DataFrame(list(rows), schema=Pages.create_empty().schema), cast=True)
