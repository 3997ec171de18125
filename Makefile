# Every command a person needs. `make help` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help

FILTERS := audit header-guard jwt-auth rate-limit schema-guard
MODULES := $(FILTERS) suite
# Modules for tests and benchmarks only; they land in dist/test/.
TEST_MODULES := grpc-probe panic-probe noop signature-probe

CARGO ?= cargo
WASM_TARGET := wasm32-wasip1
RELEASE_DIR := target/$(WASM_TARGET)/release
PYTHON := .venv/bin/python
# Paths of the machine that builds must not end up in a module. The stack lies below all data, so that one that
# overflows traps and overwrites nothing; 1 MiB is many times what the depth limits of the parsers need.
# SIMD makes the modules smaller and copies faster; the engines of Envoy (V8), Wasmtime and WasmEdge all have it. The linker
# leaves room in each address and index for a later one; without that room they are 5 % smaller.
export RUSTFLAGS_WASM := -Ctarget-feature=+simd128 --remap-path-prefix=$(CURDIR)=portcullis --remap-path-prefix=$(HOME)=~ \
  -Clink-arg=--stack-first -Clink-arg=-zstack-size=1048576 -Clink-arg=--compress-relocations
# Builds keep the names of functions, for `make check-panics` and for hints about branches; what ships has none.
MODULE_CHECK := $(CARGO) run --locked --quiet -p portcullis-module-check --
# Which way the branches of each module mostly go.
PROFILES := tests/profile/branches
# Modules that are compiled together share the features of shared/host; those with gRPC calls are not for the others.
compile = RUSTFLAGS="$(RUSTFLAGS_WASM)" $(CARGO) build --locked --quiet --release --target $(WASM_TARGET) \
  $(foreach name,$(1),-p portcullis-$(name) --features portcullis-$(name)/module)
named = $(RELEASE_DIR)/portcullis_$(subst -,_,$(1)).wasm

.PHONY: help
help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: rust-target python redis ## Install what is missing: wasm target, Python packages, Envoy

.PHONY: rust-target
rust-target:
	@command -v rustup >/dev/null || { echo "rustup is missing: install it from https://rustup.rs"; exit 1; }
	@# Installs the pinned toolchain where it is missing, and adds the wasm targets.
	@rustup toolchain list | grep -q "^$(TOOLCHAIN)" || rustup toolchain install $(TOOLCHAIN) --profile minimal --component rustfmt,clippy
	@for target in wasm32-wasip1 wasm32-unknown-unknown; do \
	  rustup target list --installed | grep -qx $$target || { echo "installing target $$target"; rustup -q target add $$target; }; done
TOOLCHAIN := $(shell sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)

.PHONY: python
python:
	@tests/tools/setup.sh

.PHONY: redis
redis:
	@command -v redis-server >/dev/null || echo "no redis-server: tests of limits that are counted in Redis will be skipped (Debian, Ubuntu: apt install redis-server)"

.PHONY: build
build: rust-target ## Compile the filters to dist/NAME.wasm
	@mkdir -p dist
	@echo "building $(MODULES)"
	@$(call compile,$(filter-out rate-limit,$(FILTERS)))
	@$(call compile,rate-limit)
	@$(call compile,suite)
	@$(MODULE_CHECK) strip $(PROFILES) $(foreach name,$(MODULES),$(call named,$(name))=dist/$(name).wasm)
	@$(MAKE) --no-print-directory sizes

.PHONY: build-test-modules
build-test-modules: rust-target
	@mkdir -p dist/test
	@$(call compile,$(TEST_MODULES))
	@$(MODULE_CHECK) strip $(PROFILES) $(foreach name,$(TEST_MODULES),$(call named,$(name))=dist/test/$(name).wasm)

.PHONY: build-test-services
build-test-services: rust-target
	@echo "building the rate-limit service of the tests"
	@tests/tools/rate-limit-service.sh build

.PHONY: profile
profile: build ## Watch which way branches go, after a filter's code has changed, so that the engine lays out what requests pass
	@$(CARGO) run --locked --quiet --release -p portcullis-profile -- $(PROFILES) $(foreach name,$(MODULES),$(name)=$(call named,$(name)))
	@$(MAKE) --no-print-directory build

.PHONY: sizes
sizes: ## Compare the sizes of the modules with their budgets
	@tests/tools/sizes.sh

.PHONY: check-panics
check-panics: build ## Every panic site, import and export of the modules is a known one; LIST=1 prints them, UPDATE=1 counts anew
	@$(MODULE_CHECK) check $(if $(LIST),--list) $(if $(UPDATE),--update) tests/module-check $(PROFILES) \
	  $(foreach name,$(MODULES),$(call named,$(name))=dist/$(name).wasm)

