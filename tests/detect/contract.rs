//! Flags, exit codes, where results go, signals.

use std::io::Read as _;
use std::process::Stdio;
use std::sync::LazyLock;

use super::*;
use sightline::{Sightline, command};

fn clip() -> String {
    data("clips/udacity_solidWhiteRight.mp4").to_string_lossy().into_owned()
}

/// Five seconds of the motorway, tracked, shared by those who only look.
static TRACKED: LazyLock<Vec<Frame>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("short.mp4");
    media::Make { frames: 60, size: (960, 540), encoder: media::H264, mux: "mp4mux", audio: false }
        .from(Path::new(&clip()), &short);
    let out = folder.path().join("out.jsonl");
    let output = sightline::output(&["detect", text(&short), "-m", &fast_model(), "--out", text(&out)]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(said.starts_with("short.mp4: ") && said.contains("60 frames 960x540 h264"), "{said}");
    for word in [" fps", "decode ", "detect ", "track ", "ms a frame"] {
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(names_in(folder.path()), ["out.jsonl", "short.mp4"], "nothing aside is left");
    frames::read(&out)
});

#[test]
fn a_video_is_tracked_and_nothing_weak_is_shown() {
    let lines = &*TRACKED;
    assert_eq!(frames::check_order(lines), 60);
    let all: Vec<_> = lines.iter().flat_map(|line| &line.detections).collect();
    assert!(all.iter().all(|detection| detection.confidence >= 0.25));
    let tracks: Vec<_> = all.iter().filter_map(|detection| detection.track.as_ref()).collect();
    assert!(tracks.iter().any(|track| track.state == "confirmed"), "{} detections", all.len());
    assert!(lines.iter().any(|line| line.detections.is_empty()) || all.len() >= lines.len());
}

