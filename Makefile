# `make demo` and `make test` set up what they need; a second call takes seconds.
PYTHON ?= python3
VENV := .venv
RXT := $(VENV)/bin/rxt

.PHONY: demo test test-fast check

demo: $(VENV)/.installed
	@$(VENV)/bin/python -m tokenization.packages.fetch
	@$(RXT) run tiny
	@$(RXT) stage show evaluate
	@$(RXT) chat tiny --example en --example pl

test: $(VENV)/.installed
	@$(VENV)/bin/python -m pytest -n 2 --no-loadscope-reorder

test-fast: $(VENV)/.installed
	@$(VENV)/bin/python -m pytest -n 2 --no-loadscope-reorder tests/unit tests/component

check: $(VENV)/.installed
	@$(VENV)/bin/ruff format --check . && $(VENV)/bin/ruff check . && $(VENV)/bin/pyrefly check && $(VENV)/bin/python -m pytest tests/unit

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; set PYTHON=python3.11")'
	@$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing into $(VENV) (2.9 GB with the CPU build of torch, 6.2 GB with CUDA; a few minutes the first time)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[s3,kernels,test]"
	@$(VENV)/bin/python -c 'import torch; v = torch.version.cuda; v and not torch.cuda.is_available() and print("note: this torch is a CUDA build and no GPU is visible; it works, only larger; docs/installation.md says how to get the other")'
	@touch $@
