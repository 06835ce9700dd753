# A newcomer needs two of these: `make demo` and `make test`. Each installs what is missing and says so.
# Everything that is built or cached lies below target/.

# What Debian 12 must bring beside rustup: a C compiler (aws-lc, libFuzzer), the emulators the tests boot on,
# the parts of the node image, and the TPM tools that garant's answers are compared with.
PACKAGES := git gcc g++ make libc6-dev cpio binutils mtools dosfstools \
            qemu-system-x86 ovmf swtpm swtpm-tools tpm2-tools opensc softhsm2 \
            systemd-boot-efi linux-image-cloud-amd64
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# The node image: its configuration, its kernel command line, and a boot event log of the firmware it will meet.
CONFIG ?= images/node/garantd.toml
CMDLINE ?= images/node/cmdline
FIRMWARE_LOG ?= images/node/ovmf.eventlog
MUSL := x86_64-unknown-linux-musl
say = @printf '==> %s\n'

# C parts of static builds need no second compiler: gcc with musl's flags will do.
export CC_x86_64_unknown_linux_musl = gcc
# Panic messages name source files: the same names whoever builds, wherever the registry lies. A panic aborts, so that
# nothing unwinds; relocations are packed (musl 1.2.4 and later unpack them).
CARGO_HOME ?= $(HOME)/.cargo
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS = --remap-path-prefix=$(CARGO_HOME)=/cargo \
    -Cforce-unwind-tables=no -Clink-arg=-Wl,-z,pack-relative-relocs

.PHONY: help deps build demo quick test soak check arrows fuzz bench image uki territory

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 16

deps: ## install what is missing on Debian 12: packages, Rust toolchain, targets
	@missing=$$(for package in $(PACKAGES); do \
	    dpkg-query --show --showformat='$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || echo $$package; done); \
	if [ -n "$$missing" ]; then \
	    echo "==> installing Debian packages:" $$missing; \
	    $(SUDO) apt-get update --quiet --quiet && \
	    $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends $$missing; \
	fi
	@command -v rustup >/dev/null || { \
	    echo "rustup is not installed: this Makefile changes no home folder by itself; install it from https://rustup.rs, then run make again" >&2; exit 1; }
	@rustup show active-toolchain >/dev/null 2>&1 && \
	    ( for target in $$(sed -n 's/^targets = \[\(.*\)\]/\1/p' rust-toolchain.toml | tr -d '",'); do \
	        rustup target list --installed | grep -qx $$target || exit 1; done ) || { \
	    echo "==> installing the Rust toolchain that rust-toolchain.toml names"; rustup toolchain install --no-self-update; }

build: deps ## build garant, and garantd as a static binary
	$(say) 'building garant and garantd (release)'
	cargo build --locked --release --package garant
	cargo build --locked --release --package garantd --target $(MUSL)

demo: uki ## boot the node image, enrol it, and watch three lies fail (under 15 minutes on a fresh machine)
	$(say) 'building garant and the stage (dev)'
	cargo build --locked --workspace --bins
	$(say) 'the demo'
	target/debug/demo

image: uki ## build the node image target/image/node.efi, its manifest and the PCR values it will have
	$(say) 'predicting what its boot will measure'
	cargo build --locked --workspace --bins
	target/debug/garant policy from-image --uki target/image/node.efi --closed-manifest target/image/manifest.toml \
	    --config $(CONFIG) --firmware-log $(FIRMWARE_LOG) --by 'make image' >target/image/policy.toml
	target/debug/garant policy check target/image/policy.toml

uki: deps
	$(say) 'building garantd for the node image (static, release)'
	cargo build --locked --release --package garantd --target $(MUSL)
	$(say) 'assembling target/image/node.efi'
	images/node/build target/image target/$(MUSL)/release/garantd $(CONFIG) $(CMDLINE)

quick: deps ## on every commit: format, clippy, unit tests (up to 3 minutes)
	$(say) 'checking format and lints'
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --quiet -- --deny warnings
	$(say) 'running unit tests'
	cargo test --locked --workspace --lib --bins

test: uki ## every test, end to end included (up to 20 minutes)
	$(say) 'building tests and programs'
	cargo build --locked --workspace --all-targets
	$(say) 'running all tests'
	cargo test --locked --workspace --no-fail-fast
	$(say) 'fuzzing each parser for 3 s'
	tests/fuzz/run 3

check: deps arrows ## lints, conventions, and builds for bare metal
	$(say) 'checking format and lints'
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --quiet -- --deny warnings
	$(say) 'checking conventions'
	cargo test --locked --quiet --package garant-tests --test conventions
	$(say) 'building hw, attest and api for x86_64-unknown-none'
	cargo build --locked --package garant-hw --target x86_64-unknown-none
	cargo build --locked --package garant-attest --features rust-engine --target x86_64-unknown-none
	cargo build --locked --package garant-api --target x86_64-unknown-none

arrows: deps ## refuse any dependency between our crates that the design does not have
	$(say) 'checking the arrows between crates'
	cargo test --locked --quiet --package garant-tests --test arrows

SECONDS := 60
fuzz: deps ## feed the parsers what nobody would send, SECONDS=60 for each target
	$(say) 'fuzzing each target for $(SECONDS) s'
	tests/fuzz/run $(SECONDS)

soak: test ## what takes longer (up to 60 minutes)
	$(say) 'building the node image from scratch in two folders'
	rm -rf target/soak
	for folder in one another/below; do \
	    mkdir -p target/soak/$$folder && git ls-files -z | xargs -0 cp --parents --target-directory=target/soak/$$folder && \
	    $(MAKE) --no-print-directory --directory=target/soak/$$folder uki || exit 1; done
	cmp target/soak/one/target/image/node.efi target/soak/another/below/target/image/node.efi
	cmp target/soak/one/target/image/manifest.toml target/soak/another/below/target/image/manifest.toml
	$(say) 'killing the server at 500 steps of requests'
	GARANT_ROUNDS=500 cargo test --locked --quiet --package garant-tests --test vm_crash -- --nocapture
	$(say) '64 clients for 60 s'
	GARANT_SECONDS=60 cargo test --locked --quiet --package garant-tests --test vm_clients -- --nocapture
	$(say) 'asking a node all that its OpenAPI document describes'
	tests/schemathesis/run 200
	$(say) 'fuzzing each parser for 60 s'
	tests/fuzz/run 60

bench: build ## write target/bench.tsv: name, figure, unit, reference, ratio
	$(say) 'measuring against the floors (release)'
	GARANTD=$(CURDIR)/target/$(MUSL)/release/garantd cargo bench --locked --package garant-tests --bench bars

# Natural Earth 1:10m as TopoJSON. The pin is of the archive as its registry hands it out.
ATLAS := world-atlas-2.0.2.tgz
ATLAS_SHA256 := 032e7765f2ce00edaeafec23ff22bc3b77e42987c257da944cc585b452c05b97
territory: ## make the built-in map attest/data/territory.bin again, the same bytes (needs npm)
	$(say) 'fetching Natural Earth'
	mkdir -p target/territory
	cd target/territory && { [ -e $(ATLAS) ] || npm pack --silent $(ATLAS:-2.0.2.tgz=@2.0.2); }
	cd target/territory && echo '$(ATLAS_SHA256)  $(ATLAS)' | sha256sum --check --quiet && tar -xzf $(ATLAS)
	$(say) 'making the map'
	cargo run --locked --quiet --package garant-tests --bin territory -- target/territory/package/countries-10m.json \
	    attest/data/territory.toml attest/data/islands.toml attest/data/territory.bin
