# Everything that is done to this project. `make` alone lists the targets.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := .make
CARGO ?= cargo
# A virtual environment that happens to be active must not decide where things are installed.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1
unexport CONDA_PREFIX

RUST_SOURCES := $(shell find rust -name '*.rs' -not -path '*/target/*' -not -path 'rust/benches/*' 2>/dev/null) \
                $(shell find rust -name Cargo.toml -not -path "rust/benches/*") Cargo.toml Cargo.lock
CORE_CRATES  := -p mmcore -p mmcore-explored -p mmcore-counted
# The long tests of the loads and of the call storm.
STORMS := --test suite -- load_storm load_blocks call_storm --ignored --nocapture --test-threads 1

# What `make compare` and `make try` hand on: make compare ARGS="--load storm --seconds 20"
ARGS   ?=
# The commit that `make compare` builds and compares this one with.
BASE   ?=
AGAINST ?=
ifneq ($(BASE),)
AGAINST := --against .make/base/.venv/bin/python
endif
DESIGN ?= mine
# The benchmarks of `rust/benches` that measure time, and which of all benchmarks `make bench` runs.
TIMED  := migrate pages zram explorers
FILTER ?=
# How long each storm of `make storm` and `make tsan` lasts.
SECONDS ?= 60
# How much `make explore` explores, and from where; `make fuzz` begins at the same seed.
SCHEDULES ?= 100000000
SEED      ?= 0
# How much `make fuzz` does. FUZZ_SECONDS=600 ends it earlier.
CALLS ?= 100000
FILES ?= 10000
FUZZ_SECONDS ?=
# The tests of the HTML pages need Chromium and tools of 170 MB: without the one the others are not installed.
PAGES := $(if $(shell command -v chromium || command -v chromium-browser || command -v google-chrome),$(STAMP)/pages)
HOST   = $$(rustc -vV | sed -n 's/^host: //p')

.DEFAULT_GOAL := help
.PHONY: help compare base counts explore minima standard pages pictures test test-rust test-python weak bench lint workflows format docs try stubs stubs-write storm tsan asan fuzz wheel wheels sdist release-check clean
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# Without ARGS the machine decides whether time can be judged, so its refusal is no failure of the target.
compare: $(STAMP)/built $(if $(BASE),base) ## compare the designs, or this build with BASE=origin/main (ARGS="--load storm ...")
	@$(BIN)/mmcore compare $(AGAINST) $(ARGS) || \
	  { code=$$?; [ $$code = 3 ] && [ -z "$(strip $(ARGS))" ] || exit $$code; \
	  echo "make: time is not judged on this machine now (docs/compare.md, exit code 3); the work verdict holds"; }

# The other build is made by its own Makefile, in a work tree of the commit. A commit that was built before is
# built again only if it has moved. MAKEFLAGS would hand this make's variables on.
base: $(STAMP)/cargo
	@git rev-parse --quiet --verify '$(BASE)^{commit}' >/dev/null || { echo "make: BASE=$(BASE) names no commit" >&2; exit 2; }
	@git worktree prune
	@[ -e $(STAMP)/base ] || git worktree add --quiet --force --detach $(STAMP)/base '$(BASE)'
	@git -C $(STAMP)/base checkout --quiet --detach "$$(git rev-parse '$(BASE)^{commit}')"
	@MAKEFLAGS= $(MAKE) -C $(STAMP)/base BASE= $(STAMP)/built

# The load of the file is the storm without copies: it takes a second, and no trace has to be read.
counts: $(STAMP)/built ## write the counts anew to which CI holds every change (benches/counts.json)
	$(BIN)/mmcore compare --load storm --no-copy --work benches/counts.json --update

explore: $(STAMP)/built ## explore long random programs (SCHEDULES=100000000 SEED=0)
	$(BIN)/mmcore soak --schedules $(SCHEDULES) --seed $(SEED) $(ARGS)

standard: $(STAMP)/built ## write the standard set anew from its tables
	$(BIN)/python -c 'from mmcore._exploration import standard as s; print(s.write(s.generate()), end="")' > $(STAMP)/standard
	mv $(STAMP)/standard python/mmcore/data/standard.txt

minima: $(STAMP)/built ## find the smallest race of each mutation anew
	$(BIN)/python -c 'from mmcore._exploration.hunting import minima; print(minima(), end="")' > $(STAMP)/minima
	mv $(STAMP)/minima python/mmcore/data/mutations.json

