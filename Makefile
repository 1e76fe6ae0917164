# Everything a reader needs. `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
CORES ?= all
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help report test lint dag clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

report: latex $(STAMP) ## Data, pretraining, evaluation, figures and paper/report.pdf (demo scale, CPU)
	@$(BIN)/snakemake --cores $(CORES) $(ARGS)
	@$(BIN)/python workflow/scripts/summarise_run.py

test: latex $(STAMP) ## All tests and checks
	@$(MAKE) --no-print-directory lint
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: $(STAMP) ## Style, types and workflow checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

dag: $(STAMP) ## Draw the workflow's rules to docs/rulegraph.png
	@$(BIN)/snakemake --rulegraph --forceall 2>/dev/null | dot -Tpng -Gdpi=110 > docs/rulegraph.png

clean: ## Remove results and the report, keep the environment
	rm -rf results/demo results/tables results/figures results/logs paper/report.* .snakemake

.PHONY: latex
latex:
	@envs/ensure_latex.sh

$(STAMP): requirements.txt
	@envs/create_venv.sh $(PYTHON)
	@touch $@
