"""The chain as Dagster assets. Besides `definitions.py` and the command line, nothing else imports dagster.

Goes in: one module per Dagster concept: assets, partitions, metadata, jobs, runs, console. Stays out: any decision
about the data, which belongs to steps/ and the rooms.
"""
