# Everything that is done with this repository, from any directory and as often as you like. `make help` lists it.

ROOT := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
PYTHON ?= python3
VENV := $(ROOT)/.venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# In an environment of its own, so that a tool that reads what others depend on depends on nothing of ours.
PIP_AUDIT := pip-audit==2.10.1
AUDIT := $(VENV)-audit/bin/pip-audit
EXTRAS := cli,local,postgres,recorded,dev
SOURCES := router_service judge_service cascade_service servicekit providers clients/python training benchmarks tests protos/generate.py
# Every line of a recipe runs in the repository, whatever directory make was called from.
IN := cd "$(ROOT)" &&
# protoc finds its plugins on the path.
GENERATE := PATH="$(BIN):$$PATH" "$(BIN)/python" protos/generate.py
SAY := @printf '\n== %s\n'

.DEFAULT_GOAL := help
.PHONY: help setup run up down test check lint fmt types imports contracts docs-check gen baseline unit fuzz audit coverage models clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' "$(ROOT)/Makefile"

setup: $(STAMP) ## Make the virtual environment .venv with everything in it

$(STAMP): $(ROOT)/pyproject.toml $(ROOT)/constraints.txt
	$(SAY) "setting up $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or later is needed, $(PYTHON) is " + sys.version.split()[0] + "; name another with make PYTHON=...")'
	@test -x "$(BIN)/python" || $(PYTHON) -m venv "$(VENV)"
	$(IN) "$(BIN)/python" -m pip install --disable-pip-version-check --constraint constraints.txt --editable ".[$(EXTRAS)]"
	@touch "$(STAMP)"

models: $(STAMP) ## Fetch the weights of the local models (1.7 GB, once)
	$(SAY) "weights of the local models"
	$(IN) "$(BIN)/emafusion" models pull

run: models ## Show the main job: start everything, ask two questions, show events and span trees, stop everything
	$(SAY) "the cascade at work"
	$(IN) "$(BIN)/emafusion" demo

up: models ## Start the local models and the three services and leave them running
	$(SAY) "starting models and services"
	$(IN) "$(BIN)/emafusion" up --detach

down: $(STAMP) ## Stop what `make up` started
	$(IN) "$(BIN)/emafusion" down

test: check models unit ## Run every check and every test

unit: $(STAMP) ## Run the tests alone (needs `make models` once)
	$(SAY) "tests"
	$(IN) "$(BIN)/python" -m pytest -m "not slow"

fuzz: $(STAMP) ## Send odd requests to every servicer; FUZZ_EXAMPLES=N each, 1000 by default
	$(SAY) "fuzzing"
	$(IN) "$(BIN)/python" -m pytest tests/fuzz -m fuzz --fuzz-examples=$(or $(FUZZ_EXAMPLES),1000) --timeout=900

audit: $(STAMP) ## Look up known vulnerabilities of the pinned dependencies; without a network it says so and does nothing
	$(SAY) "audit of constraints.txt"
	$(IN) test -x "$(AUDIT)" || { $(PYTHON) -m venv "$(VENV)-audit" && "$(VENV)-audit/bin/python" -m pip install --quiet --disable-pip-version-check $(PIP_AUDIT); } \
		|| echo "$(PIP_AUDIT) can't be installed here"
	$(IN) "$(BIN)/python" .ci/audit "$(AUDIT)"

coverage: $(STAMP) ## Run the tests of the three services under measurement; fails under 90 % of domain and transport
	$(SAY) "coverage"
	$(IN) mkdir -p .emafusion && "$(BIN)/python" -m coverage run -m pytest -q -m "not slow" tests/unit tests/property tests/transport tests/contract
	$(IN) "$(BIN)/python" -m coverage report

check: lint types imports contracts docs-check ## Run every check that needs no test

lint: $(STAMP) ## Style and formatting
	$(SAY) "ruff"
	$(IN) "$(BIN)/ruff" check $(SOURCES)
	$(IN) "$(BIN)/ruff" format --check $(SOURCES)

types: $(STAMP) ## Types
	$(SAY) "pyright"
	$(IN) "$(BIN)/pyright"

imports: $(STAMP) ## Import rules between packages
	$(SAY) "import rules"
	$(IN) "$(BIN)/lint-imports"

contracts: $(STAMP) ## Contracts: style, compatibility with the released baseline, current stubs
	$(SAY) "contracts"
	$(IN) "$(BIN)/buf" lint
	$(IN) "$(BIN)/buf" breaking --against protos/baseline.binpb
	$(IN) $(GENERATE) --check

docs-check: $(STAMP) ## Generated documentation is current
	$(SAY) "generated documentation"
	$(IN) "$(BIN)/python" -m servicekit.settings.document --check
	$(IN) "$(BIN)/python" -m tests.support.robustness --check

gen: $(STAMP) ## Generate stubs and documentation
	$(IN) $(GENERATE)
	$(IN) "$(BIN)/python" -m servicekit.settings.document
	$(IN) "$(BIN)/python" -m tests.support.robustness

baseline: $(STAMP) ## Take the present contracts as the baseline that later ones must stay compatible with; for a release
	$(IN) "$(BIN)/buf" build --exclude-source-info --output protos/baseline.binpb

fmt: $(STAMP) ## Format the sources and mend what ruff can mend
	$(IN) "$(BIN)/ruff" check --fix $(SOURCES)
	$(IN) "$(BIN)/ruff" format $(SOURCES)

clean: ## Remove the virtual environment and everything that running left behind; weights stay
	$(IN) rm -rf .venv .venv-audit .emafusion .pytest_cache .ruff_cache .import_linter_cache .hypothesis
