# The commands of the project. `make` alone lists them. A port or a folder may be
# given to any of them: make up NGINX_PORT=8080

.DEFAULT_GOAL := help
# One after the other, also with MAKEFLAGS=-j in the environment.
.NOTPARALLEL:
.PHONY: help up down status logs clean test lint unit integration end-to-end test-nix test-compose bench fmt generate screenshot

##@ Running the system on this machine

up: ## bring everything up, wait until every company's average is on the page
	@scripts/up

down: ## stop everything
	@scripts/down

status: ## show each part's health and each company's newest average
	@scripts/status

logs: ## follow the logs (SERVICE=rabbitmq: of one part)
	@scripts/logs $(SERVICE)

clean: ## remove data, logs and secrets
	@scripts/clean

##@ Working on it

test: ## lint, unit, integration and end-to-end
	@scripts/test

lint: ## formatting and lints
	@scripts/test lint

unit: ## tests that need no servers
	@scripts/test unit

integration: ## tests against a real broker, replica set and browser
	@scripts/test integration

end-to-end: ## the system as a user runs it
	@scripts/test end-to-end

test-nix: ## the flake and its images (STAGE="lock format": only these; FULL=1: as published, and built twice; needs root)
	@tests/nix/run $(STAGE)

test-compose: ## the system in containers, on an engine of its own (STAGE="start security": only these; FULL=1: every fault; needs root)
	@tests/compose/run $(STAGE)

bench: ## how fast the system is, and what it costs (PART=drain: only this; QUICK=1: does it work?; HELP=1: all that can be chosen)
	@scripts/bench $(if $(HELP),--help)

fmt: ## format all code
	@scripts/fmt

generate: ## render the files that come from nix/
	@nix/generate

screenshot: ## take docs/'s picture of the page
	@scripts/install browser
	@npm --prefix vendor-apps/stock-liveview run --silent screenshot

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
