# Everything from Python 3.11, 3.12 or 3.13 alone: `make demo` and `make test`.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-long lint lock clean

demo: $(READY)
	$(BIN)/compute-node demo

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-long: lint
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -m "long or not long"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy

$(READY): pyproject.toml constraints.txt scripts/setup.py
	@python3 scripts/setup.py $(VENV)
	@touch $(READY)

lock: $(READY)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --output-file constraints.txt

clean:
	rm -rf $(VENV) .build .compute-node .mypy_cache .ruff_cache .pytest_cache .hypothesis
