# Everything happens in .venv, made from nothing but Python 3.11 or later and the package index that pip is set to.
#
#   make demo   answer about a picture: PICTURE=photo.jpg PHRASE="the red mug" writes out.png
#   make test   environment and tests
#   make browser   the tests that open a page in Chromium, which must be installed
#   make lint   formatting, lint and types
#   make env    the environment alone
#   make clean  remove the environment and what tools left behind (fetched models stay in the user's cache)

PYTHON ?= python3
TORCH ?= torch==2.13.0
DEMO := perceptiongpt/demo/scene.jpg
PICTURE ?= $(DEMO)
PHRASE ?= $(if $(filter-out $(DEMO),$(PICTURE)),,the sofa)
OMP_NUM_THREADS ?= 1
export PICTURE PHRASE

BIN := .venv/bin
READY := .venv/.ready
CODE := $(wildcard perceptiongpt tests tools benchmarks)

.PHONY: demo test browser lint env clean
.DEFAULT_GOAL := demo

env: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is older than Python 3.11; say make PYTHON=python3.12, for example"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --editable ".[all]"
	@touch $@

demo: $(READY)
	@test -n "$$PHRASE" || { echo 'say what to look for, too: make demo PICTURE=… PHRASE="the red mug"'; exit 1; }
	@mkdir -p build && rm -f out.png build/answer.json
	$(BIN)/perceptiongpt fetch
	$(BIN)/perceptiongpt segment "$$PICTURE" "$$PHRASE" -o out.png --json > build/answer.json
	@$(BIN)/python tools/check_demo.py build/answer.json "$$PICTURE" "$$PHRASE" out.png

# One thread: the models of the tests are so small that more threads only wait for each other.
test: $(READY)
	OMP_NUM_THREADS=$(OMP_NUM_THREADS) HF_HUB_OFFLINE=1 $(BIN)/python -m pytest

browser: $(READY)
	OMP_NUM_THREADS=$(OMP_NUM_THREADS) HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m browser

lint: $(READY)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy $(CODE)

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis out.png
