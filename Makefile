# Targets a user needs; everything happens in a virtual environment of its own.
PYTHON ?= python3
VENV ?= .venv
BIN = $(abspath $(VENV))/bin
EXTRAS ?= dev
STAMP = $(VENV)/.lossatlas-$(shell (echo $(EXTRAS); cat pyproject.toml constraints.txt) | cksum | tr ' ' '-')
HERE = $(VENV)/.lossatlas-checkout
PORT ?= 5000

# stages find `lossatlas` on the path; nothing is sent anywhere
export PATH := $(BIN):$(PATH)
export DVC_NO_ANALYTICS = 1
export MLFLOW_DISABLE_TELEMETRY = true
export ITERATIVE_DO_NOT_TRACK = 1

.PHONY: reproduce test lint docs ui bench clean install FORCE

reproduce: install
	@$(if $(PRESET),echo "Composing preset $(PRESET) into params.yaml" && lossatlas compose preset=$(PRESET),true)
	lossatlas prefill
	dvc repro
	lossatlas track

test: lint
	python -m pytest -n 2 --dist loadfile

lint: install
	ruff check .
	ruff format --check .
	mypy

docs: install
	python -m sphinx -q -W --keep-going -b html docs build/docs
	@echo "docs: $(CURDIR)/build/docs/index.html"

ui: install
	lossatlas ui --port $(PORT) --open

bench: install
	python benchmarks/bench.py $(BENCH)

# computed results, DVC's copies of them included; reports and tracking stay
clean:
	rm -rf artifacts .lossatlas .dvc/cache .dvc/tmp build .mypy_cache .ruff_cache .pytest_cache .hypothesis

install: $(STAMP) $(HERE)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	rm -f $(VENV)/.lossatlas-*
	python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$(EXTRAS)]"
	@echo "$(CURDIR)" > $(HERE)
	touch $@

# an environment can serve several checkouts, one at a time
$(HERE): FORCE | $(STAMP)
	@test "$$(cat $@)" = "$(CURDIR)" || { echo "environment $(VENV) now serves $(CURDIR)"; \
	  python -m pip install --quiet --disable-pip-version-check --no-deps --editable . && echo "$(CURDIR)" > $@; }

FORCE:
