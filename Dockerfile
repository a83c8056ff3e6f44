# One image for webserver, daemon, runs and workers: the command decides which it is. docs/operate.md says how to start each.
#
#   docker build -t baez .                                          PyPI's torch: for GPUs on Linux, and for none
#   docker build -t baez --build-arg EXTRAS="postgres s3 celery kubernetes" .
#   docker build -t baez --build-arg TORCH_BUILD=+cpu --build-arg PIP_EXTRA_INDEX_URL=(an index with that build) .
#
# deploy/prove_dockerfile.py runs each instruction in a clean Debian, without an engine.

# The full image, since it has make.
FROM python:3.11-bookworm AS build
ARG EXTRAS=""
ARG TORCH_BUILD=""
ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1
WORKDIR /opt/baez
COPY Makefile pyproject.toml README.md requirements.lock ./
COPY deploy/locks ./deploy/locks
# Of the package only its name: a change of the code leaves this layer as it is.
COPY baez_pipeline/__init__.py ./baez_pipeline/
RUN make setup extras EXTRAS="$EXTRAS" TORCH_BUILD="$TORCH_BUILD"

FROM python:3.11-slim-bookworm
# A number, so that Kubernetes sees that it is not root. torch asks for the user's name and home.
RUN useradd --uid 10001 --user-group --create-home baez \
    && install -d -o baez -g baez /var/lib/baez /var/lib/baez/dagster /var/lib/baez/data
WORKDIR /opt/baez
COPY --from=build /opt/baez/.venv ./.venv
COPY pyproject.toml dagster.yaml workspace.yaml ./
COPY baez_pipeline ./baez_pipeline
ENV PATH=/opt/baez/.venv/bin:$PATH \
    DAGSTER_HOME=/var/lib/baez/dagster \
    BAEZ_DATA=/var/lib/baez/data \
    DAGSTER_DISABLE_TELEMETRY=1 \
    HF_HUB_OFFLINE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
RUN cp dagster.yaml "$DAGSTER_HOME/dagster.yaml"
VOLUME /var/lib/baez
EXPOSE 3000
# The webserver's; the daemon's is `dagster-daemon liveness-check`, a code server's `dagster api grpc-health-check -p 4000`.
HEALTHCHECK --start-period=60s --interval=30s --timeout=10s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:3000/server_info', timeout=5)"]
# All interfaces of the container alone: publish the port on the loopback interface, or behind a login.
CMD ["dagster-webserver", "-h", "0.0.0.0", "-p", "3000", "-w", "workspace.yaml"]
