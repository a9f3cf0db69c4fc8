# Verbs only; what they do is in the command and the tests.
PYTHON ?= python3.11
ROUNDS ?= 3
SET ?= triage
BIN := .venv/bin
export TOKENIZERS_PARALLELISM := false

.PHONY: setup demo test test-unit test-slow check map bench ui clean

setup: .venv/ready ## virtual environment with the pinned packages

.venv/ready: pyproject.toml constraints.txt
	@echo "setting up .venv: the pinned packages take a few minutes the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup ## the whole chain on data/demo: a fine-tuned model and where to look at it; also SET=replies, SET=decisions
	$(BIN)/tunesmith use-demo '$(SET)'
	$(BIN)/tunesmith run

test-unit: setup ## the tests that need no torch, no tool and no process: half a minute
	$(BIN)/python -m pytest --unit -n 2

test: setup ## the tests, in five minutes on two cores
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: setup ## whole runs of a tiny model, two at a time; then what trains the real base model and wants every core
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'slow and not real_base'
	$(BIN)/python -m pytest -m real_base

check: setup ## style, types, and which package may import which
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

map: ## what lies where, in numbers; beside a commit: make map REV=fd25e76
	@$(BIN)/python -m bench.structure $(REV)

bench: setup ## performance claims, as ratios against a peer in one run; one alone: make bench CLAIM=train-short
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m bench --rounds $(ROUNDS) $(CLAIM)

ui: setup ## runs, curves and versions in the browser
	$(BIN)/tunesmith up

clean: setup ## stop the servers; remove what the stages wrote here (DVC's cache and MLflow's database stay)
	$(BIN)/tunesmith down
	rm -rf data/ingest data/validate data/tokenize data/baselines data/finetune data/evaluate data/register
