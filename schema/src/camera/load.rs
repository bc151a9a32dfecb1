//! How much work a camera is.

use super::{Camera, Sampling};
use crate::VideoFacts;

/// Where a stream has not been seen yet.
const USUAL_FPS: f64 = 25.0;
const USUAL_KEYFRAME_INTERVAL_S: f64 = 2.0;

impl Camera {
    /// Frames a second that it wants detected: as its settings say, and where they don't, as its stream turned out to
    /// be, else as streams usually are. 0 when it is not enabled.
    pub fn wanted_fps(&self, video: Option<&VideoFacts>) -> f64 {
        if !self.enabled {
            return 0.0;
        }
        let positive = |value: f64| (value.is_finite() && value > 0.0).then_some(value);
        let fps = video.and_then(|video| positive(video.fps));
        match self.sampling {
            Sampling::Fps { fps: wanted } => fps.map_or(wanted, |fps| wanted.min(fps)),
            Sampling::EveryFrame => fps.unwrap_or(USUAL_FPS),
            Sampling::Keyframes => {
                let interval = video.and_then(|video| positive(video.keyframe_interval_s?));
                1.0 / interval.unwrap_or(USUAL_KEYFRAME_INTERVAL_S)
            }
            Sampling::Adaptive { max_fps, .. } => max_fps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(fps: f64, keyframe_interval_s: Option<f64>) -> VideoFacts {
        VideoFacts {
            codec: "h264".into(),
            width: 320,
            height: 180,
            fps,
            keyframe_interval_s,
            decoder: "avdec_h264".into(),
            plan: "all".into(),
        }
    }

    #[test]
    fn settings_come_first_then_the_stream_then_what_is_usual() {
        let mut camera = Camera::new("a", "rtsp://10.0.0.5/1");
        assert_eq!(camera.wanted_fps(None), 25.0);
        assert_eq!(camera.wanted_fps(Some(&video(10.0, None))), 10.0);
        assert_eq!(camera.wanted_fps(Some(&video(0.0, None))), 25.0);
        camera.sampling = Sampling::Fps { fps: 5.0 };
        assert_eq!(camera.wanted_fps(Some(&video(30.0, None))), 5.0);
        assert_eq!(camera.wanted_fps(Some(&video(2.0, None))), 2.0);
        camera.sampling = Sampling::Keyframes;
        assert_eq!(camera.wanted_fps(None), 0.5);
        assert_eq!(camera.wanted_fps(Some(&video(30.0, Some(4.0)))), 0.25);
        camera.enabled = false;
        assert_eq!(camera.wanted_fps(None), 0.0);
    }
}
