# Every target makes its own environment first, from nothing but python3 and pip.
#   make demo    train a ladder of models on real images and show accuracy against latency
#   make test    all tests and the examples in the docstrings
#   make check   style, types, layers, sizes
#   make bench   every script in benchmarks/, one after the other
#   make docs    the documentation, as a site in site/

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# One thread per library: what is measured and tested is the code, not how threads share two cores.
THREADS := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1

.PHONY: demo test check bench docs env clean
.DELETE_ON_ERROR:

demo: $(STAMP)
	$(THREADS) $(BIN)/cascade demo $(ARGS)

test: $(STAMP)
	$(THREADS) $(BIN)/python -m pytest $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tools.check_layers
	$(BIN)/python -m tools.check_sizes

bench: $(STAMP)
	@set -e; for script in $(sort $(wildcard benchmarks/*.py)); do \
		echo "== $$script"; $(THREADS) $(BIN)/python $$script $(ARGS); \
	done

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

env: $(STAMP)

# The build backend is installed from the same pins, so that no step of the installation floats.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt hatchling editables
	$(BIN)/python -m pip install --quiet --no-build-isolation -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf .venv build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
