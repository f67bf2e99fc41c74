# `make demo` and `make test` build .venv when it is absent or when its requirements changed.
# Paths are relative, so the folder may have any name.

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help install demo test check clean

help:
	@echo "make demo    test-time ensembling on the embedded images; writes a report"
	@echo "make test    the tests"
	@echo "make check   lint, format and types"
	@echo "make clean   remove .venv, caches and builds"
	@echo "PYTHON=...   the interpreter that makes .venv (now $(PYTHON))"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("genviews needs Python 3.11 or later; try make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "Installing genviews and its dependencies into $(VENV) (a few minutes the first time) ..."
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	$(VENV)/bin/genviews demo

# Two workers with one thread each: threads of two torch processes on the same cores stall each other.
# Their bytecode is kept, whatever the environment says: compiling all tests takes as long as many run.
test: $(STAMP)
	$(ONE_THREAD) PYTHONDONTWRITEBYTECODE= $(VENV)/bin/python -m pytest -n 2 -q

check: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
