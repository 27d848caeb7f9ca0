# What people do with this repository. Every target does its own set-up: it needs Rust, a C compiler, make and
# Python >= 3.10 with venv (Debian: apt-get install build-essential python3-venv; https://rustup.rs).
SHELL := /bin/bash
.DELETE_ON_ERROR:
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TARGET := $(or $(CARGO_TARGET_DIR),target)
MATURIN := $(BIN)/maturin
TOOLS := $(VENV)/.tools
EXAMPLES := $(TARGET)/debug/examples/checksums $(TARGET)/debug/examples/largest
TARPAULIN := $(or $(shell command -v cargo-tarpaulin),$(TARGET)/tools/bin/cargo-tarpaulin)
# What Rust is tested as: everything but the extension, logging included.
TESTED := --workspace --exclude lineshaft-python --features lineshaft/log --locked
RUST := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
FACE := $(shell find python -name '*.py' -o -name '*.pyi' -o -name py.typed) pyproject.toml

.PHONY: help build demo test test-rust test-models test-python coverage fuzz judges judges-quick lint fmt bench docs clean
help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: $(VENV)/.built $(TARGET)/release/lineshaft ## Release build: .venv (lineshaft, import lineshaft) and target/release/lineshaft

demo: build ## Run the main job on real input, kill a worker in the middle, write a report
	$(BIN)/python examples/python/codebase_report.py

test: test-rust test-models test-python ## Every test

test-rust:
	cargo test $(TESTED)

test-models: ## What threads and processes share without a lock, in every order of loads and stores
	RUSTFLAGS="$(RUSTFLAGS) --cfg model" cargo test --locked --target-dir $(TARGET)/model --lib -p lineshaft-ipc -p lineshaft-engine -p lineshaft -- model

test-python: build $(TOOLS) $(EXAMPLES)
	$(BIN)/python -m pytest tests/python -n auto --dist loadfile

coverage: $(VENV)/.built $(TOOLS) $(EXAMPLES) $(TARPAULIN) ## Lines that the tests reach of jobs, store, engine, wire and the Python package: COVERED=python or rust alone
	TARPAULIN=$(abspath $(TARPAULIN)) $(BIN)/python tests/covered.py $(COVERED)

fuzz: ## Every decoder against hostile input, a minute each: make fuzz FUZZ="value frame" FUZZ_SECONDS=600
	fuzz/run $(FUZZ)

judges: build $(TOOLS) ## Suites of others on ours, all of them; writes docs/operations/judges.md: JUDGES="cpython"
	$(BIN)/python -m tests.judges $(JUDGES)

judges-quick: build $(TOOLS) ## A part of each of them, in a few minutes
	$(BIN)/python -m tests.judges --quick $(JUDGES)

lint: $(TOOLS) ## Formatting, clippy, ruff, mypy --strict, docs
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --locked --quiet
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: $(TOOLS) ## Format everything
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: build $(TOOLS) ## The figures of lineshaft bench, in its quick form, and those of values, slots, single jobs and the prompt
	$(BIN)/lineshaft bench --quick
	$(BIN)/python benches/parallel/pool.py
	$(BIN)/python benches/parallel/search.py
	$(BIN)/python benches/remember calls
	$(BIN)/python benches/remember wrap
	$(BIN)/python benches/see calls
	$(BIN)/python benches/see profiles
	$(BIN)/python benches/values.py
	$(BIN)/python benches/async_slots.py
	$(BIN)/python benches/checkpoints.py
	$(BIN)/python benches/one_by_one.py
	$(BIN)/python benches/cli.py
	$(BIN)/python benches/wear.py --jobs 100000 --rounds 1

docs: build ## API documentation in target/doc, and docs/reference/python.md
	cargo doc --workspace --no-deps --locked
	$(BIN)/python docs/reference/python.py

clean: ## Remove what was built
	cargo clean
	rm -rf $(VENV)

$(VENV)/bin/python:
	@command -v cargo >/dev/null || { echo "Rust is missing: see https://rustup.rs"; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing: apt-get install build-essential"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed: apt-get install python3 python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo "venv is missing: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }

$(MATURIN): | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet maturin==1.16.0

$(TOOLS): tests/requirements.txt | $(VENV)/bin/python
	@echo "installing what tests, judges and lint need into $(VENV): some minutes, once"
	$(BIN)/python -m pip install --quiet --requirement $<
	@touch $@

# Compiled as where it is installed, so that the processes that tests and benches start need not do that, some 40 ms each.
$(VENV)/.built: $(RUST) $(FACE) $(MATURIN)
	PATH="$(CURDIR)/$(BIN):$$PATH" VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/maturin develop --release --locked
	$(BIN)/python -m compileall -q python/lineshaft
	@touch $@

$(TARGET)/tools/bin/cargo-tarpaulin:
	cargo install cargo-tarpaulin --locked --version 0.37.5 --root $(TARGET)/tools --target-dir $(TARGET)/tools/build

# As `test-rust` builds them, so that what they are made of is compiled once.
$(TARGET)/debug/examples/%: $(RUST) examples/rust/%.rs
	cargo build $(TESTED) --example $*
	@touch $@

# Together with the extension, for the same reason.
$(TARGET)/release/lineshaft: $(RUST) $(VENV)/.built
	cargo build --release --locked -p lineshaft-cli -p lineshaft-python --bin lineshaft
	@touch $@
