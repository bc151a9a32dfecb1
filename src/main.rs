//! The one command people run. Composition only: what a command does lives in the crates.

mod cli;
mod client;
mod config;
mod consume;
mod exit;
mod happened;
mod kafka;
mod registry;
mod screen;
mod tail;
mod topics;
mod traces;

#[cfg(feature = "pipeline")]
mod bench;
#[cfg(feature = "pipeline")]
mod cameras;
#[cfg(feature = "pipeline")]
mod detect;
#[cfg(feature = "pipeline")]
mod happening;
#[cfg(feature = "pipeline")]
mod kept;
#[cfg(feature = "pipeline")]
mod model;
#[cfg(feature = "pipeline")]
mod pipeline;
#[cfg(feature = "pipeline")]
mod probe;
#[cfg(feature = "pipeline")]
mod serve;
#[cfg(feature = "pipeline")]
mod table;
#[cfg(feature = "pipeline")]
mod track;
#[cfg(feature = "pipeline")]
mod up;
#[cfg(feature = "pipeline")]
mod worker;

use std::process::ExitCode;

use clap::CommandFactory as _;
use cli::{Command, LogFormat};
use exit::{Failure, Outcome};
use sightline_service::shutdown::end_at_once_while_starting;
use sightline_service::telemetry;

fn main() -> ExitCode {
    let cli = match config::parse() {
        Ok(cli) => cli,
        Err(failure) => return end(Err(failure), LogFormat::Text),
    };
    let format = match cli.log {
        LogFormat::Text => telemetry::LogFormat::Text,
        LogFormat::Json => telemetry::LogFormat::Json,
    };
    let started = telemetry::init(format, &cli.log_filter, screen::has_colours(), || screen::LogWriter);
    if let Err(error) = started {
        return end(Err(Failure::usage(error)), LogFormat::Text);
    }
    if cli.log == LogFormat::Json {
        // Whoever reads JSON reads no plain lines between.
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    }
    // The first process of a container.
    if std::process::id() == 1
        && let Err(error) = end_at_once_while_starting()
    {
        return end(Err(Failure::failed(error)), cli.log);
    }
    end(run(cli.command, cli.log), cli.log)
}

#[cfg_attr(not(feature = "pipeline"), expect(unused_variables))]
fn run(command: Command, log: LogFormat) -> Outcome {
    match command {
        #[cfg(feature = "pipeline")]
        Command::Up(args) => up::run(args, log),
        #[cfg(feature = "pipeline")]
        Command::Worker(args) => worker::run(&args),
        #[cfg(feature = "pipeline")]
        Command::Detect(args) => detect::run(&args),
        #[cfg(feature = "pipeline")]
        Command::Pipeline(args) => pipeline::run(args),
        #[cfg(feature = "pipeline")]
        Command::Model(args) => model::run(&args),
        #[cfg(feature = "pipeline")]
        Command::Track(args) => track::run(&args),
        #[cfg(feature = "pipeline")]
        Command::Bench(args) => bench::run(&args),
        #[cfg(feature = "pipeline")]
        Command::Probe(args) => probe::run(&args),
        Command::Registry(args) => registry::run(args),
        Command::Consume(args) => consume::run(args),
        Command::Tail(args) => tail::run(&args),
        Command::Camera(args) => client::camera(args),
        Command::Job(args) => client::job(args),
        Command::Pods(args) => client::pods(&args),
        Command::Completions(args) => {
            clap_complete::generate(
                args.shell,
                &mut cli::Cli::command(),
                "sightline",
                &mut std::io::stdout(),
            );
            Ok(())
        }
        Command::Topics(args) => topics::run(&args),
    }
}

fn end(outcome: Outcome, log: LogFormat) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match log {
                _ if failure.message.is_empty() => {}
                LogFormat::Text => eprintln!("sightline: {}", failure.message),
                LogFormat::Json => tracing::error!(exit_code = failure.code as u8, "{}", failure.message),
            }
            ExitCode::from(failure.code as u8)
        }
    }
}
