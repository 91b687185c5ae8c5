# The book from a fresh machine. Every target first sets up its environment when that is missing or older than its
# requirements; an interrupted set-up is repeated, as the stamp is written last.
#
#   make read              render the published runs, compute nothing: in .venv-read without PyTorch, or in .venv if there
#   make serve             the same, then serve the pages to a browser (PORT=8000)
#   make book              run the quick profile, render it, print the path of the page   (PROFILE=laptop for CIFAR-10)
#   make test              every check that .ci/run runs
#   make pdf, make epub    the published book as one file; make slides, figures, pack: decks, figures, data of a class
#   make lab               JupyterLab on the notebooks
#   make wheel             the package as a wheel and an archive of sources, in dist/, by PYTHON's setuptools
#   make set-up            the environment alone, .venv or where VENV says
#   make install           the same packages into the Python that PYTHON names
#   make lock              pin anew what requirements.txt brings (needs uv); UPGRADE=--upgrade takes newer ones
#   make clean             remove what can be made again, but no runs
#
# PyTorch for CPUs alone, without 4 GB of CUDA: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make book

PYTHON ?= python3
VENV ?= .venv
PROFILE ?= quick
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
READ_STAMP := .venv-read/.set-up
READ := $(if $(wildcard $(STAMP)),$(BIN),.venv-read/bin)
PORT ?= 8000
PAGES = $(or $(DFNAS_RUNS),runs)/render-published/_build/html
PIP := -m pip install --quiet --disable-pip-version-check
INPUTS := requirements.txt requirements.lock pyproject.toml

.DEFAULT_GOAL := book
.PHONY: book test read serve lab pdf epub slides figures pack wheel set-up install lock clean

# PyTorch comes last: its build is the reader's choice, so the lock has no hash of it
define packages
$(1) $(PIP) --no-deps --require-hashes --requirement requirements.lock
$(1) $(PIP) --requirement requirements.txt
$(1) $(PIP) --no-deps --editable .
endef

define check_python
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "dfnas: Python 3.11 or later is needed; name one with: make PYTHON=python3.11 ..." >&2; exit 2; }
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 12))' || \
	echo "dfnas: tested with Python 3.11 alone; make PYTHON=python3.11 ... names one" >&2
endef

book: $(STAMP)
	$(BIN)/python -m dfnas run --profile $(PROFILE)
	$(BIN)/python -m dfnas render --profile $(PROFILE)

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy dfnas
	$(BIN)/pytest -n 2 --dist loadfile

read: $(if $(wildcard $(STAMP)),$(STAMP),$(READ_STAMP))
	$(READ)/python -m dfnas render

serve: read
	$(READ)/python -m http.server $(PORT) --bind 127.0.0.1 --directory $(PAGES)

lab: $(STAMP)
	$(BIN)/jupyter lab --notebook-dir=.

wheel:
	rm -rf build dist
	$(PYTHON) -c "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"

set-up: $(STAMP)

install:
	$(call packages,$(PYTHON))

lock:
	python3 .ci/lock $(UPGRADE)

pdf epub slides figures pack: $(STAMP)
	$(BIN)/python book/take_away $@

clean:
	rm -rf _build .mypy_cache .pytest_cache .ruff_cache *.egg-info build dist
	find . -name __pycache__ -not -path './.venv*/*' -prune -exec rm -rf {} +

$(STAMP): $(INPUTS)
	$(check_python)
	@echo "setting up $(VENV): this takes a few minutes, once"
	$(PYTHON) -m venv --clear $(VENV)
	$(call packages,$(BIN)/python)
	@touch $@

# no bytecode of what is never imported: a quarter of the size
$(READ_STAMP): $(INPUTS)
	$(check_python)
	@echo "setting up .venv-read: this takes a minute, once"
	$(PYTHON) -m venv --clear .venv-read
	sed '/^# What computing/q' requirements.lock > .venv-read/requirements.txt
	.venv-read/bin/python $(PIP) --no-compile --no-deps --require-hashes --requirement .venv-read/requirements.txt
	@touch $@