#[test]
fn standard_output_holds_results_and_nothing_else() {
    let output = detect(&[&picture("bus"), "test://black?frames=3&size=320x240"], &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let lines = frames::parse(&text);
    assert_eq!(lines.len(), 4, "{text}");
    assert!(text.lines().nth(1).unwrap().ends_with("\"detections\":[]}"), "an empty frame says []");
    assert!(stderr(&output).contains("bus.jpg: 4 persons, 1 bus"), "{}", stderr(&output));
    let cameras: Vec<_> = lines.iter().map(|line| (line.epoch, line.camera.as_str())).collect();
    assert_eq!(cameras[0], (0, picture("bus").as_str()));
    assert_eq!(cameras[1], (1, "test://black?frames=3&size=320x240"));
}

#[test]
fn thresholds_and_classes_do_what_they_say() {
    let bus = picture("bus");
    let count = |more: &[&str]| {
        let lines = lines(&[&bus], more);
        (lines[0].detections.len(), labels(&lines[0]).join(" "))
    };
    assert_eq!(count(&["--classes", "person"]).1, "person person person person");
    assert_eq!(count(&["--classes", "bus,dog"]).1, "bus");
    assert_eq!(count(&["--confidence", "0.999"]).0, 0);
    let weak = count(&["--confidence", "0.01"]).0;
    assert!(weak > 5, "{weak}");
    // Two people half behind each other survive only where boxes may overlap.
    let (strict, loose) = (count(&["--iou", "0.0"]).0, count(&["--iou", "1.0"]).0);
    assert!(strict <= 5 && loose > 20, "{strict} {loose}");
    let agnostic = count(&["--iou", "0.0", "--agnostic-nms"]).0;
    assert!(agnostic < strict, "the people stand before the bus: {agnostic} {strict}");

    let unknown = detect(&[&bus], &["--classes", "person,catt"]);
    let said = stderr(&unknown);
    assert_eq!(unknown.status.code(), Some(2), "{said}");
    assert!(said.contains("no class catt") && said.contains("person, bicycle, car"), "{said}");
    for wrong in
        [["--confidence", "1.5"], ["--iou", "x"], ["--fps", "0"], ["--head", "yolo"], ["--imgsz", "0"]]
    {
        let output = detect(&[&bus], &wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", stderr(&output));
    }
}

#[test]
fn classes_are_filtered_before_the_tracker() {
    let model = fast_model();
    let run = |classes: &str| {
        let clip = clip();
        let args = ["detect", &clip, "-m", &model, "--out", "-", "--classes", classes, "--fps", "5"];
        frames::parse(&stdout(&sightline::output(&args)))
    };
    // With boats alone no track number is spent on cars.
    let cars = run("car");
    let ids: Vec<_> = cars
        .iter()
        .flat_map(|line| &line.detections)
        .filter_map(|d| d.track.as_ref())
        .map(|t| t.id)
        .collect();
    assert!(ids.contains(&1), "{ids:?}");
    assert!(cars.iter().flat_map(|line| &line.detections).all(|detection| detection.label == "car"));
}

#[test]
fn no_track_gives_no_tracks() {
    let lines = lines(&["test://ball?frames=3&size=320x240"], &["--no-track"]);
    assert_eq!(frames::check_order(&lines), 3);
    assert!(lines.iter().flat_map(|line| &line.detections).all(|detection| detection.track.is_none()));
}

#[test]
fn one_bad_input_leaves_the_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    let (bus, zidane) = (picture("bus"), picture("zidane"));
    let output = sightline::output(&[
        "detect",
        &bus,
        "/no/such/clip.mp4",
        &zidane,
        "ftp://x/y",
        "-m",
        &fast_model(),
        "--out",
        text(&out),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("/no/such/clip.mp4: there is no such file; check the path"), "{said}");
    assert!(said.contains("the scheme ftp:// is not known"), "{said}");
    let lines = frames::read(&out);
    assert_eq!(lines.iter().map(|line| line.epoch).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(names_in(folder.path()), ["out.jsonl"]);
}

#[test]
fn credentials_are_in_no_result() {
    let uri = "rtsp://ann:s3cret@127.0.0.1:9/stream";
    let output = detect(&[uri], &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("rtsp://127.0.0.1:9/stream") && !said.contains("s3cret"), "{said}");
}

#[test]
fn a_result_that_cannot_be_written_is_exit_5_and_leaves_nothing() {
    let bus = picture("bus");
    let model = fast_model();
    let run = |out: &str| sightline::output(&["detect", &bus, "-m", &model, "--out", out]);
    let nowhere = run("/no/such/folder/out.jsonl");
    assert_eq!(nowhere.status.code(), Some(5), "{}", stderr(&nowhere));
    assert!(
        stderr(&nowhere).contains("/no/such/folder/out.jsonl: can't be written: No such file"),
        "{}",
        stderr(&nowhere)
    );

    // A device that is always full, and is not replaced by a file.
    let full = run("/dev/full");
    assert_eq!(full.status.code(), Some(5), "{}", stderr(&full));
    assert!(stderr(&full).contains("/dev/full: can't be written: No space left"), "{}", stderr(&full));
    assert!(!std::fs::metadata("/dev/full").unwrap().is_file());

    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(text(folder.path())).status.code(), Some(5), "a folder");

    // No file grows beyond a few blocks: what a full disk does in the middle of the work.
    let out = folder.path().join("out.jsonl");
    std::fs::write(&out, "from yesterday\n").unwrap();
    let limited = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_sightline")])
        .args(["detect", "test://smpte?frames=400&size=64x64", "-m", &model, "--out", text(&out)])
        .output()
        .unwrap();
    let said = stderr(&limited);
    assert_eq!(limited.status.code(), Some(5), "{said}");
    assert!(
        said.contains("out.jsonl: can't be written: ") && said.contains("nothing was left behind"),
        "{said}"
    );
    assert_eq!(names_in(folder.path()), ["out.jsonl"]);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "from yesterday\n");
}

#[test]
fn out_keeps_links_and_modes() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real.jsonl"), folder.path().join("link.jsonl"));
    std::fs::write(&real, "").unwrap();
    symlink(&real, &link).unwrap();
    let output = sightline::output(&["detect", &picture("bus"), "-m", &fast_model(), "--out", text(&link)]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(link.is_symlink());
    assert_eq!(frames::read(&real).len(), 1);
    let probe = folder.path().join("probe");
    std::fs::write(&probe, "").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&real), mode(&probe), "as the umask says");
}

