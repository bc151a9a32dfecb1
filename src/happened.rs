//! Events as lines for people.

use console::style;
use sightline_schema::{Event, EventType};

/// The time of day of an RFC 3339 time, UTC.
pub(crate) fn clock(at: &str) -> &str {
    at.get(11..23).unwrap_or(at)
}

/// Time, camera, what happened.
pub(crate) fn line(event: &Event) -> String {
    let at = event.at.to_string();
    let kind = style(event.kind.as_str());
    let kind = match event.kind {
        EventType::CameraDown => kind.red(),
        EventType::CameraUp => kind.green(),
        _ => kind.cyan(),
    };
    let mut words = vec![clock(&at).to_owned(), event.camera.clone(), kind.to_string()];
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
        console::set_colors_enabled(false);
        let event: Event = serde_json::from_str(
            r#"{"schema":"event/1","id":"gate-3/1/2/3/zone_left/dock","type":"zone_left","camera":"gate-3","epoch":1,"seq":2,
                "generation":4,"at":"2026-11-23T18:40:12.033Z","track_key":"gate-3/1/3","class_id":0,"label":"person",
                "confidence":0.8741,"zone":"dock","duration_s":12.48,"vanished":true}"#,
        )
        .unwrap();
        assert_eq!(
            line(&event),
            "18:40:12.033 gate-3 zone_left person dock after 12.5 s (was there at last sight)"
        );
    }
}
