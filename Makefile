# `make` lists the targets. Everything is installed into .venv, from hash-pinned locks.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# A test run starts hundreds of interpreters: without compiled files each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
# In CI each session ends with where its time went.
DURATIONS := $(if $(CI),--durations=15 --durations-min=1)
PYTEST := $(PY) -m pytest $(DURATIONS)
# On a real broker: what fails is run once more, alone, and told as flaky if it passes then (docs/decisions/0046).
BROKER_PYTEST := PYTHONPATH=. $(PY) -m tests.support.second_chance $(DURATIONS)
# More than processors, for such a test waits most of its time. Long files are listed first, so that none is left last.
BROKER_WORKERS ?= 3
# Of pytest, in memory: on two processors four are faster than two, because tests wait for processes and threads.
WORKERS ?= 4
UV := $(BIN)/uv
LOCK := $(UV) --no-config pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
        --no-annotate --no-emit-index-url --no-emit-find-links

# Stamps: what .venv holds. The development set contains the runtime set.
UV_READY := .venv/.uv-ready
RUNTIME_READY := .venv/.runtime-ready
DEV_READY := .venv/.dev-ready
INSTALL_INPUTS := pyproject.toml hatch_build.py package/__init__.py

# Test folders, quick ones first. A folder that is not there yet is left out.
quick := $(wildcard tests/unit tests/property tests/replay)
contract := $(wildcard tests/contract tests/behaviour tests/fuzz tests/model)
packaging := $(wildcard tests/packaging)
broker := $(wildcard tests/integration tests/faults)
# What is run in memory and on a broker (tests/conftest.py lets a test have the mark `kafka` nowhere else).
both := $(wildcard tests/behaviour tests/contract)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

# ---------------------------------------------------------------- environment

$(UV_READY): requirements/uv.txt
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(DEV_READY): requirements/dev.txt $(INSTALL_INPUTS) | $(UV_READY)
	@echo "installing the development set into .venv"
	@$(UV) pip sync --quiet --python $(PY) --require-hashes requirements/uv.txt requirements/dev.txt
	@$(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	@touch $@ $(RUNTIME_READY)

# A development environment is brought up to date instead: it is never downgraded.
$(RUNTIME_READY): requirements/runtime.txt $(INSTALL_INPUTS) | $(UV_READY)
	@if test -e $(DEV_READY); then \
	  $(MAKE) $(DEV_READY); \
	else \
	  echo "installing the runtime set into .venv"; \
	  $(UV) pip sync --quiet --python $(PY) --require-hashes requirements/uv.txt requirements/runtime.txt; \
	  $(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .; \
	fi
	@touch $@

.PHONY: setup
setup: $(DEV_READY) ## install everything for development into .venv

.PHONY: lock
lock: $(UV_READY) ## resolve requirements/*.txt again (UPGRADE=1 takes newer versions)
	$(LOCK) $(if $(UPGRADE),--upgrade) requirements/uv.in -o requirements/uv.txt
	$(LOCK) $(if $(UPGRADE),--upgrade) pyproject.toml requirements/build.in --extra broker --extra console \
	  -o requirements/runtime.txt
	$(LOCK) $(if $(UPGRADE),--upgrade) pyproject.toml requirements/build.in requirements/dev.in --all-extras \
	  -c requirements/runtime.txt -o requirements/dev.txt

# ---------------------------------------------------------------- run

.PHONY: demo
demo: $(RUNTIME_READY) ## run the whole system against an embedded Kafka, once
	@$(PY) -m tasker_kafka.deploy.demo

.PHONY: bench
bench: $(DEV_READY) ## measure throughput and latency
	@PYTHONPATH=. $(PY) -m tests.bench.run $(ARGS)

.PHONY: bench-size
bench-size: $(DEV_READY) ## measure with 100,000 live tasks and 1,000,000 closed ones
	@PYTHONPATH=. $(PY) -m tests.bench.size $(ARGS)

.PHONY: bench-timers
bench-timers: $(DEV_READY) ## measure how late timers fire
	@PYTHONPATH=. $(PY) -m tests.bench.timers $(ARGS)

.PHONY: bench-events
bench-events: $(DEV_READY) ## measure delivery of domain events
	@PYTHONPATH=. $(PY) -m tests.bench.events $(ARGS)

.PHONY: bench-projection
bench-projection: $(DEV_READY) ## measure the projection: rate, price, visibility, rebuild
	@PYTHONPATH=. $(PY) -m tests.bench.projection $(ARGS)

.PHONY: recovery
recovery: $(DEV_READY) ## measure how long recovery takes
	@PYTHONPATH=. $(PY) -m tests.faults.recovery_figures $(ARGS)

.PHONY: faults
faults: $(DEV_READY) ## kill, pause and disturb everything under load, then check every invariant (SEED=, SECONDS=)
	@PYTHONPATH=. $(PY) -m tests.faults.run --seed $(or $(SEED),1) --seconds $(or $(SECONDS),600) $(ARGS)

.PHONY: faults-short
faults-short: $(DEV_READY) ## a fault run of two minutes, planted defects that must be found, measuring tools, every example
	@PYTHONPATH=. $(PY) -m tests.faults.run --ci
	$(BROKER_PYTEST) -m "campaign and kafka" $(broker)
	EXAMPLES=all $(PYTEST) -n $(WORKERS) -m "(campaign or hypothesis) and not kafka" $(quick) $(contract)

.PHONY: event-faults
event-faults: $(DEV_READY) ## 10,000 events to three groups whose processes are killed, stopped and started (SEED=)
	EVENT_RUN_SEED=$(or $(SEED),2) $(PYTEST) -s -m long $(broker)

.PHONY: model
model: $(DEV_READY) ## check acquisition, checkpoint and the readers' rule in every interleaving
	@PYTHONPATH=. $(PY) -m tests.model $(ARGS)

.PHONY: fuzz
fuzz: $(DEV_READY) ## 100,000 mutated records through the engine (SEED=)
	@PYTHONPATH=. $(PY) -m tests.fuzz --seed $(or $(SEED),1) --count 100000 $(ARGS)

# ---------------------------------------------------------------- check

.PHONY: lint
lint: $(DEV_READY) ## style, format, import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

.PHONY: types
types: $(DEV_READY) ## mypy (strict) and basedpyright
	@$(MAKE) --jobs 2 types-mypy types-pyright

.PHONY: types-mypy types-pyright
types-mypy:
	$(BIN)/mypy
	$(BIN)/mypy $(wildcard tests) hatch_build.py

types-pyright:
	$(BIN)/basedpyright -p .hatch/editable/pyrightconfig.json --pythonpath $(PY)

.PHONY: format
format: $(DEV_READY) ## mend style and format where a tool can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: test-fast
test-fast: $(DEV_READY) ## unit, property, replay and in-memory tests
	$(PYTEST) -n $(WORKERS) -m "not kafka and not docker and not slow and not campaign" $(quick) $(contract)

.PHONY: test
test: lint types ## all checks and all tests, those on a real broker included
	$(PYTEST) -n $(WORKERS) -m "not kafka and not docker and not campaign" $(quick) $(contract)
	$(PYTEST) -m "not docker" $(packaging)
	$(BROKER_PYTEST) -n $(BROKER_WORKERS) --dist loadfile --no-loadscope-reorder \
	  -m "kafka and not docker and not campaign and not long" $(broker) $(both)
	@echo "make test: the container path was $(if $(filter testcontainers,$(TASKER_TEST_BROKER)),run,NOT run; make test-docker runs it)"

.PHONY: test-docker
test-docker: $(DEV_READY) ## the integration tests on containers; prepares an engine where it can
	@bash deploy/docker/test-docker.sh

.PHONY: browser
browser: $(DEV_READY) ## see to it that there is a Chromium for the browser tests
	@PYTHONPATH=. $(PY) -m tests.support.browser_prepare

.PHONY: test-browser
test-browser: browser ## the console in a real browser, over a system of real processes
	$(BROKER_PYTEST) tests/browser

.PHONY: screenshots
screenshots: browser ## take docs/screenshots/*.png of the console's pages anew
	@PYTHONPATH=. $(PY) -m tests.support.screenshots

# ---------------------------------------------------------------- build

.PHONY: build
build: $(DEV_READY) ## sdist and wheel into dist/
	$(PY) -m build --no-isolation

.PHONY: clean
clean: ## remove everything that was built or cached
	rm -rf .venv .hatch dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