# The picture of the comparison shows this machine: take a quiet one.
pictures: $(STAMP)/built ## draw the pictures of the README anew
	$(BIN)/mmcore explore docs/pictures/race.mm --mutation copy-after-restore --plot docs/pictures/race.svg || [ $$? = 1 ]
	$(BIN)/mmcore compare --load storm --vary release=split,putback,packed --seconds 25 --plot docs/pictures/comparison.svg || [ $$? = 3 ]

pages: $(STAMP)/built $(STAMP)/dev $(STAMP)/pages ## look at all HTML pages in Chromium, which must be installed
	$(BIN)/pytest tests/test_pages.py -p no:cacheprovider $(ARGS)

test: test-rust $(STAMP)/weak stubs test-python ## run all tests: Rust, weak memory, type stubs, pytest

# Benchmarks of the core under Criterion and gungraun, of the Python face under pytest-benchmark; then the
# table of all figures beside their targets. A figure of an earlier run must not stand in it.
bench: $(STAMP)/built $(STAMP)/dev $(STAMP)/runner ## run all benchmarks: figures beside targets (FILTER=migrate for a part)
	rm -rf target/criterion target/gungraun $(STAMP)/python.json
	$(CARGO) bench -p mmcore-benches $(addprefix --bench ,$(TIMED)) -- $(FILTER)
	@if command -v valgrind >/dev/null; then \
	  GUNGRAUN_SAVE_SUMMARY=json PATH="$(CURDIR)/$(STAMP)/bin:$$PATH" $(CARGO) bench -p mmcore-benches --bench instructions; \
	else echo "make: instructions are not counted: valgrind is missing (install your system's valgrind package)" >&2; fi
	$(BIN)/pytest benches -p no:cacheprovider --benchmark-json=$(STAMP)/python.json $(if $(FILTER),-k '$(FILTER)') $(ARGS) || [ $$? = 5 ]
	@$(BIN)/python benches/table.py --criterion target/criterion --gungraun target/gungraun --python $(STAMP)/python.json

fuzz: $(STAMP)/built ## draw calls and mutate files, in processes with limits (CALLS=100000 FILES=10000 SEED=0)
	PYTHONPATH=tests $(BIN)/python -m fuzz --calls $(CALLS) --files $(FILES) --seed $(SEED) \
	  $(if $(FUZZ_SECONDS),--seconds $(FUZZ_SECONDS)) $(ARGS)

# One thread at a time runs each storm: it has threads of its own.
storm: $(STAMP)/built $(STAMP)/dev ## storm each design for SECONDS=60, with verified words, and with all calls from 32 threads
	STORM_SECONDS=$(SECONDS) $(CARGO) test --release --quiet -p mmcore $(STORMS)
	STORM_SECONDS=$(SECONDS) $(BIN)/pytest tests/test_movable_storm.py -p no:cacheprovider

# The sanitizers are not in stable Rust; the variable lets the stable compiler have them.
tsan: $(STAMP)/cargo ## the same loads and calls under ThreadSanitizer, without Python (ten times slower)
	STORM_SECONDS=$(SECONDS) RUSTC_BOOTSTRAP=1 \
	RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" \
	TSAN_OPTIONS="suppressions=$(CURDIR)/rust/core/tests/tsan.supp" \
	$(CARGO) test --release --quiet -p mmcore --target $(HOST) --target-dir target/tsan $(STORMS)

# Not of `mmcore-explored`: its threads are coroutines, whose stacks the sanitizer takes for one stack
# with a hole in it. The core is the same source in both. A test asks for more memory than exists, which the
# sanitizer must refuse as the host does.
asan: $(STAMP)/cargo ## the core's tests under AddressSanitizer, with a search for leaks
	RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer" \
	ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:allocator_may_return_null=1" \
	$(CARGO) test --quiet -p mmcore --lib --tests --target $(HOST) --target-dir target/asan

lint: $(STAMP)/built $(STAMP)/dev ## rustfmt, clippy, rustdoc, ruff and mypy --strict, all clean
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc -p mmcore --no-deps --quiet
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

workflows: $(STAMP)/workflows ## check .github/workflows with actionlint and zizmor
	$(BIN)/actionlint
	$(BIN)/zizmor --offline --quiet .github/workflows

docs: $(STAMP)/built $(STAMP)/docs ## build the site into docs/_build
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build
	@echo "docs/_build/index.html"

