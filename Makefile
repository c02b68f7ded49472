# Velodrome. `make help` lists the commands.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(VELODROME_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/velodrome)
LOCAL := $(CACHE)/bin/velodrome-local

##@ Use it on this machine
.PHONY: up preview down status logs env
up: $(LOCAL) ## bring up every project of config.yaml here, and print the URLs
	@$(LOCAL) up
preview: $(LOCAL) ## show what `make up` would change
	@$(LOCAL) preview
down: $(LOCAL) ## take everything away (KEEP=1 keeps the volumes)
	@$(LOCAL) down $(if $(KEEP),--keep)
status: $(LOCAL) ## the cluster, the pods, the URLs, the accounts
	@$(LOCAL) status
logs: $(LOCAL) ## the last log lines (PROJECT=name PART=name)
	@$(LOCAL) logs $(PROJECT) $(PART)
env: $(LOCAL) ## for eval "$(make -s env)": pulumi and kubectl on the local stack
	@$(LOCAL) env

##@ Work on it
.PHONY: test check e2e schema bench clean help
test: check e2e ## all tests: the quick ones, then those on a real cluster

check: ## the quick tests: no cluster, no root
	go vet ./... && go test ./...
	cd test && go vet ./... && go test ./graph/...
	cd tools/schema && go vet ./... && go test ./...
	cd local && go vet ./... && go test ./...

e2e: $(LOCAL) ## the tests on a real cluster on this machine (Linux, root)
	$(LOCAL) tools
	$(LOCAL) images
	cd local && go test -tags cluster -count=1 -timeout 20m ./cluster/...
	cd test && go tool gotestsum --format standard-verbose -- -tags e2e -count=1 -timeout 60m ./e2e/...

schema: ## make config.schema.json and docs/config.md anew from the Go types
	cd tools/schema && go run .

bench: ## what users wait for: see docs/benchmarks.md
	cd test && go run ./cmd/bench -write

clean: $(LOCAL) ## delete what was built for the local stack
	@$(LOCAL) clean
	rm -rf $(CACHE)/bin artefacts

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The go command itself knows whether there is anything to do.
.PHONY: $(LOCAL)
$(LOCAL):
	@test -x $@ || echo "building velodrome-local, the command behind make (minutes, the first time)" >&2
	@go build -C local -o $@ .
