//! The tests' own RTSP camera: a process of its own that serves an encoded clip as it is, at `/cam`.
//!
//! It says on standard output, a line each: `port N` once it listens, `client` for each connection, `play` for
//! each media a client sets up, `sent N` for each that has been sent to its end. It ends with its standard input.

// A helper of tests: what can't go on says so and ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod clip;

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gstreamer_rtsp_server as server;
use server::prelude::*;
use server::{gst, gst_rtsp};

use clip::{Clip, Codec};

const USAGE: &str = "test-camera CLIP [--user U --password P] [--auth basic|digest] [--transport tcp|udp|any] \
                     [--loops N|forever] [--frames N] [--speed X] [--mjpeg]";

struct Options {
    clip: PathBuf,
    login: Option<(String, String)>,
    auth: gst_rtsp::RTSPAuthMethod,
    transports: gst_rtsp::RTSPLowerTrans,
    /// How often the clip is played; 0 is for ever.
    loops: u64,
    /// Access units of the clip that are served, from its start.
    frames: usize,
    /// Times real time.
    speed: f64,
    mjpeg: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = options(std::env::args().skip(1)).map_err(|error| format!("{error}\n{USAGE}"))?;
    gst::init()?;
    let mut clip = Clip::load(&options.clip, options.mjpeg)?;
    clip.units.truncate(options.frames);

    let rtsp = server::RTSPServer::new();
    rtsp.set_address("127.0.0.1");
    rtsp.set_service("0");
    rtsp.set_auth(login(&options).as_ref());
    let mounts = server::RTSPMountPoints::new();
    mounts.add_factory("/cam", factory(&options, Arc::new(clip)));
    rtsp.set_mount_points(Some(&mounts));
    rtsp.connect_client_connected(|_, _| say("client"));
    let _attached = rtsp.attach(None)?;
    say(&format!("port {}", rtsp.bound_port()));

    // Whoever started it is gone when its standard input ends, however that came about.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    gst::glib::MainLoop::new(None, false).run();
    Ok(())
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody may be reading any more.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Media that each client gets for itself, from the start of the clip.
fn factory(options: &Options, clip: Arc<Clip>) -> server::RTSPMediaFactory {
    let payloader = match clip.codec {
        Codec::H264 => "rtph264pay config-interval=-1",
        Codec::H265 => "rtph265pay config-interval=-1",
        Codec::Jpeg => "rtpjpegpay",
    };
    let factory = server::RTSPMediaFactory::new();
    factory
        .set_launch(&format!("( appsrc name=feed format=time max-buffers=4 ! {payloader} name=pay0 pt=96 )"));
    factory.set_shared(false);
    factory.set_protocols(options.transports);
    if options.login.is_some() {
        let role = gst::Structure::builder("viewer")
            .field("media.factory.access", true)
            .field("media.factory.construct", true)
            .build();
        factory.add_role_from_structure(&role);
    }
    let (loops, speed) = (options.loops, options.speed);
    factory.connect_media_configure(move |_, media| {
        say("play");
        let bin = media.element().downcast::<gst::Bin>().expect("the media is a bin");
        feed(&bin.by_name_recurse_up("feed").expect("the media has its source"), clip.clone(), loops, speed);
    });
    factory
}

/// Gives the source an access unit each time it asks for one.
fn feed(source: &gst::Element, clip: Arc<Clip>, loops: u64, speed: f64) {
    source.set_property("caps", &clip.caps);
    let next = AtomicUsize::new(0);
    source.connect("need-data", false, move |values| {
        let source = values[0].get::<gst::Element>().expect("the source itself");
        let n = next.fetch_add(1, Ordering::Relaxed);
        let (round, index) = ((n / clip.units.len()) as u64, n % clip.units.len());
        if loops > 0 && round >= loops {
            if round == loops && index == 0 {
                say(&format!("sent {n}"));
            }
            let _ = source.emit_by_name::<gst::FlowReturn>("end-of-stream", &[]);
            return None;
        }
        let unit = &clip.units[index];
        let mut buffer = unit.copy();
        let buffer_ref = buffer.make_mut();
        let moved = |time: gst::ClockTime| {
            gst::ClockTime::from_nseconds(
                ((time + clip.length * round).nseconds() as f64 / speed).round() as u64
            )
        };
        buffer_ref.set_pts(unit.pts().map(moved));
        buffer_ref.set_dts(unit.dts().map(moved));
        let _ = source.emit_by_name::<gst::FlowReturn>("push-buffer", &[&buffer]);
        None
    });
}

fn login(options: &Options) -> Option<server::RTSPAuth> {
    let (user, password) = options.login.as_ref()?;
    let auth = server::RTSPAuth::new();
    let token = server::RTSPToken::builder().field("media.factory.role", "viewer").build();
    auth.set_supported_methods(options.auth);
    if options.auth == gst_rtsp::RTSPAuthMethod::Basic {
        auth.add_basic(&server::RTSPAuth::make_basic(user, password), &token);
    } else {
        auth.add_digest(user, password, &token);
    }
    Some(auth)
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        clip: PathBuf::new(),
        login: None,
        auth: gst_rtsp::RTSPAuthMethod::Digest,
        transports: gst_rtsp::RTSPLowerTrans::TCP | gst_rtsp::RTSPLowerTrans::UDP,
        loops: 1,
        frames: usize::MAX,
        speed: 1.0,
        mjpeg: false,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
        let wrong = |value: &str| format!("{arg} can't be {value}");
        match arg.as_str() {
            "--user" => options.login.get_or_insert_default().0 = value()?,
            "--password" => options.login.get_or_insert_default().1 = value()?,
            "--auth" => {
                options.auth = match value()?.as_str() {
                    "basic" => gst_rtsp::RTSPAuthMethod::Basic,
                    "digest" => gst_rtsp::RTSPAuthMethod::Digest,
                    other => return Err(wrong(other)),
                }
            }
            "--transport" => {
                options.transports = match value()?.as_str() {
                    "tcp" => gst_rtsp::RTSPLowerTrans::TCP,
                    "udp" => gst_rtsp::RTSPLowerTrans::UDP,
                    "any" => options.transports,
                    other => return Err(wrong(other)),
                }
            }
            "--loops" => {
                let given = value()?;
                options.loops =
                    if given == "forever" { 0 } else { given.parse().map_err(|_| wrong(&given))? };
            }
            "--frames" => options.frames = value().and_then(|v| v.parse().map_err(|_| wrong(&v)))?,
            "--speed" => options.speed = value().and_then(|v| v.parse().map_err(|_| wrong(&v)))?,
            "--mjpeg" => options.mjpeg = true,
            flag if flag.starts_with("--") => return Err(format!("{flag} is not known")),
            _ => options.clip = arg.into(),
        }
    }
    if options.clip.as_os_str().is_empty() { Err("which clip?".into()) } else { Ok(options) }
}
