//! `sightline bench`: reached ÷ limit, in alternating rounds.

use serde::Serialize;
use sightline_pipeline::bench::{BenchError, BenchOptions, Round, input_size, quantile, round};
use sightline_pipeline::detect::Thresholds;
use sightline_pipeline::source::address::Address;
use sightline_schema::Camera;

use crate::cli::{BenchArgs, OutputFormat};
use crate::exit::{Failure, Outcome};
use crate::model;

/// What `--output json` prints. Times are CPU milliseconds a frame, medians over the rounds.
#[derive(Debug, Serialize)]
struct Report {
    reached_fps: f64,
    limit_fps: f64,
    ratio: f64,
    cores: usize,
    frames: u64,
    decode_cpu_ms: f64,
    session_cpu_ms: f64,
    /// Height, width.
    input_hw: [u32; 2],
    workers: usize,
    rounds: usize,
    device: String,
    total_cpu_ms: f64,
    letterbox_ms: f64,
    in_session_ms: f64,
    head_ms: f64,
    track_ms: f64,
    latency_p50_ms: f64,
    latency_p99_ms: f64,
    rss_mib: f64,
}

pub(crate) fn run(args: &BenchArgs) -> Outcome {
    model::decoding(args.decoding)?;
    let model = model::open(&args.model.model, &args.model.reading)?;
    let camera = Camera::new("bench", &args.video);
    let thresholds = Thresholds::of(&camera, &model.classes(), true).map_err(Failure::usage)?;
    let options = BenchOptions {
        video: Address::parse(&args.video).map_err(Failure::usage)?,
        thresholds,
        workers: model::workers(&args.model.reading),
        cores: model::cores(),
        frames: args.frames,
        decoder_threads: 1,
    };
    let failed = |error: BenchError| match error {
        BenchError::Model(error) => model::refused(error),
        other => Failure::failed(other),
    };
    let input = input_size(&model, &options).map_err(failed)?;
    let mut rounds = Vec::new();
    for index in 1..=args.rounds {
        let measured = round(&model, &options).map_err(failed)?;
        eprintln!(
            "round {index}/{}: decode {:.2} ms, session {:.2} ms, reached {:.1} of {:.1} fps",
            args.rounds,
            measured.decode_cpu_ms,
            measured.session_cpu_ms,
            measured.reached_fps,
            measured.limit_fps(options.cores),
        );
        rounds.push(measured);
    }
    let report = report(&rounds, &options, [input.height, input.width], model.device().to_string());
    match args.output {
        OutputFormat::Json => println!("{}", serde_json::to_string(&report).map_err(Failure::failed)?),
        OutputFormat::Text => print_text(&report),
    }
    Ok(())
}

fn report(rounds: &[Round], options: &BenchOptions, input_hw: [u32; 2], device: String) -> Report {
    let median = |figure: &dyn Fn(&Round) -> f64| {
        let mut figures: Vec<_> = rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        quantile(&figures, 0.5)
    };
    Report {
        reached_fps: median(&|round| round.reached_fps),
        limit_fps: median(&|round| round.limit_fps(options.cores)),
        // Of each round, since both halves of a round saw the same machine.
        ratio: median(&|round| round.reached_fps / round.limit_fps(options.cores)),
        cores: options.cores,
        frames: rounds.iter().map(|round| round.frames).sum(),
        decode_cpu_ms: median(&|round| round.decode_cpu_ms),
        session_cpu_ms: median(&|round| round.session_cpu_ms),
        input_hw,
        workers: options.workers,
        rounds: rounds.len(),
        device,
        total_cpu_ms: median(&|round| round.total_cpu_ms),
        letterbox_ms: median(&|round| round.letterbox_ms),
        in_session_ms: median(&|round| round.in_session_ms),
        head_ms: median(&|round| round.head_ms),
        track_ms: median(&|round| round.track_ms),
        latency_p50_ms: median(&|round| round.latency_p50_ms),
        latency_p99_ms: median(&|round| round.latency_p99_ms),
        rss_mib: rss_mib(),
    }
}

fn print_text(report: &Report) {
    let Report { reached_fps, limit_fps, ratio, cores, workers, .. } = report;
    let [height, width] = report.input_hw;
    println!(
        "reached  {reached_fps:8.1} frames/s on {} ({workers} workers, {cores} cores, input {height}x{width})",
        report.device
    );
    println!(
        "limit    {limit_fps:8.1} frames/s = {cores} / ({:.2} ms decoding + {:.2} ms session)",
        report.decode_cpu_ms, report.session_cpu_ms
    );
    println!("ratio    {ratio:8.3}");
    println!(
        "a frame  {:8.2} ms CPU in all, of it: letterbox {:.2}, session {:.2}, head {:.2}, track {:.2} ms",
        report.total_cpu_ms, report.letterbox_ms, report.in_session_ms, report.head_ms, report.track_ms
    );
    println!(
        "latency  {:8.1} ms p50, {:.1} ms p99, letterbox to tracked",
        report.latency_p50_ms, report.latency_p99_ms
    );
    println!("memory   {:8.1} MiB resident at most", report.rss_mib);
}

/// The most memory this process had at once (`VmHWM`); 0 where it can't be told.
fn rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
