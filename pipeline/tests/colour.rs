//! Colours are read as the stream signals them; unsignalled, by the number of lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sightline_pipeline::frame::{ChromaSite, Colour, Matrix, PixelFormat, Planes, Range};
use sightline_pipeline::source::address::Address;
use sightline_pipeline::source::gst::{self, GstOptions, GstSource, shared_access_units};
use sightline_pipeline::source::{Pulled, Source as _};
use sightline_schema::Transport;

/// Encodes half a second of bars with these arguments, and reads the first frame's planes.
fn first_frame(directory: &Path, name: &str, arguments: &[&str]) -> (PixelFormat, Colour) {
    let file = directory.join(name);
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i"])
        .args(arguments)
        .arg(&file)
        .output()
        .expect("ffmpeg is installed: scripts/setup.sh test");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let options = GstOptions {
        camera: name.to_owned(),
        address: Address::parse(&file.to_string_lossy()).unwrap(),
        stays: false,
        transport: Transport::Tcp,
        latency_ms: 200,
        keyframes_only: false,
        looks_into: false,
        decoder_threads: 1,
        real_time: false,
        patience: Duration::from_secs(20),
    };
    let mut source = GstSource::open(options, shared_access_units()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        assert!(Instant::now() < deadline, "{name}: no frame");
        match source.pull(Duration::from_millis(100)).unwrap() {
            Pulled::Frame(frame) => match frame.planes {
                Planes::Host(planes) => return (planes.format, planes.colour),
                Planes::Cuda(_) => panic!("{name}: a frame in device memory"),
            },
            Pulled::Nothing => {}
            Pulled::End => panic!("{name}: no frame in it"),
        }
    }
}

const SMALL: &str = "smptebars=size=320x240:rate=10:duration=0.5";
const LARGE: &str = "smptebars=size=1280x720:rate=10:duration=0.5";
const X264: [&str; 2] = ["-c:v", "libx264"];

fn h264(directory: &Path, name: &str, source: &str, vui: &str, format: &str) -> (PixelFormat, Colour) {
    let params = format!("log-level=none{vui}");
    let arguments = [&[source], &X264[..], &["-pix_fmt", format, "-x264-params", &params]].concat();
    first_frame(directory, name, &arguments)
}

#[test]
fn colours_are_as_signalled() {
    gst::init().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let limited = |matrix| Colour { matrix, range: Range::Limited, chroma_site: ChromaSite::Left };

    // Signalled, against what the size alone would say.
    let (format, colour) =
        h264(at, "small-709.mp4", SMALL, ":colorprim=bt709:transfer=bt709:colormatrix=bt709", "yuv420p");
    assert_eq!((format, colour), (PixelFormat::I420, limited(Matrix::Bt709)));
    let (_, colour) = h264(
        at,
        "large-601.mp4",
        LARGE,
        ":colorprim=smpte170m:transfer=smpte170m:colormatrix=smpte170m",
        "yuv420p",
    );
    assert_eq!(colour, limited(Matrix::Bt601));
    let (_, colour) = h264(
        at,
        "full.mp4",
        SMALL,
        ":fullrange=on:colorprim=bt709:transfer=bt709:colormatrix=bt709",
        "yuv420p",
    );
    assert_eq!(colour, Colour { range: Range::Full, ..limited(Matrix::Bt709) });

    // Unsignalled.
    let (_, colour) = h264(at, "small.mp4", SMALL, "", "yuv420p");
    assert_eq!(colour, limited(Matrix::Bt601));
    let (_, colour) = h264(at, "large.mp4", LARGE, "", "yuv420p");
    assert_eq!(colour, limited(Matrix::Bt709));

    // Other layouts stay as the decoder gives them.
    let (format, _) = h264(at, "422.mp4", SMALL, "", "yuv422p");
    assert_eq!(format, PixelFormat::I422);
    let (format, _) = h264(at, "444.mp4", SMALL, "", "yuv444p");
    assert_eq!(format, PixelFormat::I444);

    // JPEG is full range, BT.601, chroma in the middle (ITU-T T.871).
    let mjpeg = [SMALL, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p"];
    let (_, colour) = first_frame(at, "mjpeg.avi", &mjpeg);
    assert_eq!(colour, Colour { matrix: Matrix::Bt601, range: Range::Full, chroma_site: ChromaSite::Centre });
}
