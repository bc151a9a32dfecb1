//! The live table of `up`: one row a camera.

use std::sync::Arc;
use std::time::{Duration, Instant};

use console::{Alignment, measure_text_width, pad_str, style};
use sightline_pipeline::metrics::{CameraFigures, CameraMetrics, PipelineMetrics};
use sightline_schema::{Camera, CameraState, SkipReason};
use sightline_service::shutdown::Shutdown;

use crate::cli::LogFormat;
use crate::screen;

/// On a terminal the table is drawn over; elsewhere it is written now and then.
const REDRAW: Duration = Duration::from_secs(1);
const WRITE: Duration = Duration::from_secs(10);

/// What one camera did between two looks at it.
struct Row {
    camera: String,
    state: Option<CameraState>,
    fps_in: f64,
    results: f64,
    detections: f64,
    /// p50 and p99, milliseconds; recorded video has none.
    latency_ms: Option<(f64, f64)>,
    skipped: String,
}

pub(crate) struct Table {
    /// Those that the process was given: shown before they begin, too.
    given: Vec<Arc<CameraMetrics>>,
    metrics: PipelineMetrics,
    format: LogFormat,
}

impl Table {
    pub(crate) fn new(cameras: &[Camera], metrics: &PipelineMetrics, format: LogFormat) -> Self {
        let given = cameras.iter().map(|camera| metrics.camera(&camera.id)).collect();
        Self { given, metrics: metrics.clone(), format }
    }

    /// Shows the table until the process stops, and once more then.
    pub(crate) fn run(self, shutdown: &Shutdown) {
        let live = self.format == LogFormat::Text && screen::is_terminal();
        let mut before = self.figures();
        let mut at = Instant::now();
        let mut earlier = None;
        loop {
            let stopping = shutdown.wait_timeout(if live { REDRAW } else { WRITE });
            // A stop comes when it comes: rates over a moment would say nothing.
            if at.elapsed() < REDRAW / 2
                && let Some(looked) = earlier.take()
            {
                (at, before) = looked;
            }
            let seconds = at.elapsed().as_secs_f64().max(0.001);
            let now = self.figures();
            let earlier_of = |now: &CameraFigures| before.iter().find(|before| before.camera == now.camera);
            // One that has just come has no rates yet.
            let rows: Vec<_> =
                now.iter().map(|now| Row::of(now, earlier_of(now).unwrap_or(now), seconds)).collect();
            match self.format {
                LogFormat::Json => rows.iter().for_each(Row::log),
                LogFormat::Text if live => screen::draw(&text(&rows)),
                LogFormat::Text => text(&rows).iter().for_each(|line| eprintln!("{line}")),
            }
            earlier = Some((std::mem::replace(&mut at, Instant::now()), std::mem::replace(&mut before, now)));
            if stopping {
                screen::leave();
                return;
            }
        }
    }

    /// First those that were given, as they were given; then those that were registered.
    fn figures(&self) -> Vec<CameraFigures> {
        let given: Vec<_> = self.given.iter().map(|camera| camera.figures()).collect();
        let is_given = |figures: &CameraFigures| given.iter().any(|given| given.camera == figures.camera);
        let registered: Vec<_> =
            self.metrics.figures().into_iter().filter(|camera| !is_given(camera)).collect();
        given.into_iter().chain(registered).collect()
    }
}

impl Row {
    fn of(now: &CameraFigures, before: &CameraFigures, seconds: f64) -> Self {
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let skipped: Vec<_> = SkipReason::ALL
            .into_iter()
            .filter(|reason| now.skipped.get(*reason) > 0)
            .map(|reason| format!("{} {reason}", now.skipped.get(reason)))
            .collect();
        let ms = |seconds: f32| f64::from(seconds) * 1e3;
        Self {
            camera: now.camera.clone(),
            state: now.state,
            fps_in: rate(now.arrived, before.arrived),
            results: rate(now.published, before.published),
            detections: rate(now.detections, before.detections),
            latency_ms: now.latency_p50_s.zip(now.latency_p99_s).map(|(p50, p99)| (ms(p50), ms(p99))),
            skipped: skipped.join(", "),
        }
    }

