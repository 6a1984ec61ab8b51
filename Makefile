# Two commands are enough: `make demo` and `make test`. Each sets up what it needs in .venv; the second time it is quick.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
OUT := out

.PHONY: demo test lint benchmark clean

demo: $(VENV)/.core
	$(BIN)/ecglift digitize examples/photo.jpg examples/scan.jpg -o $(OUT)/demo --overlay --report
	@echo
	@echo "Look at $(OUT)/demo:"
	@echo "  photo.csv, scan.csv                  twelve leads in mV, 500 samples a second"
	@echo "  photo.overlay.png, scan.overlay.png  what was read, drawn over the page"
	@echo "  photo.report.html, scan.report.html  page, redrawn ECG, scales, checks and problems"

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/mypy

benchmark: $(VENV)/.core
	test -d $(OUT)/benchmark || $(BIN)/ecglift press $(OUT)/benchmark --benchmark
	$(BIN)/ecglift benchmark $(OUT)/benchmark --jobs 0 --document docs/benchmark.md
	$(BIN)/ecglift benchmark $(OUT)/benchmark --jobs 0 --document docs/benchmark.md --oracle

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(VENV)/.core

clean:
	rm -rf $(VENV) $(OUT) .mypy_cache .ruff_cache .pytest_cache .hypothesis
