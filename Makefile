# `make demo` shows it; `make lint test` before every change. Each target installs into .venv what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CODE := schemas stream tests $(wildcard benchmarks)
PYTEST_ARGS ?=
CHAOS_ARGS ?=
FUZZ_MINUTES ?= 10
LAB_ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-kafka chaos fuzz lint format bench lab clean

help:
	@echo 'make demo        real flights, a broker, a worker: incidents in about a minute'
	@echo 'make test        every test, on the embedded broker'
	@echo 'make test-kafka  the integration tests and a short storm, on Apache Kafka (needs Java 17 or newer, and Maven)'
	@echo 'make chaos       a storm of kills, stops and outages over Apache Kafka (half an hour; CHAOS_ARGS=--help)'
	@echo 'make fuzz        mutated messages, damaged state and batches until FUZZ_MINUTES=10 have passed'
	@echo 'make lint        style, types, imports, dependencies, dead code'
	@echo 'make format      lay out the code and mend what can be mended'
	@echo 'make bench       how fast it is'
	@echo 'make lab         what its alarms are worth: writes docs/alarm-quality.md (LAB_ARGS=--help)'
	@echo 'make clean       remove .venv and what the tools left'

demo: $(VENV)/.demo
	@$(BIN)/driftline demo

test: $(VENV)/.dev
	$(BIN)/pytest --numprocesses=2 --dist=loadfile $(PYTEST_ARGS)

# Java looks the home directory up by itself, Python asks HOME: Maven is told, so that both mean the same ~/.m2.
test-kafka chaos: export MAVEN_OPTS := -Duser.home=$(HOME) $(MAVEN_OPTS)
test-kafka: $(VENV)/.dev
	$(BIN)/pytest tests/chaos tests/integration --broker=kafka --numprocesses=2 --dist=loadfile $(PYTEST_ARGS)

chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz --minutes $(FUZZ_MINUTES)

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports
	$(BIN)/deptry schemas stream
	$(BIN)/vulture

format: $(VENV)/.dev
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.run

lab: $(VENV)/.dev
	$(BIN)/driftline lab --out docs/alarm-quality.md $(LAB_ARGS)

clean:
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache \
	    .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'Driftline needs Python 3.11 or newer; name one: make PYTHON=python3.11' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# .dev has all that .demo has.
$(VENV)/.demo: pyproject.toml constraints.txt $(VENV)/.made
	@echo 'Installing Driftline into $(VENV) ...'
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(VENV)/.bench: pyproject.toml constraints.txt $(VENV)/.made
	@echo 'Installing Driftline and what it is compared with into $(VENV) ...'
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[demo,bench]'
	@touch $(VENV)/.demo $@

$(VENV)/.dev: pyproject.toml constraints.txt $(VENV)/.made
	@echo 'Installing Driftline and its tools into $(VENV) ...'
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[demo,dev,lab]'
	@touch $(VENV)/.demo $@
