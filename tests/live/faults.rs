//! What goes wrong with cameras, one scenario each: how it begins well, what is done to it, and what is said of it.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::camera::Camera;
use crate::certificates::Authority;
use crate::lossy::{Loss, LossyRelay};
use crate::relay::Relay;
use crate::scene::Scene;
use crate::viewer::Viewer;

/// Results a second of each camera.
pub(crate) const FPS: f64 = 1.0;

/// A camera and its story.
pub(crate) struct Scenario {
    pub(crate) id: &'static str,
    /// Its `source` in YAML.
    pub(crate) source: String,
    /// It runs before and after its fault.
    pub(crate) recovers: bool,
    pub(crate) story: Box<dyn FnOnce(&Scene) -> Kept + Send>,
}

/// What has to stay for the camera to go on running.
pub(crate) type Kept = Box<dyn Any + Send>;

/// The clips of all scenarios: small, so that many cameras fit a machine.
pub(crate) struct Clips {
    pub(crate) small: PathBuf,
    pub(crate) smaller: PathBuf,
    /// As the smaller one, at 10 frames a second.
    pub(crate) slower: PathBuf,
    pub(crate) h265: PathBuf,
    pub(crate) b_frames: PathBuf,
}

/// A busy machine may take so long for what takes a moment.
const SLACK: Duration = Duration::from_secs(15);
/// Until a camera is tried again after a few failures, and runs.
const BACK: Duration = Duration::from_secs(60);
/// The same where only a person helps: the first wait is 30 to 90 s.
const BACK_SLOWLY: Duration = Duration::from_secs(120);

fn scenario<K: Any + Send>(
    id: &'static str,
    uri: &str,
    story: impl FnOnce(&Scene) -> K + Send + 'static,
) -> Scenario {
    let story = Box::new(|scene: &Scene| Box::new(story(scene)) as Kept);
    Scenario { id, source: format!("{{uri: \"{uri}\"}}"), recovers: true, story }
}

fn serve(clip: &Path, options: &[&str]) -> Camera {
    Camera::serve(clip, &[&["--loops", "forever", "--speed", "0.4"], options].concat())
}

/// All faults of a camera; `authority` signs certificates.
pub(crate) fn all(clips: &Clips, authority: &Authority) -> Vec<Scenario> {
    vec![
        refuses(clips),
        silent(clips),
        wrong_password(clips),
        not_found(clips),
        wrong_certificate(clips, authority),
        dies(clips),
        restarts(clips),
        garbage(clips),
        resets(clips),
        half_open(clips),
        stalls(clips),
        nothing_from_the_start(clips),
        freezes(clips),
        black(clips),
        refuses_a_second_session(clips),
        changes(clips),
        lossy(clips, "loses", Loss { seed: 7, lost: 0.05, ..Loss::default() }),
        lossy(clips, "reorders", Loss { seed: 8, late: 0.05, by: 3, twice: 0.02, ..Loss::default() }),
        clock(clips, "no-reports", &["--no-sender-reports"], "arrival", None),
        clock(
            clips,
            "in-1970",
            &["--sender-report-offset", "1970"],
            "arrival",
            Some(i64::MIN..-1_000_000_000),
        ),
        clock(
            clips,
            "an-hour-late",
            &["--sender-report-offset", "-3600"],
            "arrival",
            Some(-3_601_000..-3_599_000),
        ),
        clock(clips, "drifts", &["--drift", "200"], "ntp", Some(-1_000..1_000)),
        clock(clips, "no-frame-rate", &["--no-frame-rate"], "ntp", Some(-1_000..1_000)),
        steps(clips),
        b_frames(clips),
    ]
}

fn refuses(clips: &Clips) -> Scenario {
    let (clip, camera) = (clips.small.clone(), serve(&clips.small, &[]));
    scenario("refuses", &camera.uri(""), move |scene| {
        let (port, now) = (camera.port().to_string(), scene.now("refuses"));
        camera.kill();
        scene.fails("refuses", "unreachable", SLACK, now);
        let camera = serve(&clip, &["--port", &port]);
        scene.runs("refuses", BACK, now);
        camera
    })
}