    fn state(&self) -> &'static str {
        self.state.map_or("waiting", CameraState::as_str)
    }

    fn log(&self) {
        let tenth = |value: f64| (value * 10.0).round() / 10.0;
        let (p50, p99) = self.latency_ms.unzip();
        tracing::info!(
            camera = self.camera,
            state = self.state(),
            fps_in = tenth(self.fps_in),
            results_per_s = tenth(self.results),
            detections_per_s = tenth(self.detections),
            latency_p50_ms = p50.map(f64::round),
            latency_p99_ms = p99.map(f64::round),
            skipped = self.skipped,
            "camera"
        );
    }

    fn cells(&self) -> [String; 7] {
        let state = style(self.state()).for_stderr();
        let state = match self.state {
            Some(CameraState::Running) => state.green(),
            Some(CameraState::Retrying) => state.red(),
            Some(CameraState::Ended | CameraState::Stopped | CameraState::Disabled) => state.dim(),
            _ => state.yellow(),
        };
        [
            self.camera.clone(),
            state.to_string(),
            format!("{:.1}", self.fps_in),
            format!("{:.1}", self.results),
            format!("{:.1}", self.detections),
            self.latency_ms.map_or("–".to_owned(), |(p50, p99)| format!("{p50:.0} / {p99:.0} ms")),
            if self.skipped.is_empty() { "none".to_owned() } else { self.skipped.clone() },
        ]
    }
}

const HEADINGS: [(&str, Alignment); 7] = [
    ("CAMERA", Alignment::Left),
    ("STATE", Alignment::Left),
    ("FPS IN", Alignment::Right),
    ("RESULTS/S", Alignment::Right),
    ("DETECTIONS/S", Alignment::Right),
    ("LATENCY p50/p99", Alignment::Right),
    ("SKIPPED", Alignment::Left),
];
/// Longer names of cameras are cut.
const WIDEST: usize = 32;

/// Heading and rows, each column as wide as its widest cell.
fn text(rows: &[Row]) -> Vec<String> {
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    let widths: Vec<_> = (0..HEADINGS.len())
        .map(|i| {
            let widest = cells.iter().map(|row| measure_text_width(&row[i])).max().unwrap_or(0);
            let heading = HEADINGS[i].0.len();
            if i == 0 { widest.clamp(heading, WIDEST) } else { widest.max(heading) }
        })
        .collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).zip(HEADINGS);
        let padded =
            padded.map(|((cell, width), (_, side))| pad_str(cell, *width, side, Some("…")).into_owned());
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let heading = line(&HEADINGS.map(|(heading, _)| heading.to_owned()));
    let mut lines = vec![style(heading).for_stderr().bold().to_string()];
    lines.extend(cells.iter().map(|row| line(row)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_is_in_them() {
        console::set_colors_enabled_stderr(false);
        let row = |camera: &str, state, fps_in, latency_ms, skipped: &str| Row {
            camera: camera.to_owned(),
            state,
            fps_in,
            results: 5.0,
            detections: 12.34,
            latency_ms,
            skipped: skipped.to_owned(),
        };
        let lines = text(&[
            row("gate", Some(CameraState::Running), 25.0, Some((41.3, 1180.2)), "1200 sampling, 3 overload"),
            row(&"long-".repeat(10), Some(CameraState::Connecting), 0.0, None, ""),
            row("yard", None, 1000.25, Some((4.0, 9.0)), "7 unpublished"),
        ]);
        assert_eq!(
            lines.join("\n"),
            "\
CAMERA                            STATE       FPS IN  RESULTS/S  DETECTIONS/S  LATENCY p50/p99  SKIPPED
gate                              running       25.0        5.0          12.3     41 / 1180 ms  1200 sampling, 3 overload
long-long-long-long-long-long-l…  connecting     0.0        5.0          12.3                –  none
yard                              waiting     1000.2        5.0          12.3       4 / 9 ms  7 unpublished"
                .replace("       4 / 9 ms", "         4 / 9 ms")
        );
    }
}
