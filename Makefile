# One target per habit. Everything is installed into .venv and fetched into the cache folder (ILORA_CACHE);
# both are done once, and later runs need no network.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench format bundle evidence install install-dev data chromium axe port
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

PORT ?= 7860
PAPER_STEPS ?= 150 # of the runs that are only measured, on the published split

# Where torch comes from. Empty means pip's own default, and there a Linux wheel carries CUDA (several GB).
# For the small CPU build name an index that has it: make demo TORCH_INDEX=<url>. PIP_EXTRA_INDEX_URL works too.
TORCH_INDEX ?=

BIN := .venv/bin
# Stamps carry a checksum of what they stand for: a changed pin installs again, an unchanged one does nothing.
INSTALLED := .venv/installed-$(shell cat requirements.txt pyproject.toml | cksum | cut -d' ' -f1)
INSTALLED_DEV := .venv/installed-dev-$(shell cat requirements.txt requirements-dev.txt pyproject.toml | cksum | cut -d' ' -f1)

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

demo: port install data ## Open the web page on http://127.0.0.1:7860 (another port: PORT=8000)
	@exec $(BIN)/ilora serve --host 127.0.0.1 --port $(PORT)

# Two workers of one thread: the smallest machine we promise has two cores, and most tests use one.
WORKERS ?= 2
test: export OMP_NUM_THREADS ?= 1
bench: export OMP_NUM_THREADS ?= 2
# Idle threads sleep: spinning ones take the cores from the browser, and from the server it looks at.
test: export OMP_WAIT_POLICY ?= PASSIVE
# In the order of the files: the long visits of the browser come early, and no worker waits for them at the end.
test: install-dev chromium axe lint data ## Lint, then run every test, in a real browser too
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

bench: install-dev chromium data ## Measure speed against what else one could use; one row: ROW=07, all once: QUICK=1
	@$(BIN)/pytest tests/bench -m bench $(if $(QUICK),--quick) $(if $(ROW),-k row_$(ROW))
	@test -n "$(QUICK)" || { $(BIN)/python -m tests.bench.table && $(BIN)/python -m tests.bench.plots; }

lint: install-dev ## Style, types and the rooms' rules, without changing a file
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: install-dev ## Put style in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# Same recipe and seed for both methods, on both splits; a run that was stopped goes on where it was.
bundle: install data ## Train and measure the demo's bundle anew (hours on 2 cores)
	@train() { \
		test -f $$1/summary.json || $(BIN)/ilora train --out $$1 $$(test ! -f $$1/recipe.yaml || echo --resume) "$${@:2}"; \
	}; \
	for method in lora ilora; do \
		train runs/demo-$$method --recipe demo-cpu --method $$method; \
		train runs/head-$$method --recipe demo-cpu-head --method $$method --set start_from=runs/demo-$$method; \
		train runs/paper-$$method --recipe demo-cpu --method $$method --set split=paper \
			--set run.max_steps=$(PAPER_STEPS) --set run.evaluate_every=50; \
	done
	@$(BIN)/ilora bundle --lora runs/demo-lora --ilora runs/demo-ilora \
		--lora-head runs/head-lora --ilora-head runs/head-ilora \
		--paper-lora runs/paper-lora --paper-ilora runs/paper-ilora --small \
		--out exports/bundles/movielens

# One process per core: two with a thread each do more than one with two, and share the runs among them.
SEEDS := --seed 2 --seed 3 --no-controls --mode catalogue --place lastfm-loo --place movielens-loo --place steam-loo
evidence: install data ## Train and measure every row of the protocol (some four hours on 2 cores; goes on where it was)
	@$(BIN)/ilora evidence --threads 1 & $(BIN)/ilora evidence --threads 1; wait
	@$(BIN)/ilora evidence --threads 1
	@$(BIN)/ilora evidence $(SEEDS) --threads 1 & $(BIN)/ilora evidence $(SEEDS) --threads 1; wait
	@$(BIN)/ilora evidence $(SEEDS) --threads 1

install: $(INSTALLED) ## Create .venv with the product
install-dev: $(INSTALLED_DEV) ## The same, with what tests and linters need

data: install ## Fetch the backbone and MovieLens into the cache, once
	@$(BIN)/ilora data fetch all

chromium: ## Install Chromium for the browser tests, when there is none
	@.ci/chromium

axe: ## Fetch axe-core for the accessibility tests, once
	@.ci/axe

port:
	@if (exec 3<>/dev/tcp/127.0.0.1/$(PORT)) 2>/dev/null; then \
		echo "Port $(PORT) is taken: stop what runs there, or choose another with \`make demo PORT=8000\`." >&2; \
		exit 1; \
	fi

# torch first and alone: it is the one package whose index may differ from the rest.
$(INSTALLED): .ci/venv
	@.ci/venv
	@$(BIN)/python -m pip install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(shell grep '^torch==' requirements.txt)"
	@$(BIN)/python -m pip install -r requirements.txt
	@$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	@$(BIN)/python -m pip install -r requirements-dev.txt
	@touch $@