fn silent(clips: &Clips) -> Scenario {
    let mut camera = serve(&clips.small, &[]);
    scenario("silent", &camera.uri(""), move |scene| {
        let now = scene.now("silent");
        camera.tell("fault silent");
        camera.tell("reset");
        scene.fails("silent", "timeout", Duration::from_secs(20) + SLACK, now);
        camera.tell("fault none");
        camera.tell("reset");
        scene.runs("silent", BACK, scene.now("silent"));
        camera
    })
}

fn wrong_password(clips: &Clips) -> Scenario {
    let mut camera = serve(&clips.small, &["--user", "ann", "--password", "right"]);
    scenario("password", &camera.uri("ann:right"), move |scene| {
        let now = scene.now("password");
        camera.tell("password another");
        camera.tell("reset");
        let status = scene.fails("password", "auth_failed", SLACK, now);
        assert!(!status.to_string().contains("right"), "{status}");
        camera.tell("password right");
        scene.runs("password", BACK_SLOWLY, now + 1);
        camera
    })
}

fn not_found(clips: &Clips) -> Scenario {
    let mut camera = serve(&clips.small, &[]);
    scenario("elsewhere", &camera.uri(""), move |scene| {
        let now = scene.now("elsewhere");
        camera.tell("path /garden");
        camera.tell("reset");
        scene.fails("elsewhere", "not_found", SLACK, now);
        camera.tell("path /cam");
        scene.runs("elsewhere", BACK_SLOWLY, now + 1);
        camera
    })
}

fn wrong_certificate(clips: &Clips, authority: &Authority) -> Scenario {
    let options = authority.sign("DNS:camera.example").options();
    let camera = serve(&clips.small, &options.each_ref().map(String::as_str));
    let mut scenario = scenario("certificate", &camera.uri(""), move |scene| {
        let status = scene.fails("certificate", "tls_failed", SLACK, 0);
        let said = status["error"]["message"].as_str().unwrap();
        assert!(said.contains("is signed by nobody this machine trusts and is for another name"), "{said}");
        camera
    });
    scenario.recovers = false;
    scenario
}

fn dies(clips: &Clips) -> Scenario {
    let (clip, mut camera) = (clips.small.clone(), serve(&clips.small, &[]));
    scenario("dies", &camera.uri(""), move |scene| {
        let (port, now) = (camera.port().to_string(), scene.now("dies"));
        camera.tell("fault die");
        camera.wait_for_end();
        scene.fails("dies", "unreachable", SLACK, now);
        let camera = serve(&clip, &["--port", &port]);
        scene.runs("dies", BACK, now + 1);
        camera
    })
}

fn restarts(clips: &Clips) -> Scenario {
    let (clip, mut camera) = (clips.small.clone(), serve(&clips.small, &[]));
    scenario("restarts", &camera.uri(""), move |scene| {
        let port = camera.port().to_string();
        for _ in 0..20 {
            std::thread::sleep(Duration::from_secs(3));
            camera.kill();
            camera = serve(&clip, &["--port", &port]);
        }
        scene.runs("restarts", Duration::from_secs(90), scene.now("restarts"));
        camera
    })
}

fn garbage(clips: &Clips) -> Scenario {
    let mut camera = serve(&clips.small, &[]);
    scenario("garbage", &camera.uri(""), move |scene| {
        let now = scene.now("garbage");
        camera.tell("fault garbage");
        scene.fails("garbage", "corrupt", Duration::from_secs(20) + SLACK, now);
        camera.tell("fault none");
        scene.runs("garbage", BACK, scene.now("garbage"));
        camera
    })
}

fn resets(clips: &Clips) -> Scenario {
    let mut camera = serve(&clips.small, &[]);
    scenario("resets", &camera.uri(""), move |scene| {
        for line in ["reset", "hang-up"] {
            let now = scene.now("resets");
            camera.tell(line);
            scene.fails("resets", "unreachable", SLACK, now);
            scene.runs("resets", BACK, now + 1);
        }
        camera
    })
}

fn half_open(clips: &Clips) -> Scenario {
    let camera = serve(&clips.small, &[]);
    let relay = Relay::to(camera.port());
    scenario("half-open", &relay.uri(&camera.uri("")), move |scene| {
        let now = scene.now("half-open");
        relay.stall();
        scene.fails("half-open", "stalled", Duration::from_secs(10) + SLACK, now);
        relay.resume();
        scene.runs("half-open", BACK, scene.now("half-open"));
        (camera, relay)
    })
}

