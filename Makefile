# The two commands of the README, and those behind them. `make help` lists them.

.PHONY: help deps demo build test check bench bench-memory bench-registry bench-archive bench-consumers soak model fuzz clean

help: ## What can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 14

deps: ## Install what building and running need
	@scripts/setup.sh

demo: deps ## Detect and track in the sample clip, on a broker made for trying out
	cargo build --release --locked
	@exec target/release/sightline up

build: deps ## The release build
	cargo build --release --locked

test: ## Everything that needs no GPU: format, lints, unit and end-to-end tests
	@scripts/test.sh

check: deps ## Format and lints alone
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

bench: deps ## Reached against the limit, and the parts alone; prints what docs/PERFORMANCE.md records
	@scripts/bench.sh

bench-memory: deps ## Memory of one more 720p camera by RTSP
	@scripts/bench-memory.sh

bench-registry: deps ## 10,000 registered cameras: import, list, restart, and a pipeline's start among them
	@scripts/bench-registry.sh

bench-archive: deps ## What a record costs that is archived, against reading and parsing alone
	@scripts/bench-archive.sh

bench-consumers: deps ## What events and rows cost by stages, and how long a start takes among 1,000 cameras
	@scripts/bench-consumers.sh

soak: ## The tests that take long
	@scripts/soak.sh

model: ## How pods share cameras, model-checked further than `make test` does: STATES=3000000 of each scene
	@MODEL_STATES=$(or $(STATES),3000000) MODEL_THREADS=2 \
		cargo test --release --locked -p sightline-pipeline --lib assignment::model_tests -- --nocapture --test-threads 1

fuzz: deps ## What is read from outside, fed with noise: FOR=60 seconds each
	@scripts/fuzz.sh $(or $(FOR),60)

clean: ## Remove what was built and fetched
	cargo clean
	rm -rf .deps fuzz/target