#[test]
fn a_device_that_does_not_run_the_model_is_refused() {
    for device in ["cuda", "cuda:1", "tensorrt", "openvino"] {
        let output = detect(&[&picture("bus")], &["--device", device]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains(&format!("device {}", device.split(':').next().unwrap())), "{said}");
        assert!(said.contains("or choose --device cpu"), "{said}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(lines(&[&picture("bus")], &["--device", "cpu"]).len(), 1);
    assert_eq!(detect(&[&picture("bus")], &["--device", "gpu"]).status.code(), Some(2));
}

#[test]
fn a_decoder_that_is_not_here_is_refused_and_software_gives_what_auto_gives() {
    let clip = data("clips/udacity_solidWhiteRight.mp4");
    let without = |decoder: &str| {
        let mut command =
            command(&["detect", text(&clip), "-m", &fast_model(), "--out", "-", "--decoder", decoder]);
        command.env("NVIDIA_DRIVER_CAPABILITIES", "compute,utility").output().unwrap()
    };
    for (decoder, needs) in [
        ("nvdec", "NVIDIA_DRIVER_CAPABILITIES must contain video, and is \"compute,utility\" here"),
        ("vaapi", "/dev/dri/renderD128"),
    ] {
        let output = without(decoder);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains(&format!("decoder {decoder}: ")) && said.contains(needs), "{said}");
        assert!(said.contains("or choose --decoder auto") && output.stdout.is_empty(), "{said}");
    }
    assert_eq!(without("gpu").status.code(), Some(2));
    let [auto, software] = ["auto", "software"].map(without);
    assert!(auto.status.success() && software.status.success(), "{}", stderr(&software));
    // All but when: a file is captured when it is read.
    let results = |output: &Output| -> Vec<serde_json::Value> {
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let result = |line: &str| {
            let mut frame: serde_json::Value = serde_json::from_str(line).unwrap();
            frame.as_object_mut().unwrap().remove("captured_at");
            frame
        };
        text.lines().map(result).collect()
    };
    assert!(results(&auto).len() > 100 && results(&auto) == results(&software), "to the bit");
}

#[test]
fn engines_are_kept_for_tensorrt_alone_and_where_they_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (good, bad) = (folder.path().join("engines"), file.join("engines"));
    let output = detect(&[&picture("bus")], &["--engine-cache", text(&good)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("say --device tensorrt"), "{}", stderr(&output));
    let tensorrt =
        |cache: &Path| detect(&[&picture("bus")], &["--device", "tensorrt", "--engine-cache", text(cache)]);
    let output = tensorrt(&bad);
    assert_eq!(output.status.code(), Some(5));
    assert!(stderr(&output).contains("can't be written"), "{}", stderr(&output));
    // The device is refused as it is without, and nothing is left behind.
    let output = tensorrt(&good);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert_eq!(names_in(&good), Vec::<String>::new());
}

#[test]
fn signals_end_it_with_their_own_codes_and_leave_nothing() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let folder = tempfile::tempdir().unwrap();
        let (out, drawn) = (folder.path().join("out.jsonl"), folder.path().join("drawn.mp4"));
        let running = Sightline::spawn(command(&[
            "detect",
            "test://ball?size=320x240",
            "-m",
            &fast_model(),
            "--out",
            text(&out),
            "--annotate",
            text(&drawn),
        ]));
        // Drawing has begun, so frames are under way.
        sightline::wait_for("a drawing", || (names_in(folder.path()).len() == 2).then_some(()));
        running.signal(signal);
        let (status, said) = running.wait();
        assert_eq!(status.code(), Some(code), "{said}");
        assert_eq!(names_in(folder.path()), Vec::<String>::new(), "{said}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let mut child = command(&["detect", "test://ball?size=320x240", "-m", &fast_model(), "--out", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 16];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    // Its end of the pipe is closed now.
    let status = sightline::wait_for("the end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(5));
}