try: $(STAMP)/built $(STAMP)/dev ## build, test, explore and race your own release design (DESIGN=mine)
	@echo "1 of 3: the tests of the machine in $(DESIGN)"
	$(BIN)/pytest -q -n auto --design '$(DESIGN)' tests
	@echo "2 of 3: every interleaving of the standard set to two preemptions"
	$(BIN)/mmcore standard --release $(DESIGN)
	@echo "3 of 3: against split"
	$(BIN)/mmcore compare --vary release=split,$(DESIGN) $(ARGS)

format: $(STAMP)/dev ## rewrite the sources in the project's format
	$(CARGO) fmt --all
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format -q .

wheel: $(STAMP)/venv ## build the wheel into dist/
	$(BIN)/maturin build --release --out dist

sdist: $(STAMP)/venv ## build the source distribution into dist/
	$(BIN)/maturin sdist --out dist

# With the licence texts of all crates, and nothing in dist/ but what is to be released.
wheels: $(STAMP)/venv ## build wheel and source distribution of a release (ARGS="--zig ...")
	rm -rf dist
	$(BIN)/python .ci/third_party_licences.py $(HOST) LICENSE-THIRD-PARTY
	$(BIN)/maturin build --profile dist --out dist $(ARGS)
	$(BIN)/maturin sdist --out dist

release-check: $(STAMP)/venv ## install what make wheels has built into fresh environments, and try it
	$(BIN)/python .ci/release_check.py dist

clean: ## remove what make built (not the compiled Rust crates: cargo clean)
	rm -rf $(VENV) $(STAMP) dist docs/_build docs/jupyter_execute python/mmcore/*.so

test-rust: $(STAMP)/cargo
	$(CARGO) test $(CORE_CRATES) -- --quiet

stubs: $(STAMP)/built $(STAMP)/dev
	@MYPYPATH=python $(BIN)/stubtest mmcore._mmcore --allowlist tests/stubtest.txt --ignore-unused-allowlist

stubs-write: $(STAMP)/built $(STAMP)/dev ## write the docstrings of the built module into the type stub
	$(BIN)/python tests/stub_docstrings.py
	$(BIN)/ruff format -q python/mmcore/_mmcore.pyi

# One process a core; each takes a test from the others when it has none left.
test-python: $(STAMP)/built $(STAMP)/dev $(PAGES)
	$(BIN)/pytest -n auto --dist worksteal $(ARGS)

# --- Stamps: each is rebuilt only when what it was made from has changed -------------------------

# A build of its own: loom's types in place of the native ones.
weak: $(STAMP)/weak ## weak-memory models of the primitives (loom)

$(STAMP)/weak: $(RUST_SOURCES) docs/weak-memory.md | $(STAMP)/cargo
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom $(CARGO) test -p mmcore --test loom -- --quiet
	@touch $@

$(STAMP)/cargo:
	@command -v $(CARGO) >/dev/null || { echo "make: cargo is missing: install Rust 1.90 or newer (https://rustup.rs)" >&2; exit 1; }
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/venv: pyproject.toml
	@python=; for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { python=$$p; break; }; done; \
	[ -n "$$python" ] || { echo "make: python3 is missing: install CPython 3.11 or newer" >&2; exit 1; }; \
	[ -x $(BIN)/python ] || $$python -m venv $(VENV) || { echo "make: python3 -m venv failed: install your system's python3-venv package" >&2; rm -rf $(VENV); exit 1; }
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' 'maturin>=1.9.4,<2'
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/dev: $(STAMP)/venv
	@$(BIN)/python -m pip install --quiet --group dev
	@touch $@

$(STAMP)/pages: $(STAMP)/venv
	@$(BIN)/python -m pip install --quiet --group pages
	@touch $@

$(STAMP)/workflows: $(STAMP)/venv
	@$(BIN)/python -m pip install --quiet --group workflows
	@touch $@

# The program behind gungraun, of the version that its library asks for.
$(STAMP)/runner: Cargo.toml | $(STAMP)/cargo
	@if command -v valgrind >/dev/null; then \
	  version="$$(sed -n 's/^gungraun = "=\(.*\)"$$/\1/p' Cargo.toml)"; \
	  $(CARGO) install --quiet --locked --root $(STAMP) --target-dir target/runner gungraun-runner --version "$$version"; \
	fi
	@touch $@

$(STAMP)/docs: $(STAMP)/venv
	@$(BIN)/python -m pip install --quiet --group docs
	@touch $@

$(STAMP)/built: $(RUST_SOURCES) $(STAMP)/venv | $(STAMP)/cargo
	@echo "make: compiling the core three times, to run, to explore and to count: minutes if all of it is new"
	@$(BIN)/maturin develop --release --extras cli,report,testing
	@touch $@
