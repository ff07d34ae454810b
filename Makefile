# Plomba's commands. Each one sets up what it needs: a fresh clone and an environment with PATH and HOME are enough.

.DEFAULT_GOAL := help
.PHONY: help setup lock services manual generate demo test check demo-check torture picture proof soak contest bench clean
.DELETE_ON_ERROR:

BIN := .venv/bin
REQUIREMENTS := pyproject.toml $(wildcard requirements/*.txt) tools/setup.sh
# The seeds of the proof bench.
SEEDS ?= 1-42
# Not empty: the benchmark measures a peer too.
CONTEST ?=
# The seed of the kills in demo-check; empty: none.
KILL ?=
# The torture run: what draws its faults, how long they last, how many gateways, and how many meters each has.
SEED ?= 1
SECONDS ?= 60
GATEWAYS ?= 2
METERS ?= 6
# More arguments for pytest: make test ARGS='tests/broker -x'
ARGS ?=

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.ready ## make .venv with everything for development

.venv/.ready: $(REQUIREMENTS)
	@tools/setup.sh

.venv/.runtime: $(REQUIREMENTS)
	@tools/setup.sh runtime

lock: .venv/.ready ## write requirements/*.txt anew (ARGS=--upgrade for newer versions)
	@tools/lock.sh $(ARGS)

services: ## install the tests' Mosquitto, PostgreSQL and Chromium where they are missing (Debian, as root); starts neither
	@tools/services.sh

manual: .venv/.ready ## write man pages and shell completions to dist/manual, for a package to take
	@$(BIN)/python tools/manual.py dist/manual

generate: .venv/.ready ## write what is made from the classes: error catalogue, configuration examples and schemas
	@$(BIN)/python tools/generate.py

test: .venv/.ready services ## run all tests
	@$(BIN)/pytest -n 4 --dist worksteal -m "not alone" $(ARGS)
	@$(BIN)/pytest -n 2 -m alone $(ARGS) || [ $$? -eq 5 ]

check: .venv/.ready ## lint, format, types, layers and tidiness
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest tests/tidy

demo: .venv/.runtime ## a whole site on this machine, its page and a story to watch; Ctrl-C ends it and leaves nothing behind
	@$(BIN)/plomba-simulator demo

demo-check: .venv/.runtime ## run the demo's journey and count what arrived (KILL=SEED: with kills)
	@$(BIN)/plomba-simulator demo-check --run-folder run $(if $(KILL),--kill-seed $(KILL))

torture: .venv/.ready services ## real processes under faults that a seed draws (SEED=1 SECONDS=60 GATEWAYS=2 METERS=6), and a count
	@$(BIN)/plomba-simulator torture --seed $(SEED) --seconds $(SECONDS) --gateways $(GATEWAYS) --meters $(METERS)

picture: .venv/.ready services ## make the README's picture of the page anew, from a running demo
	@PLOMBA_PICTURE=docs/page.png $(BIN)/pytest tests/site/test_demo.py -k page_of_a_running_demo

proof: .venv/.ready ## both daemons in virtual time under 42 kinds of faults, 500 gateway-days by seed (SEEDS=1-42)
	@$(BIN)/python tests/bench/bench.py many --seeds $(SEEDS)

soak: .venv/.ready services ## the full counts: kills, proof, power cuts, hostile inputs, corrupt telegrams, every bit of 20 batches (an hour or more)
	@$(BIN)/python tests/soak/soak.py

bench: .venv/.ready ## measure beside something known; writes benchmarks/results.json (CONTEST=1: a peer too)
	@$(BIN)/python benchmarks/run.py
	@$(if $(CONTEST),$(MAKE) --no-print-directory contest)

contest: .venv/.ready services ## ours and a peer through the same faults (about 6 minutes; makes .contest)
	@$(BIN)/python benchmarks/contest/run.py

clean: ## remove what the other targets made
	rm -rf .venv .contest run dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
