# Two commands do everything: `make run` and `make test`. Python 3.11 or newer is all they need.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# A machine may name certificates or a mirror for pip in its own settings; nothing of that stands here.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=

.PHONY: run test check format unit contract integration containers browser chart image e2e-k8s bench peers chaos lock clean

run: $(VENV)/.run ## broker, store and every service on this machine
	@exec $(BIN)/gatepost up $(ARGS)

test: check unit contract integration containers chart ## everything; what needs Docker or helm is skipped where there is none

check: $(VENV)/.dev ## lint, types, import rules, schemas
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo 2>&1
	$(BIN)/python -m schemas check
	$(BIN)/python -m k8s check

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

unit: $(VENV)/.dev
	$(BIN)/pytest tests/unit $(ARGS)

contract: $(VENV)/.dev
	$(BIN)/pytest tests/contract $(ARGS)

integration: $(VENV)/.dev
	$(BIN)/pytest tests/integration tests/dialogs $(ARGS)

containers: $(VENV)/.dev
	$(BIN)/pytest tests/containers $(ARGS)

browser: $(VENV)/.dev ## needs chromium, libfaketime, and axe-core's axe.min.js in GATEPOST_TEST_AXE (.ci/install-browser)
	$(BIN)/pytest tests/browser $(ARGS)

chart: $(VENV)/.dev ## needs helm, kubeconform and GATEPOST_TEST_K8S_SCHEMAS
	$(BIN)/pytest tests/chart $(ARGS)

image: ## the one image of every service
	docker build -t gatepost:test .

e2e-k8s: $(VENV)/.dev ## the chart on the cluster of KUBECONFIG, whose nodes have gatepost:test and the evaluation's images
	CI=true $(BIN)/pytest tests/kubernetes -s $(ARGS)

bench: $(VENV)/.run ## ARGS="FOLDER" names a folder of messages
	$(BIN)/python -m bench.pipeline $(ARGS)

peers: $(VENV)/.run ## as root, ARGS="FOLDER --install": beside Postfix with rspamd, clamd and amavisd, which apt-get brings
	$(BIN)/python -m bench.peers $(ARGS)

chaos: $(VENV)/.dev ## every part killed, paused and cut off under load; ARGS="--seed 7 --faults 200 --minutes 10"
	$(BIN)/python -m tests.chaos $(ARGS)

lock: $(VENV)/.dev ## after a change of the dependencies
	$(BIN)/uv pip compile -q --python-version 3.11 --universal --generate-hashes --no-header --extra embedded --group build pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --python-version 3.11 --universal --generate-hashes --no-header --group build pyproject.toml -o requirements-image.lock
	$(BIN)/uv pip compile -q --python-version 3.11 --universal --generate-hashes --no-header --extra embedded --group build --group dev pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.run: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || { echo "making the environment from requirements.lock (once)"; $(PYTHON) -m venv $(VENV); }
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	@echo "adding the test tools from requirements-dev.lock (once)"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