fn stalls(clips: &Clips) -> Scenario {
    let mut camera = serve(&clips.small, &[]);
    scenario("stalls", &camera.uri(""), move |scene| {
        let now = scene.now("stalls");
        camera.tell("fault stall");
        scene.fails("stalls", "stalled", Duration::from_secs(10) + SLACK, now);
        camera.tell("fault none");
        scene.runs("stalls", BACK, now + 1);
        camera
    })
}

/// Nothing for a minute.
fn nothing_from_the_start(clips: &Clips) -> Scenario {
    let mut camera = serve(&clips.small, &[]);
    scenario("nothing", &camera.uri(""), move |scene| {
        let now = scene.now("nothing");
        camera.tell("fault stall");
        camera.tell("reset");
        scene.fails("nothing", "timeout", Duration::from_secs(20) + SLACK, now);
        std::thread::sleep(Duration::from_secs(45));
        camera.tell("fault none");
        scene.runs("nothing", Duration::from_secs(90), scene.now("nothing"));
        camera
    })
}

fn freezes(clips: &Clips) -> Scenario {
    let mut camera = serve(&clips.small, &[]);
    scenario("freezes", &camera.uri(""), move |scene| {
        let now = scene.now("freezes");
        camera.tell("fault freeze");
        scene.fails("freezes", "frozen", Duration::from_secs(62) + SLACK, now);
        camera.tell("fault none");
        scene.runs("freezes", BACK, scene.now("freezes"));
        camera
    })
}

fn black(clips: &Clips) -> Scenario {
    let mut camera = serve(&clips.small, &[]);
    scenario("black", &camera.uri(""), move |scene| {
        let now = scene.now("black");
        camera.tell("fault black");
        let black = |status: &Value| status["state"] == "running" && status["error"]["code"] == "black";
        scene.wait("black", "black and running", Duration::from_secs(12) + SLACK, now, black);
        let now = scene.now("black");
        camera.tell("fault none");
        scene.runs("black", SLACK, now);
        let retried = scene.statuses.find("black", 0, |status| status["state"] == "retrying");
        assert_eq!(retried, None, "a black picture is still watched");
        camera
    })
}

fn refuses_a_second_session(clips: &Clips) -> Scenario {
    let mut camera = serve(&clips.small, &[]);
    let relay = Relay::to(camera.port());
    scenario("one-session", &relay.uri(&camera.uri("")), move |scene| {
        let viewer = Viewer::play(camera.port());
        let now = scene.now("one-session");
        camera.tell("fault refuse-sessions");
        relay.reset();
        scene.fails("one-session", "rejected", SLACK + SLACK, now);
        drop(viewer);
        scene.runs("one-session", BACK, scene.now("one-session"));
        (camera, relay)
    })
}

/// Another size in the same session, another rate, then another codec in the next.
fn changes(clips: &Clips) -> Scenario {
    let more = [&clips.smaller, &clips.slower, &clips.h265].map(|clip| clip.to_string_lossy().into_owned());
    let mut camera = serve(&clips.small, &["--then", &more[0], "--then", &more[1], "--then", &more[2]]);
    scenario("changes", &camera.uri(""), move |scene| {
        let heard = |from: usize, width: u64| {
            scene.hears("changes", &format!("a frame {width} wide"), from, |record| {
                record["schema"] == "frame/1" && record["width"] == width
            })
        };
        heard(0, 640);
        let from = scene.detections.of("changes").len();
        camera.tell("next");
        heard(from, 320);
        let of_rate = |fps: f64| {
            move |status: &Value| {
                status["state"] == "running"
                    && status["video"]["width"] == 320
                    && status["video"]["fps"].as_f64() == Some(fps)
            }
        };
        scene.wait("changes", "320 wide at 25 frames a second", SLACK, 0, of_rate(25.0));
        camera.tell("next");
        scene.wait("changes", "10 frames a second", SLACK, 0, of_rate(10.0));
        let retried = scene.statuses.find("changes", 0, |status| status["state"] == "retrying");
        assert_eq!(retried, None, "another size or rate needs no reconnect");
        let from = scene.detections.of("changes").len();
        camera.tell("next");
        heard(from, 480);
        let h265 = |status: &Value| status["state"] == "running" && status["video"]["codec"] == "h265";
        scene.wait("changes", "running with H.265", BACK, 0, h265);
        camera
    })
}

