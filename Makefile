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

report: $(STAMP) ## Everything from data to paper/report.pdf, at demo scale on the CPU
	@envs/ensure_latex.sh
	@$(BIN)/python -m workflow.clear_stale_lock
	@$(BIN)/snakemake --cores $(CORES) $(ARGS)
	@$(BIN)/python -m workflow.summarise_run

test: $(STAMP) ## All tests and checks
	@envs/ensure_latex.sh pdftotext
	@$(MAKE) --no-print-directory lint
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(STAMP) ## Style, types and workflow checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

dag: $(STAMP) ## Draw the workflow's rules to docs/images/rulegraph.png
	@$(BIN)/snakemake --rulegraph --forceall 2>/dev/null | dot -Tpng -Gdpi=110 > docs/images/rulegraph.png

clean: ## Remove results and the report, keep the environment
	rm -rf results/demo results/tables results/figures results/logs .snakemake
	cd paper && rm -f report.{aux,bbl,blg,fdb_latexmk,fls,log,out,pdf,tex}

$(STAMP): requirements.txt
	@envs/ensure_latex.sh
	@envs/create_venv.sh $(PYTHON)
	@touch $@
