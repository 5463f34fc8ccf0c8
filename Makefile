# Two commands do everything on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check format audit benchmark clean

run: $(VENV)/run.ok
	$(BIN)/python app.py $(ARGS)

test: $(VENV)/dev.ok check
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/dev.ok
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev.ok
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Known vulnerabilities of what is pinned; says so and goes on when the service cannot be reached.
audit: $(VENV)/dev.ok
	$(BIN)/pip install pip-audit==2.10.1
	$(BIN)/pip-audit --version
	@$(BIN)/python -c "import urllib.request as u; u.urlopen('https://pypi.org/pypi/pip/json', timeout=10)" 2>/dev/null \
	  && $(BIN)/pip-audit -r requirements.txt --no-deps --disable-pip \
	  || echo "audit: the vulnerability service cannot be reached, or something was found above"

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
