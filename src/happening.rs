//! Events on a screen, as they happen.

use std::time::Duration;

use sightline_schema::{Event, EventType, Topics};
use sightline_service::kafka::{KafkaSettings, Tail};
use sightline_service::shutdown::Shutdown;

use crate::cli::LogFormat;
use crate::exit::{Failure, Outcome};
use crate::happened::line;
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