fn lossy(clips: &Clips, id: &'static str, loss: Loss) -> Scenario {
    let camera = serve(&clips.small, &["--transport", "udp"]);
    let relay = LossyRelay::to(camera.port(), Loss::default());
    let mut scenario = scenario(id, &relay.uri(&camera.uri("")), move |scene| {
        relay.set(loss);
        std::thread::sleep(Duration::from_secs(40));
        let corrupt = |record: &Value| record["skipped"]["corrupt"].as_u64().is_some_and(|n| n > 0);
        if loss.lost > 0.0 {
            scene.hears(id, "what was lost", 0, corrupt);
        } else {
            assert_eq!(scene.detections.find(id, 0, corrupt), None, "nothing was lost");
        }
        let retried = scene.statuses.find(id, 0, |status| status["state"] == "retrying");
        assert_eq!(retried, None, "{id}: lost packets need no reconnect");
        relay.set(Loss::default());
        (camera, relay)
    });
    let uri = scenario.source.trim_end_matches('}').to_owned();
    scenario.source = format!("{uri}, transport: udp}}");
    scenario
}

/// A camera whose clock is as it is from the start; nothing happens to it.
fn clock(
    clips: &Clips,
    id: &'static str,
    options: &[&str],
    clock: &'static str,
    offset_ms: Option<std::ops::Range<i64>>,
) -> Scenario {
    let camera = serve(&clips.small, &[&["--report-interval", "1"], options].concat());
    scenario(id, &camera.uri(""), move |scene| {
        let told = |status: &Value| {
            let offset = status["clock_offset_ms"].as_i64();
            let fits = match (&offset_ms, offset) {
                (Some(range), Some(offset)) => range.contains(&offset),
                (None, None) => true,
                _ => false,
            };
            status["state"] == "running" && status["clock"] == clock && fits
        };
        scene.wait(id, &format!("running by {clock}, {offset_ms:?}"), Duration::from_secs(45), 0, told);
        std::thread::sleep(Duration::from_secs(30));
        let started = scene.detections.of(id).iter().filter(|record| record["state"] == "started").count();
        assert_eq!(started, 1, "{id}: nothing happened to it");
        camera
    })
}

fn steps(clips: &Clips) -> Scenario {
    let mut camera = serve(&clips.small, &["--report-interval", "1"]);
    scenario("steps", &camera.uri(""), move |scene| {
        let by = |clock: &'static str| move |status: &Value| status["clock"] == clock;
        scene.wait("steps", "by the camera's clock", SLACK, 0, by("ntp"));
        let from = scene.detections.of("steps").len();
        camera.tell("clock +3600");
        let ahead = |status: &Value| {
            status["clock"] == "arrival"
                && status["clock_offset_ms"].as_i64().is_some_and(|ms| ms > 3_590_000)
        };
        let now = scene.now("steps");
        scene.wait("steps", "not believed", SLACK, now, ahead);
        scene.hears("steps", "a new beginning", from, |record| record["state"] == "started");
        let now = scene.now("steps");
        camera.tell("clock -3600");
        scene.wait("steps", "believed again", SLACK, now, by("ntp"));
        // Small enough to be believed.
        let now = scene.now("steps");
        camera.tell("clock -4");
        let behind = |status: &Value| {
            status["clock"] == "ntp" && status["clock_offset_ms"].as_i64().is_some_and(|ms| ms < -3_000)
        };
        scene.wait("steps", "4 s behind", Duration::from_secs(30) + SLACK, now, behind);
        camera
    })
}

fn b_frames(clips: &Clips) -> Scenario {
    let camera = Camera::serve(&clips.b_frames, &["--loops", "forever"]);
    scenario("b-frames", &camera.uri(""), move |scene| {
        std::thread::sleep(Duration::from_secs(20));
        let corrupt = |record: &Value| record["skipped"]["corrupt"].is_u64();
        assert_eq!(scene.detections.find("b-frames", 0, corrupt), None);
        camera
    })
}
