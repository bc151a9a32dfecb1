//! Pictures: every kind of file, turned as they say, from disk and from the web.

use std::fs::File;
use std::io::BufWriter;

use super::*;
use http::Server;

/// bus.jpg as R, G, B.
fn bus() -> (usize, usize, Vec<u8>) {
    let mut decoded = media::decode(&data("images/bus.jpg"));
    (decoded.width, decoded.height, decoded.frames.remove(0))
}

/// An EXIF segment that says nothing but the orientation (CIPA DC-008): big-endian TIFF, one entry.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let tiff =
        [b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation], b"\0\0\0\0\0\0"]
            .concat();
    let exif = [b"Exif\0\0".as_slice(), &tiff].concat();
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], b"\xff\xe1", &length, &exif, &jpeg[2..]].concat()
}

fn write_png(path: &Path, (w, h): (usize, usize), kind: png::ColorType, depth: png::BitDepth, raw: &[u8]) {
    let mut encoder = png::Encoder::new(
        BufWriter::new(File::create(path).unwrap()),
        u32::try_from(w).unwrap(),
        u32::try_from(h).unwrap(),
    );
    encoder.set_color(kind);
    encoder.set_depth(depth);
    if kind == png::ColorType::Indexed {
        // 6 levels a channel.
        encoder.set_palette(
            (0..216u8).flat_map(|i| [i / 36 * 51, i / 6 % 6 * 51, i % 6 * 51]).collect::<Vec<_>>(),
        );
    }
    encoder.write_header().unwrap().write_image_data(raw).unwrap();
}

#[test]
fn a_picture_is_one_line_without_tracks_and_turned_as_its_exif_says() {
    let folder = tempfile::tempdir().unwrap();
    // Shown by its bytes lying on its side: a camera that was held turned left says 6, "turn right to see".
    let (w, h, rgb) = bus();
    let lying: Vec<u8> = (0..w)
        .flat_map(|y| (0..h).map(move |x| (x, y)))
        .flat_map(|(x, y)| {
            let at = (x * w + (w - 1 - y)) * 3;
            [rgb[at], rgb[at + 1], rgb[at + 2]]
        })
        .collect();
    let image = jpeg_of(&lying, h, w);
    let turned = folder.path().join("turned.jpg");
    std::fs::write(&turned, with_orientation(&image, 6)).unwrap();
    let lines = lines(&[&picture("bus"), text(&turned)], &[]);
    assert_eq!(lines.len(), 2);
    for (epoch, line) in lines.iter().enumerate() {
        assert_eq!((line.epoch, line.seq, line.pts_us), (epoch as u64, 0, 0));
        assert_eq!((line.width, line.height), (810, 1080));
        assert_eq!(labels(line), ["bus", "person", "person", "person", "person"], "{}", line.camera);
        assert!(line.detections.iter().all(|detection| detection.track.is_none()));
    }
    for upright in &lines[0].detections {
        let found = lines[1].detections.iter().any(|turned| {
            turned.label == upright.label && frames::iou(turned.fractions, upright.fractions) > 0.85
        });
        assert!(found, "{upright:?} in {:?}", lines[1].detections);
    }
}

#[test]
fn every_kind_of_png_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (w, h, rgb) = bus();
    let path = |name: &str| folder.path().join(name);
    let grey: Vec<u8> = rgb
        .chunks_exact(3)
        .map(|p| ((u32::from(p[0]) * 77 + u32::from(p[1]) * 151 + u32::from(p[2]) * 28) >> 8) as u8)
        .collect();
    let rgba: Vec<u8> = rgb.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    let deep: Vec<u8> = rgb.iter().flat_map(|v| [*v, *v]).collect();
    let level = |v: u8| (u32::from(v) + 25) / 51;
    let palette: Vec<u8> =
        rgb.chunks_exact(3).map(|p| (level(p[0]) * 36 + level(p[1]) * 6 + level(p[2])) as u8).collect();
    use png::{BitDepth, ColorType};
    write_png(&path("rgb.png"), (w, h), ColorType::Rgb, BitDepth::Eight, &rgb);
    write_png(&path("rgba.png"), (w, h), ColorType::Rgba, BitDepth::Eight, &rgba);
    write_png(&path("deep.png"), (w, h), ColorType::Rgb, BitDepth::Sixteen, &deep);
    write_png(&path("grey.png"), (w, h), ColorType::Grayscale, BitDepth::Eight, &grey);
    write_png(&path("palette.png"), (w, h), ColorType::Indexed, BitDepth::Eight, &palette);
    let files = ["rgb.png", "rgba.png", "deep.png", "grey.png", "palette.png"]
        .map(|name| text(&path(name)).to_owned());
    let lines = lines(&files.each_ref().map(String::as_str), &[]);
    assert_eq!(lines.len(), files.len());
    for line in &lines {
        assert_eq!((line.width, line.height), (810, 1080), "{}", line.camera);
        let seen = labels(line);
        // Grey or in few colours it is the same street.
        assert!(
            seen.contains(&"bus") && seen.iter().filter(|label| **label == "person").count() >= 3,
            "{}: {seen:?}",
            line.camera
        );
    }
    for exact in &lines[1..3] {
        let same = |a: &frames::Detection, b: &frames::Detection| {
            a.fractions == b.fractions && a.confidence == b.confidence
        };
        assert!(
            lines[0].detections.iter().zip(&exact.detections).all(|(a, b)| same(a, b)),
            "{}",
            exact.camera
        );
    }
}

