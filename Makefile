# Everything one does with this project. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PREFIX  ?= /usr/local
DESTDIR ?=
ARCH    := $(shell go env GOARCH 2>/dev/null)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X gourd/internal/container.Version=$(VERSION)
GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'
# What the binaries carry inside: the hello image's program, and the container's optional init.
HELLO := internal/image/hello/bin/hello-$(ARCH)
INIT  := internal/monitor/initbin/bin/init-$(ARCH)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: tools ## build gourd, gourd-monitor, gourd-runtime into bin/ (static)
	@mkdir -p $(dir $(HELLO)) $(dir $(INIT)) bin
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o $(HELLO) ./cmd/gourd-hello
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $(INIT) ./cmd/gourd-init
	$(GOBUILD) -o bin/ ./cmd/gourd ./cmd/gourd-monitor ./cmd/gourd-runtime

.PHONY: tools
tools:
	@command -v go >/dev/null || { echo 'gourd is built with Go 1.26 or newer, which is missing here: https://go.dev/doc/install' >&2; exit 1; }

.PHONY: try
try: build ## the primer's walk through a container, on this machine, each command before its output
	@test/try

.PHONY: test
test: build ## all tests that belong in CI (needs root; installs the Debian packages they use)
	@test/setup
	@go run ./test/suite

.PHONY: test-long
test-long: build ## the long tier: many rounds, kill -9 at random, load (an hour and more)
	@test/setup
	@GOURD_TEST_LONG=1 go run ./test/suite -timeout 120m

.PHONY: test-vm
test-vm: build ## the chosen subset on cgroup v2 with systemd, in a virtual machine (emulated, slow)
	@test/vm/suite

.PHONY: bench
bench: build ## interleaved medians against crun, runc, bwrap, docker, podman, where installed
	@go run ./test/bench

.PHONY: fuzz
fuzz: ## fuzz every parser of untrusted data, FUZZTIME each (default 20s)
	@test/fuzz $(or $(FUZZTIME),20s)

.PHONY: lint
lint: ## formatting, vet and staticcheck
	@test/lint

.PHONY: image
image: build ## make a real Debian image with mmdebstrap and load it as debian:bookworm
	@test/debian-image

.PHONY: install
install: build ## install the binaries, completions and man pages below PREFIX (default /usr/local)
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 bin/gourd bin/gourd-runtime bin/gourd-monitor $(DESTDIR)$(PREFIX)/bin/
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d $(DESTDIR)$(PREFIX)/share/man/man1
	bin/gourd completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/gourd
	bin/gourd completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_gourd
	bin/gourd completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/gourd.fish
	go run ./cmd/gourd-man $(DESTDIR)$(PREFIX)/share/man/man1

.PHONY: clean
clean: ## remove what the build made
	rm -rf bin internal/image/hello/bin/hello-* internal/monitor/initbin/bin/init-*
