# The book from a fresh machine. Every target first sets up .venv when it is missing or older than its
# requirements; an interrupted set-up is repeated, as the stamp is written last.
#
#   make book              run the quick profile, render it, print the path of the page   (PROFILE=laptop for CIFAR-10)
#   make test              every check that .ci/run runs
#   make read              render the published runs, compute nothing
#   make pdf, make epub    the published book as one file; make slides, figures, pack: decks, figures, data of a class
#   make clean             remove what can be made again, but no runs

PYTHON ?= python3
VENV ?= .venv
PROFILE ?= quick
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up

.DEFAULT_GOAL := book
.PHONY: book test read pdf epub slides figures pack clean

book: $(STAMP)
	$(BIN)/python -m dfnas run --profile $(PROFILE)
	$(BIN)/python -m dfnas render --profile $(PROFILE)

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy dfnas
	$(BIN)/pytest -n 2 --dist loadfile

read: $(STAMP)
	$(BIN)/python -m dfnas render

pdf epub slides figures pack: $(STAMP)
	$(BIN)/python book/take_away $@

clean:
	rm -rf _build .mypy_cache .pytest_cache .ruff_cache *.egg-info build
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "dfnas: Python 3.11 or later is needed; name one with: make PYTHON=python3.11 ..." >&2; exit 2; }
	@echo "setting up $(VENV): this takes a few minutes, once"
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
