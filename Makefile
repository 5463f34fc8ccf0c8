# Two commands do everything on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check format benchmark clean

run: $(VENV)/run.ok
	$(BIN)/python app.py $(ARGS)

test: $(VENV)/dev.ok check
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/dev.ok
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev.ok
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(VENV)/dev.ok
	$(BIN)/pip install -r benchmarks/requirements.txt
	$(BIN)/python benchmarks/perplexity.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/data.py

$(VENV)/run.ok: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -r requirements.txt
	touch $@

$(VENV)/dev.ok: $(VENV)/run.ok requirements-dev.txt
	$(BIN)/pip install -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
