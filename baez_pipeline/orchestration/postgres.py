"""PostgreSQL as the instance's storage, without what makes Dagster's own ten to twenty times slower.

Goes in: how the instance talks to PostgreSQL. Stays out: which instance is used (dagster.yaml), and kept answers
(answers.py).

In dagster.yaml:

    storage:
      custom:
        module: baez_pipeline.orchestration.postgres
        class: PooledPostgresStorage
        config:
          postgres_url:
            env: BAEZ_DAGSTER_DB

The stock storage opens two connections for every event, and writes the planned events of a run one by one, one for each
feature and step. Figures: docs/scale.md. It rests on private names of dagster 1.13.27; test_postgres.py runs it whole.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from dagster import DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import make_url
from sqlalchemy.pool import QueuePool

try:
    from dagster_postgres import (  # type: ignore[import-not-found, unused-ignore]
        DagsterPostgresStorage,
        PostgresEventLogStorage,
    )
    from dagster_postgres.utils import (  # type: ignore[import-not-found, unused-ignore]
        create_pg_engine,
        get_token_provider_from_config,
        pg_url_from_config,
    )
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"PostgreSQL as Dagster's storage needs the package {error.name}: install the extra with "
        "pip install 'baez_pipeline[postgres]', or take the block `storage` out of dagster.yaml."
    ) from error

BATCH_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"
EVENTS_AT_ONCE = 500
"""Events in one statement; more were no faster (field guide, dagster 2.3)."""

_WITH_ITS_ASSETS = {DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_MATERIALIZATION_PLANNED}

_POOL = {
    "isolation_level": "AUTOCOMMIT",
    "poolclass": QueuePool,
    "pool_size": 2,
    "max_overflow": 10,
    # A server that was restarted, or a firewall that forgets idle connections, costs no event.
    "pool_pre_ping": True,
}
"""Of each of three storages: a process keeps 6 connections and opens at most 36."""


class BatchedEventLog(PostgresEventLogStorage):  # type: ignore[misc, unused-ignore]
    """The event log, with planned events written together as materializations are."""

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events in their order; of materializations and planned ones each kind in one statement."""
        for kind in dict.fromkeys(event.dagster_event_type for event in events):
            of_kind = [event for event in events if event.dagster_event_type is kind]
            if kind in _WITH_ITS_ASSETS:
                self._store_with_assets(of_kind)
            else:
                super().store_event_batch(of_kind)

    def _store_with_assets(self, events: Sequence[EventLogEntry]) -> None:
        rows = [self._event_to_row(event) for event in events]
        with self._connect() as connection:
            # Rows as parameters, not as one statement of their number: that would be compiled anew for each number.
            statement = SqlEventLogStorageTable.insert().returning(
                SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
            )
            event_ids = list(connection.execute(statement, rows).scalars())
        last_of_assets = {event.get_dagster_event().asset_key: place for place, event in enumerate(events)}
        with self.index_transaction() as connection:
            self._store_asset_event_tags(connection, events, event_ids)
            for place in last_of_assets.values():
                self._store_asset_event(connection, events[place], event_ids[place])


class PooledPostgresStorage(DagsterPostgresStorage):  # type: ignore[misc, unused-ignore]
    """Runs, events and schedules in one PostgreSQL database, through connections that are kept."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
        token_provider: Any = None,
    ) -> None:
        """Tables are created on first use.

        Args:
            postgres_url: SQLAlchemy's URL. Dagster speaks through psycopg2, whichever driver the URL names or means.
            should_autocreate_tables: False where somebody else creates them.
            inst_data: Dagster's own record of where this class was configured.
            token_provider: gives passwords that expire, as Dagster's `auth_provider` has them.
        """
        url = make_url(postgres_url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
        super().__init__(url, should_autocreate_tables, inst_data, token_provider)
        self._event_log_storage = BatchedEventLog(url, should_autocreate_tables, token_provider=token_provider)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine.dispose()
            storage._engine = create_pg_engine(url, token_provider, **_POOL)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PooledPostgresStorage":
        """What Dagster calls with the block of dagster.yaml, in every process that opens the instance.

        Events are written in batches only where DAGSTER_EVENT_BATCH_SIZE is set, in the environment of each process,
        and Dagster has no setting for it. It is set here unless somebody has set it.
        """
        os.environ.setdefault(BATCH_VARIABLE, str(EVENTS_AT_ONCE))
        # The parent's names its own class here: inherited, all of the above would silently have no part in it.
        return cls(
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
            token_provider=get_token_provider_from_config(config_value),
        )
