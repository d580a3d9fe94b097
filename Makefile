# Every command that newcomers, engineers and CI use. Needs Python 3.11 to 3.13 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Each process would compile Dagster again, which takes longer than to import it.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo demo-trade dev test test-fast lint docs bench kills trials year history-trial mutants lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Run the nightly job against a sandbox exchange, offline and without an account
	@$(BIN)/python -m kalshi_pipelines.demo

demo-trade: $(READY) ## Trade on a sandbox exchange: a dry run, a live session, a kill, the audit
	@$(BIN)/python -m kalshi_pipelines.demo_trade

dev: $(READY) ## Open the Dagster UI and daemon on the same sandbox
	@$(BIN)/python -m kalshi_pipelines.demo --ui

test: $(READY) ## Run the whole test suite
	$(BIN)/pytest -n auto --dist worksteal

test-fast: $(READY) ## Run the tests that need no process, no server and no Postgres
	$(BIN)/pytest -n auto --dist worksteal --fast

lint: $(READY) ## Style, types and the architecture contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY) ## Build the documentation into site/, every warning an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(READY) ## Measure ingest speed and memory against a minimal program
	$(BIN)/python -m kalshi_pipelines_tests.tools.benchmarks

kills: $(READY) ## Kill upgrades, upkeep and the lake's work at every point (about two hours)
	KALSHI_TEST_KILLS_EVERYWHERE=1 $(BIN)/pytest -n auto --dist worksteal --timeout 0 \
		kalshi_pipelines_tests/warehouse/test_kill_points.py kalshi_pipelines_tests/upkeep/test_kill_points.py \
		kalshi_pipelines_tests/lake/test_kill_points.py

trials: $(READY) ## Run 2,000 trading trials with killed processes and a failing exchange (TRIALS="--trials 150")
	$(BIN)/python -m kalshi_pipelines_tests.tools.trials $(TRIALS)

year: $(READY) ## Simulate a year at 1/100 of the exchange, with killed processes (YEAR="--days 40 --folder DIR")
	$(BIN)/python -m kalshi_pipelines_tests.tools.year $(YEAR)

history-trial: $(READY) ## Read 5,000,000 trades three times, with faults and killed workers (HISTORY="--days 9")
	$(BIN)/python -m kalshi_pipelines_tests.tools.history_trial $(HISTORY)

mutants: $(READY) ## Mutate the executor and report mutants no test notices (ROOMS="orders ...")
	$(BIN)/python -m kalshi_pipelines_tests.tools.mutants $(ROOMS)

lock: $(READY) ## Resolve requirements.lock from pyproject.toml again
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		-q -o requirements.lock

clean: ## Remove everything make and the pipelines created, except the data folder
	rm -rf $(VENV) .dagster .tmp_dagster_home_* build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.lock requirements-bootstrap.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed: install one and run make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "Python cannot create virtual environments: on Debian run apt install python3-venv"; exit 1; }
	@echo "Installing the locked dependencies into $(VENV) ..."
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@
