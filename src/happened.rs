//! Events on a screen, a line each, as they happen.

use std::time::Duration;

use console::style;
use sightline_schema::{Event, EventType, Topics};
use sightline_service::kafka::{KafkaSettings, Tail};
use sightline_service::shutdown::Shutdown;

use crate::cli::LogFormat;
use crate::exit::{Failure, Outcome};
use crate::screen;

const LOOK: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// Shows events until the process stops. Tracks that come and go are left out: they would hide the rest.
pub(crate) fn show(
    settings: &KafkaSettings,
    topics: &Topics,
    log: LogFormat,
    shutdown: &Shutdown,
) -> Outcome {
    let topic = topics.events();
    while !shutdown.is_set() {
        match Tail::open(settings, &[topic.as_str()], PATIENCE) {
            Ok(mut tail) => {
                while !shutdown.is_set() {
                    tail.poll(LOOK, |record| {
                        let event =
                            record.value.and_then(|value| serde_json::from_slice::<Event>(value).ok());
                        event.iter().filter(|event| is_shown(event.kind)).for_each(|event| say(event, log));
                    });
                }
            }
            Err(fault) if crate::kafka::may_pass(&fault) => {
                shutdown.wait_timeout(PAUSE);
            }
            Err(fault) => return Err(Failure::failed(fault)),
        }
    }
    Ok(())
}

const fn is_shown(kind: EventType) -> bool {
    !matches!(kind, EventType::TrackStarted | EventType::TrackEnded)
}

fn say(event: &Event, log: LogFormat) {
    match log {
        LogFormat::Json => tracing::info!(
            event = event.kind.as_str(),
            camera = event.camera,
            label = event.label,
            line = event.line,
            zone = event.zone,
            direction = event.direction.map(|direction| direction.as_str()),
            at = %event.at,
            "event"
        ),
        LogFormat::Text => screen::say(&line(event)),
    }
}

/// Time, camera, what happened.
fn line(event: &Event) -> String {
    let at = event.at.to_string();
    let clock = at.get(11..19).unwrap_or(&at);
    let kind = style(event.kind.as_str()).for_stderr();
    let kind = match event.kind {
        EventType::CameraDown => kind.red(),
        EventType::CameraUp => kind.green(),
        _ => kind.cyan(),
    };
    let mut words = vec![clock.to_owned(), event.camera.clone(), kind.to_string()];
    words.extend([&event.label, &event.line, &event.zone].into_iter().flatten().cloned());
    words.extend(event.direction.map(|direction| direction.as_str().to_owned()));
    words.extend(event.duration_s.map(|seconds| format!("after {seconds:.1} s")));
    words.extend(event.appeared.then(|| "(was there at first sight)".to_owned()));
    words.extend(event.vanished.then(|| "(was there at last sight)".to_owned()));
    words.extend(event.error.map(|code| format!("({code})")));
    words.join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_where_and_what() {
        console::set_colors_enabled_stderr(false);
        let event: Event = serde_json::from_str(
            r#"{"schema":"event/1","id":"gate-3/1/2/3/zone_left/dock","type":"zone_left","camera":"gate-3","epoch":1,"seq":2,
                "generation":4,"at":"2026-11-23T18:40:12.033Z","track_key":"gate-3/1/3","class_id":0,"label":"person",
                "confidence":0.8741,"zone":"dock","duration_s":12.48,"vanished":true}"#,
        )
        .unwrap();
        assert_eq!(
            line(&event),
            "18:40:12 gate-3 zone_left person dock after 12.5 s (was there at last sight)"
        );
    }
}
