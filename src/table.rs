//! The live table of `up`: one row a camera.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use console::{Term, pad_str, style};
use sightline_pipeline::metrics::{CameraFigures, CameraMetrics, PipelineMetrics};
use sightline_schema::{Camera, CameraState, SkipReason};
use sightline_service::shutdown::Shutdown;

/// On a terminal the table is drawn over; elsewhere a line a camera is enough now and then.
const REDRAW: Duration = Duration::from_secs(1);
const PRINT: Duration = Duration::from_secs(5);

pub(crate) struct Table {
    cameras: Vec<Arc<CameraMetrics>>,
}

impl Table {
    pub(crate) fn new(cameras: &[Camera], metrics: &PipelineMetrics) -> Self {
        Self { cameras: cameras.iter().map(|camera| metrics.camera(&camera.id)).collect() }
    }

    /// Shows the table until the process stops, and once more then.
    pub(crate) fn run(self, shutdown: &Shutdown) {
        let term = Term::stderr();
        let live = std::io::stderr().is_terminal();
        let mut before: Vec<_> = self.cameras.iter().map(|camera| camera.figures()).collect();
        let mut at = Instant::now();
        let mut drawn = 0;
        loop {
            let stopping = shutdown.wait_timeout(if live { REDRAW } else { PRINT });
            let seconds = at.elapsed().as_secs_f64();
            at = Instant::now();
            let now: Vec<_> = self.cameras.iter().map(|camera| camera.figures()).collect();
            let mut lines = vec![style(row(&HEADINGS.map(str::to_owned))).bold().to_string()];
            lines.extend(now.iter().zip(&before).map(|(now, before)| row(&cells(now, before, seconds))));
            if live && drawn > 0 {
                // A terminal that went away is no reason to stop.
                let _ = term.clear_last_lines(drawn);
            }
            // Rows that do not fit would scroll away what is to be drawn over.
            let room = usize::from(term.size().0).saturating_sub(2).max(3);
            let lines = if live && lines.len() > room {
                let more = lines.len() - room;
                let mut shown = lines[..room].to_vec();
                shown.push(format!("… and {more} cameras more"));
                shown
            } else {
                lines
            };
            drawn = lines.len();
            for line in lines {
                let _ = term.write_line(&line);
            }
            before = now;
            if stopping {
                return;
            }
        }
    }
}

const HEADINGS: [&str; 7] = ["CAMERA", "STATE", "FPS IN", "RESULTS/S", "DETECTIONS/S", "LATENCY p50/p99", "SKIPPED"];
const WIDTHS: [usize; 7] = [22, 11, 8, 10, 13, 17, 40];

fn row(cells: &[String; 7]) -> String {
    let padded = cells.iter().zip(WIDTHS).map(|(cell, width)| {
        pad_str(cell, width, console::Alignment::Left, Some("…")).into_owned()
    });
    padded.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

fn cells(now: &CameraFigures, before: &CameraFigures, seconds: f64) -> [String; 7] {
    let rate = |now: u64, before: u64| format!("{:.1}", now.saturating_sub(before) as f64 / seconds.max(0.001));
    let latency = match (now.latency_p50_s, now.latency_p99_s) {
        (Some(p50), Some(p99)) => format!("{:.0} / {:.0} ms", p50 * 1e3, p99 * 1e3),
        _ => "–".to_owned(),
    };
    let skipped: Vec<_> = SkipReason::ALL
        .into_iter()
        .filter(|reason| now.skipped.get(*reason) > 0)
        .map(|reason| format!("{} {reason}", now.skipped.get(reason)))
        .collect();
    let state = now.state.map_or("waiting", CameraState::as_str);
    let state = match now.state {
        Some(CameraState::Running) => style(state).green().to_string(),
        Some(CameraState::Retrying) => style(state).red().to_string(),
        _ => style(state).yellow().to_string(),
    };
    [
        now.camera.clone(),
        state,
        rate(now.arrived, before.arrived),
        rate(now.published, before.published),
        rate(now.detections, before.detections),
        latency,
        if skipped.is_empty() { "none".to_owned() } else { skipped.join(", ") },
    ]
}
