# One image for webserver, daemon and code: the command decides which it is.
FROM python:3.11-slim-bookworm AS build
WORKDIR /opt/baez
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
COPY requirements.lock pyproject.toml README.md Makefile ./
COPY baez_pipeline ./baez_pipeline
RUN make setup PYTHON=python3

FROM python:3.11-slim-bookworm
# The OpenMP runtime that torch loads; the slim image lacks it.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home baez
WORKDIR /opt/baez
COPY --from=build /opt/baez /opt/baez
COPY dagster.yaml workspace.yaml ./
ENV PATH=/opt/baez/.venv/bin:$PATH \
    DAGSTER_HOME=/home/baez/dagster \
    BAEZ_DATA=/home/baez/data \
    DAGSTER_DISABLE_TELEMETRY=1 \
    HF_HUB_OFFLINE=1
USER baez
RUN mkdir -p "$DAGSTER_HOME" "$BAEZ_DATA" && cp dagster.yaml "$DAGSTER_HOME/"
CMD ["baez", "run", "smollm2"]