#[test]
fn pictures_and_clips_come_from_the_web() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    let make =
        media::Make { frames: 10, size: (480, 270), encoder: media::H264, mux: "mp4mux", audio: false };
    make.from(&data("clips/udacity_solidWhiteRight.mp4"), &clip);
    let server = Server::serve([
        ("/bus.jpg", std::fs::read(data("images/bus.jpg")).unwrap()),
        ("/clip.mp4", std::fs::read(&clip).unwrap()),
    ]);
    let secret = format!("http://ann:s3cret@{}/bus.jpg", server.host());
    let output = detect(&[&server.uri("/nothing.jpg"), &secret, &server.uri("/clip.mp4")], &["--no-track"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("/nothing.jpg: the server has no such file; check the address"), "{said}");
    let lines = frames::parse(&stdout(&output));
    assert_eq!(lines.len(), 11, "{said}");
    assert_eq!(lines[0].camera, server.uri("/bus.jpg"));
    assert_eq!((lines[0].epoch, labels(&lines[0]).len()), (1, 5));
    assert_eq!(frames::check_order(&lines[1..]), 10);
    assert!(!said.contains("s3cret") && !stdout(&output).contains("s3cret"));
    // RFC 7617: ann:s3cret.
    assert!(
        server
            .requests()
            .iter()
            .any(|head| head.to_ascii_lowercase().contains("authorization: basic yw5uonmzy3jlda=="))
    );

    let nobody = detect(&["http://127.0.0.1:9/x.jpg"], &[]);
    assert_eq!(nobody.status.code(), Some(1));
    let said = stderr(&nobody);
    assert!(
        said.contains("http://127.0.0.1:9/x.jpg: it does not answer: ") && said.contains("check the address"),
        "{said}"
    );
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new("openssl");
        command.args(args).current_dir(folder.path());
        command
    };
    let made = run(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
    ])
    .output()
    .expect("openssl");
    assert!(made.status.success(), "{}", stderr(&made));
    std::fs::copy(data("images/bus.jpg"), folder.path().join("bus.jpg")).unwrap();
    let mut server = Killed(
        run(&["s_server", "-accept", "127.0.0.1:0", "-cert", "cert.pem", "-key", "key.pem", "-WWW"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("openssl"),
    );
    let out = std::io::BufReader::new(server.0.stdout.take().unwrap());
    let port = std::io::BufRead::lines(out)
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("ACCEPT ")?.rsplit_once(':')?.1.parse::<u16>().ok())
        .expect("its port");
    let uri = format!("https://localhost:{port}/bus.jpg");
    let output = detect(&[&uri], &[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("{uri}: its certificate is not trusted here: ")), "{said}");
}

struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Gone already where it failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A JPEG at full chroma, by GStreamer's encoder.
fn jpeg_of(rgb: &[u8], width: usize, height: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (raw, jpeg) = (folder.path().join("raw"), folder.path().join("jpeg"));
    std::fs::write(&raw, rgb).unwrap();
    media::run(&format!(
        "filesrc location=\"{}\" blocksize={} ! rawvideoparse format=rgb width={width} height={height} ! videoconvert ! \
         video/x-raw,format=Y444 ! jpegenc quality=95 ! filesink location=\"{}\"",
        text(&raw),
        rgb.len(),
        text(&jpeg)
    ));
    std::fs::read(jpeg).unwrap()
}
