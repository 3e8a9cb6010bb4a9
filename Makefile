# The targets of the README. Everything lives in .venv; nothing is installed outside it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SHELL := /bin/bash

.PHONY: help install demo test simulate mesos-recordings lint types page-types unit proto docs deb vm vm-test vm-check clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## Make .venv with everything in it

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "pymesos needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 install" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "python3's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@# A third of a server's start is compiling its sources, where Python may not keep what it compiled.
	@$(BIN)/python -m compileall -q -j 0 proto core master agent frameworks cli bench tests/pymesos_*
	@touch $@

demo: install ## Start a local cluster, run the demo job, show where it ran, stop everything
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python frameworks/examples/demo.py

test: install lint types ## The whole suite (STRICT=1: a skip is a failure)
	@$(BIN)/python -m pytest tests --numprocesses 2 --dist loadscope $(PYTEST_ARGS)

simulate: install ## Clusters in bad weather: SEEDS=200 of them, from SEED_BASE (random)
	@$(BIN)/pymesos-simulate --seeds $(or $(SEEDS),200) $(if $(SEED_BASE),--base $(SEED_BASE))

mesos-recordings: install ## Replay what a real Mesos answered, and compare: RECORDINGS=DIR
	@$(BIN)/python -m pymesos_testing.recordings $(or $(RECORDINGS),tests/mesos/data)

deb: ## The Debian package, for this distribution, in dist/
	@deploy/deb/build.sh dist

vm: install ## The disk image for virtual machines (root)
	@deploy/vm/cluster.py build

vm-test: vm ## The demo job on a cluster of virtual machines: AGENTS=2
	@deploy/vm/cluster.py test --agents $(or $(AGENTS),2)

vm-check: vm ## The tests of containers in a virtual machine, with cgroups v2
	@deploy/vm/check.sh

unit: install ## Only the fast tests
	@$(BIN)/python -m pytest tests/unit $(PYTEST_ARGS)

lint: install ## ruff: lint and format
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "run: $(BIN)/ruff format ." >&2; exit 1; }

types: install ## mypy, strict
	@$(BIN)/mypy --no-error-summary

page-types: ## The types of the web page's scripts, by TypeScript's checker (npm)
	@npx --yes --package typescript@5.9.3 -- tsc --project tests/web/tsconfig.json

proto: install ## Generate the stubs from proto/
	@$(BIN)/python proto/generate.py proto

docs: install ## Generate docs/reference
	@$(BIN)/python docs/generate.py

clean: ## Remove what the other targets made
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis deploy/vm/image dist build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