.PHONY: demo
demo: setup build ## Start everything, show what is let through and what is refused, and stop
	@$(PYTHON) examples/demo.py

.PHONY: demo-up
demo-up: setup build ## The same, left running for you to try
	@$(PYTHON) examples/demo.py --up

.PHONY: demo-docker
demo-docker: setup build ## The same by Docker Compose with the official Envoy image
	@$(PYTHON) examples/demo.py --docker

.PHONY: test
test: setup build build-test-modules build-test-services check-panics test-native test-wasm test-differential test-faults test-e2e cases ## Run every test

.PHONY: test-native
test-native: rust-target ## Unit and property tests
	@echo "unit and property tests"
	@# The sweep needs the modules: `make test-faults`.
	@$(CARGO) test --locked --quiet --workspace --exclude portcullis-sweep
	@tests/tools/rate-limit-service.sh test

.PHONY: test-wasm
test-wasm: rust-target ## The same tests in a wasm engine, wasmtime
	@tests/tools/test-wasm.sh

.PHONY: test-differential
test-differential: python ## Mutated tokens, judged here and by another implementation; COUNT=60000 SEED=1
	@$(PYTHON) tests/differential/differential.py $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED))

.PHONY: test-faults
test-faults: build build-test-modules ## The modules on a host that misbehaves; STEPS=1000000 random callbacks, FILTER=jwt-auth for one filter
	@$(CARGO) test --locked --quiet -p portcullis-sweep --test grpc --test hazards --test matrix --test random

.PHONY: test-e2e
test-e2e: python ## Cases against real Envoy
	@$(PYTHON) -m pytest -q tests/e2e $(if $(FILTER),-k $(FILTER))

.PHONY: schemas
schemas: ## Write docs/schemas, the JSON Schemas of configurations
	@$(CARGO) run --locked --quiet -p portcullis-schemas

.PHONY: cases
cases: python ## Which requirements are covered, not applicable, open
	@$(PYTHON) tests/tools/cases.py

.PHONY: bench
bench: setup build build-test-modules ## Ratios against Envoy's own filters (needs wrk)
	@$(PYTHON) tests/bench/bench.py

.PHONY: fuzz
fuzz: rust-target python ## Every fuzz target for SECONDS_EACH (30), or one: TARGET=jwt
	@$(PYTHON) tests/fuzz/fuzz.py --seconds $(or $(SECONDS_EACH),30) $(if $(TARGET),--target $(TARGET))

.PHONY: fuzz-merge
fuzz-merge: rust-target python ## Take what fuzzing found into the committed corpora
	@$(PYTHON) tests/fuzz/fuzz.py --merge $(if $(TARGET),--target $(TARGET))

.PHONY: chaos
chaos: setup build build-test-modules build-test-services ## Everything around the filters fails while traffic runs, about 8 minutes
	@PYTHONPATH=tests/e2e:tests/drills $(PYTHON) -m chaos $(CHAOS)

.PHONY: soak
soak: setup build build-test-services worst-case ## Memory and time under REQUESTS=1000000 hostile requests, resets, slow bodies
	@PYTHONPATH=tests/e2e:tests/drills $(PYTHON) -m soak $(if $(REQUESTS),--requests $(REQUESTS))

.PHONY: worst-case
worst-case: setup build ## What the worst input costs against the largest ordinary request
	@PYTHONPATH=tests/e2e:tests/drills $(PYTHON) -m worst_case

.PHONY: drill-rate-limit
drill-rate-limit: setup build build-test-services ## What rate-limit promises: exactness, two Envoys with one limit (needs redis-server), 10,000,000 hostile keys (needs wrk); DRILL="--keys 1000000" for a shorter one
	@PYTHONPATH=tests/e2e:tests/drills:tests/bench $(PYTHON) -m rate_limit $(DRILL)

.PHONY: lint
lint: rust-target python build-test-services ## Format, clippy, and that the bootstraps are what their parts make
	@$(PYTHON) envoy-config/parts/render.py --check
	@$(CARGO) fmt --all --check
	@$(CARGO) fmt --manifest-path tests/rate-limit-service/Cargo.toml --check
	@$(CARGO) clippy --locked --quiet --workspace --all-targets -- -D warnings

.PHONY: doc
doc: ## Build the API documentation
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --quiet --workspace --no-deps

.PHONY: deny
deny: ## Licences, sources and duplicates of the dependencies
	@tests/tools/deny.sh

.PHONY: clean
clean: ## Remove what the build made
	rm -rf target dist .run
