# The two commands of the README, and those behind them. `make help` lists them.

.PHONY: help deps demo build test check bench bench-memory bench-registry bench-archive bench-consumers bench-sizing bench-jobs test-clouds soak model fuzz clean test-chart test-chart-live test-images test-cluster dashboards test-dashboards dashboard-pictures test-traces

help: ## What can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 16

deps: ## Install what building and running need
	@scripts/setup.sh

demo: deps ## Detect and track in the sample clip, on a broker made for trying out
	cargo build --release --locked
	@exec target/release/sightline up

build: deps ## The release build
	cargo build --release --locked

test: ## Everything that needs no GPU: format, lints, unit and end-to-end tests
	@scripts/test.sh

test-chart: ## The Helm chart: lint, schemas, refusals, properties of what it renders
	@scripts/test-chart.sh

test-chart-live: deps ## What the chart renders, run on a real Kafka under the rights that it gives
	@scripts/setup.sh chart
	@scripts/kafka.sh
	cargo build --release --locked
	@.deps/chart/bin/python -B tests/chart/live/run.py target/release/sightline

test-images: ## The container images: built from nothing, run as a cluster would, their sizes. As root; takes long
	@scripts/test-images.sh

test-cluster: ## The chart on a real Kubernetes with KEDA and Kafka: scaling, deaths, drains, upgrades. As root; hours the first time
	@scripts/test-cluster.sh

check: deps ## Format and lints alone
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

dashboards: ## Write helm/sightline/dashboards/*.json from their code
	@python3 helm/dashboards/generate.py

test-dashboards: ## Every panel and alert against real programs under load; rules and runbooks
	@scripts/test-dashboards.sh

dashboard-pictures: ## The same, and draw the dashboards into docs/img
	@scripts/test-dashboards.sh --pictures docs/img

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

bench-sizing: deps ## What docs/sizing.py counts with: bytes on Kafka, series of Prometheus, the registry's memory
	@scripts/bench-sizing.sh

bench-jobs: deps ## Recordings worked off by two workers, against the limit of the machine, from disk and from S3
	@scripts/bench-jobs.sh

test-clouds: ## Archives in Google Cloud Storage and Azure, and recorded video from there, on emulators of both
	@scripts/test-clouds.sh

soak: ## The tests that take long
	@scripts/soak.sh

test-traces: ## One frame's trace across all processes, by a real OpenTelemetry collector
	@scripts/setup.sh test
	@scripts/kafka.sh
	@scripts/otel-collector.sh
	cargo build --workspace --locked --examples
	cargo test --workspace --locked --test traces -- --ignored --nocapture

model: ## How pods share cameras, model-checked further than `make test` does: STATES=3000000 of each scene
	@MODEL_STATES=$(or $(STATES),3000000) MODEL_THREADS=2 \
		cargo test --release --locked -p sightline-pipeline --lib assignment::model_tests -- --nocapture --test-threads 1

fuzz: deps ## What is read from outside, fed with noise: FOR=60 seconds each
	@scripts/fuzz.sh $(or $(FOR),60)

clean: ## Remove what was built and fetched
	cargo clean
	rm -rf .deps fuzz/target
