# make demo    the example, end to end, against a sandbox of its own
# make test    everything that must hold before a change lands
# make soak    kills, faults and power cuts at random moments, for SOAK_MINUTES; docs/reliability.md has the figures
# make clients  other people's clients, which the sandbox is tested with; needs the network once
# make bench   the figures of docs/performance.md, with the rivals that it needs; needs the network once
# make audit   known vulnerabilities of dependencies; needs the network

SHELL := /bin/bash
CARGO ?= cargo
TOOLS := $(or $(CAMPANILE_TOOLS),$(HOME)/.cache/campanile/tools)
export PATH := $(TOOLS)/bin:$(PATH)
NEXTEST_VERSION := 0.9.143
DENY_VERSION := 0.20.2

.PHONY: demo test soak audit tools clients rivals bench docs

demo: .toolchain
	@target=$$($(CARGO) metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'); \
	if [ ! -x "$$target/release/campanile" ]; then \
	  echo "Building Campanile. The first build takes ten to twenty minutes on two cores; later ones take seconds."; fi; \
	$(CARGO) build --release --locked && "$$target/release/campanile" demo

test: .toolchain tools clients
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) nextest run --workspace --locked
	$(CARGO) test --workspace --locked --doc
	$(CARGO) deny --locked check bans licenses sources

# Passes over the tests with random moments, each with new seeds; the last pass may end some minutes after the time is over.
SOAK_MINUTES ?= 60
SOAK_PASS_SECONDS ?= 30
soak: .toolchain tools
	@figures=$$(mktemp -d); failed=0; until=$$(($$(date +%s) + 60 * $(SOAK_MINUTES))); \
	while [ $$(date +%s) -lt $$until ]; do \
	  CAMPANILE_SOAK_SECONDS=$(SOAK_PASS_SECONDS) CAMPANILE_SOAK_FIGURES=$$figures $(CARGO) nextest run --profile soak \
	    --workspace --locked --lib --bins --test it --test sqlite -E 'test(random)' || failed=$$?; \
	  case $$failed in 0 | 100) ;; *) exit $$failed ;; esac; \
	done; \
	awk -f tests/soak/figures.awk $$figures/figures; rm -r $$figures; exit $$failed

audit: tools
	$(CARGO) deny check advisories

# The generated pages: schema, problems, command line. Tests keep them in step.
docs: tools
	UPDATE_DOCS=1 $(CARGO) nextest run --workspace --locked -E 'test(/in_step/)'

# The figures of docs/performance.md; best on a machine that does nothing else.
bench: .toolchain rivals
	$(CARGO) build --release --locked -p campanile -p benches
	@target=$$($(CARGO) metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'); \
	"$$target/release/bench" all

.PHONY: .toolchain
.toolchain:
	@command -v $(CARGO) >/dev/null || { echo "Rust is needed: install it from https://rustup.rs, then run this again." >&2; exit 1; }
	@command -v cc >/dev/null || { echo "A C compiler is needed: on Debian or Ubuntu, apt-get install build-essential." >&2; exit 1; }

# Installed once, and again when a lock file changes.
CLIENTS := $(or $(CAMPANILE_CLIENTS),$(HOME)/.cache/campanile/clients)
NPM_CLIENTS := dynamics-web-api jsforce odata-csdl
PIP_CLIENTS := simple-salesforce msal

clients:
	@command -v npm >/dev/null || { echo "Node.js with npm is needed for tests/clients: on Debian or Ubuntu, apt-get install nodejs npm." >&2; exit 1; }
	@for client in $(NPM_CLIENTS); do \
	  cmp -s tests/clients/$$client/package-lock.json $(CLIENTS)/$$client/installed.json && continue; \
	  echo "Installing $$client"; \
	  mkdir -p $(CLIENTS)/$$client && cp tests/clients/$$client/package*.json $(CLIENTS)/$$client/ && \
	  (cd $(CLIENTS)/$$client && npm ci --no-audit --no-fund --ignore-scripts) && \
	  cp tests/clients/$$client/package-lock.json $(CLIENTS)/$$client/installed.json || exit 1; \
	done
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "Python 3 with venv is needed for tests/clients: on Debian or Ubuntu, apt-get install python3 python3-venv." >&2; exit 1; }
	@for client in $(PIP_CLIENTS); do \
	  cmp -s tests/clients/$$client/requirements.txt $(CLIENTS)/$$client/installed.txt && continue; \
	  echo "Installing $$client"; \
	  python3 -m venv --clear $(CLIENTS)/$$client/venv && \
	  $(CLIENTS)/$$client/venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tests/clients/$$client/requirements.txt && \
	  cp tests/clients/$$client/requirements.txt $(CLIENTS)/$$client/installed.txt || exit 1; \
	done

# What benches compare with, installed as the clients are.
RIVALS := $(or $(CAMPANILE_RIVALS),$(HOME)/.cache/campanile/rivals)
RIVALS_PINNED := tests/clients/simple-salesforce/requirements.txt benches/rivals/requirements.txt

rivals:
	@command -v sqlite3 >/dev/null || { echo "sqlite3 is needed for benches: on Debian or Ubuntu, apt-get install sqlite3." >&2; exit 1; }
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "Python 3 with venv is needed for benches: on Debian or Ubuntu, apt-get install python3 python3-venv." >&2; exit 1; }
	@cat $(RIVALS_PINNED) | cmp -s - $(RIVALS)/installed.txt || { \
	  echo "Installing what benches compare with"; \
	  python3 -m venv --clear $(RIVALS)/venv && \
	  $(RIVALS)/venv/bin/pip install --quiet --disable-pip-version-check --require-hashes $(RIVALS_PINNED:%=-r %) && \
	  cat $(RIVALS_PINNED) > $(RIVALS)/installed.txt; }

# What a fresh machine lacks is built once, into a folder of its own.
tools:
	@command -v cargo-nextest >/dev/null || $(CARGO) install --locked --root $(TOOLS) cargo-nextest@$(NEXTEST_VERSION)
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked --root $(TOOLS) cargo-deny@$(DENY_VERSION)
