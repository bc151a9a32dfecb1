//! `sightline job watch`: bars on a terminal, a line for each change elsewhere.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::http::Client;
use super::{job, output, sse};
use crate::cli::{Shape, WatchJobsArgs};
use crate::exit::{Code, Failure, Outcome};
use crate::screen;

/// Bars that fit below each other; the rest is in the numbers.
const BARS: usize = 24;

pub(super) fn run(client: &Client, shape: Shape, args: &WatchJobsArgs) -> Outcome {
    let mut query = job::query(&args.filter);
    query.extend(args.ids.iter().map(|id| ("job", id.clone())));
    let reader = client.follow("/v1/jobs:watch", &query)?;
    let mut bars = (shape == Shape::Table && screen::is_terminal()).then(Bars::new);
    let mut failed = 0;
    sse::follow(reader, |name, event| {
        match (&mut bars, shape) {
            (Some(bars), _) => bars.show(name, event),
            (None, Shape::Table) => lines(name, event),
            (None, Shape::Json) => println!("{}", json!({"event": name, "data": event})),
            (None, Shape::Yaml) => {
                print!("---\n{}", output::yaml(&json!({"event": name, "data": event}))?);
            }
        }
        let is_over = args.until_over && name == "summary" && left(event) == 0;
        if is_over {
            failed = count(event, "failed");
        }
        Ok(if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if failed > 0 {
        return Err(match shape {
            Shape::Table => {
                Failure::failed(format!("{failed} failed; sightline job list --state failed says why"))
            }
            Shape::Json | Shape::Yaml => Failure::silent(Code::Failed),
        });
    }
    Ok(())
}

fn count(summary: &Value, state: &str) -> u64 {
    summary[state].as_u64().unwrap_or(0)
}

/// Jobs that are still to be done.
fn left(summary: &Value) -> u64 {
    ["queued", "claimed", "running", "waiting"].iter().map(|state| count(summary, state)).sum()
}

fn over(summary: &Value) -> u64 {
    ["done", "failed", "cancelled"].iter().map(|state| count(summary, state)).sum()
}

fn lines(name: &str, event: &Value) {
    match name {
        "job" => {
            let status = &event["status"];
            let error = status["error"]["message"].as_str().map(|error| format!(": {error}"));
            println!(
                "{}  {}  {} {}  {}{}",
                output::text(&status["since"]),
                output::text(&status["job"]),
                output::text(&status["state"]),
                output::progress(event),
                output::text(&status["uri"]),
                error.unwrap_or_default()
            );
        }
        "summary" => println!("{}", sentence(event)),
        "lost" => eprintln!("{} changes were missed; list the jobs", output::text(&event["changes"])),
        _ => {}
    }
}

fn sentence(summary: &Value) -> String {
    let states = ["queued", "running", "waiting", "done", "failed", "cancelled"];
    let counts = states.iter().map(|state| match *state {
        "running" => format!("{} in work", count(summary, "running") + count(summary, "claimed")),
        state => format!("{} {state}", count(summary, state)),
    });
    counts.collect::<Vec<_>>().join(", ")
}

/// A bar for each job in work, and one for all.
struct Bars {
    all: MultiProgress,
    whole: ProgressBar,
    jobs: BTreeMap<String, ProgressBar>,
    /// When it was first looked, and how many were over then: what was since is the speed.
    begun: Option<(Instant, u64)>,
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::new();
        let whole = all.add(ProgressBar::new(0).with_style(style("{bar:30} {pos}/{len} jobs  {msg}")));
        Self { all, whole, jobs: BTreeMap::new(), begun: None }
    }

    fn show(&mut self, name: &str, event: &Value) {
        match name {
            "job" => self.show_job(event),
            "summary" => self.show_summary(event),
            _ => {}
        }
    }

    fn show_summary(&mut self, summary: &Value) {
        let (over, left) = (over(summary), left(summary));
        let (begun, first) = *self.begun.get_or_insert_with(|| (Instant::now(), over));
        self.whole.set_length(over + left);
        self.whole.set_position(over);
        let since = over.saturating_sub(first);
        let time = (since > 0).then(|| begun.elapsed().as_secs_f64() / since as f64 * left as f64);
        let time = time.map(|seconds| format!("; {} left", output::duration(seconds))).unwrap_or_default();
        self.whole.set_message(format!("{}{time}", sentence(summary)));
    }

    fn show_job(&mut self, view: &Value) {
        let status = &view["status"];
        let (id, state) = (output::text(&status["job"]), status["state"].as_str().unwrap_or_default());
        if !matches!(state, "claimed" | "running") {
            if let Some(bar) = self.jobs.remove(&id) {
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
            if let Some(error) = status["error"]["message"].as_str() {
                // Above the bars; a terminal that is gone takes the watch with it.
                let _ = self.all.println(format!("{id} {state}: {error} ({})", output::text(&status["uri"])));
            }
            return;
        }
        if self.jobs.len() >= BARS && !self.jobs.contains_key(&id) {
            return;
        }
        let bar = self.jobs.entry(id).or_insert_with(|| {
            let bar = ProgressBar::new(0).with_style(style("{bar:30} {msg}"));
            self.all.insert_before(&self.whole, bar)
        });
        let progress = &status["progress"];
        let millis = |value: &Value| {
            Duration::from_secs_f64(value.as_f64().unwrap_or(0.0).max(0.0)).as_millis() as u64
        };
        bar.set_length(millis(&progress["of_s"]).max(1));
        bar.set_position(millis(&progress["at_s"]).min(millis(&progress["of_s"]).max(1)));
        bar.set_message(format!(
            "{}  {}",
            output::progress(view),
            output::file(&output::text(&status["uri"]))
        ));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
