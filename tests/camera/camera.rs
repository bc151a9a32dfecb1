//! The tests' own RTSP camera: a process of its own that serves an encoded clip as it is, at `/cam`.
//!
//! It says on standard output, a line each: `port N` once it listens, `client` for each connection, `play` for
//! each media a client sets up, `sent N` for each that has been sent to its end. It ends with its standard input.
//!
//! # What goes wrong, from the start
//!
//! | option | what it does |
//! |---|---|
//! | `--port N` | listens there; a camera that restarts comes back where it was |
//! | `--tls CERT KEY` | `rtsps` with this certificate (PEM), good or not |
//! | `--then CLIP` | when the clip is over, or at the line `next`, this one is served: in the same session where the codec stays, with new parameter sets in-band; else the connections are closed and the next session gets it. May be given several times |
//! | `--no-frame-rate` | encoded anew, without timing in its parameter sets and without a rate in the SDP. H.264 |
//! | `--no-sender-reports` | receiver reports instead: goodbyes still come |
//! | `--report-interval S` | sender reports each S seconds or so, not each 5 |
//! | `--sender-report-offset S` | the camera's clock is S seconds ahead, or behind where S is negative. `1970`: it starts in 1970 |
//! | `--drift PPM` | the camera's clock is too fast: RTP timestamps and sender reports alike |
//! | `--fault FAULT` | as the line `fault FAULT`, before the first client |
//! | `--on-air` | one programme for all clients, as a real camera has one encoder: it goes on though nobody watches, and who comes gets it from where it is. Says `began T`: when the clip's first picture was taken, or would have been, µs since 1970 |
//! | `--from S` | the first round begins at the keyframe that is S seconds in it, or the next one |
//!
//! # What goes wrong while it runs
//!
//! Lines on its standard input; each is answered by `done LINE` when it is in force, or by `refused LINE: WHY`.
//!
//! | line | what it does |
//! |---|---|
//! | `fault none` | all is well again. Pictures go on at a keyframe; after a stall their time has gone on, too |
//! | `fault stall` | nothing is sent any more, neither pictures nor reports. Connections stay open and requests are answered |
//! | `fault freeze` | the keyframe again and again, in time: packets flow, each picture is the last one bit by bit |
//! | `fault black` | black pictures in time, which differ by a shade from one to the next. Of the clip's size |
//! | `fault garbage` | pictures whose slices are noise behind the NAL header; parameter sets stay. None decodes |
//! | `fault die` | the process ends after the first packet of an access unit that has several |
//! | `fault refuse-sessions` | `453 Not Enough Bandwidth` to each SETUP while another client holds a session |
//! | `fault silent` | new connections are accepted and get no answer; so do those that were silent before |
//! | `fault babble` | new connections get noise for an answer, and are closed |
//! | `reset` | closes all connections by RST |
//! | `hang-up` | closes all connections by FIN |
//! | `next` | goes on to the clip of the next `--then` |
//! | `clock S` | the clock steps by S seconds: `+3600`, `-0.5` |
//! | `password P` | this one is right from now on, for new connections. Wants `--user` |
//! | `path /P` | it is served there and nowhere else: 404 at `/cam` |
//!
//! One fault is in force at a time, for all clients. What this camera does not do: loss and order of packets on UDP,
//! and a network that stalls or is slow, are the relay's (`tests/support/relay.rs`). For B-frames take a clip that has
//! some: `one-by-one-person_a.mp4` (H.264), `retail02_a.mp4` (H.265).

// A helper of tests: what can't go on says so and ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod clip;
mod control;
mod door;
mod faults;
mod feed;
mod login;
mod on_air;
mod options;
mod programme;
mod wire;

use std::io::Write as _;
use std::sync::Arc;

use gstreamer_rtsp_server as server;
use server::gst;
use server::prelude::*;

use clip::Clip;
use door::Door;
use faults::Faults;
use feed::Feed;
use options::Options;
use programme::Programme;

/// All that the callbacks and the control share.
pub(crate) struct Camera {
    pub(crate) options: Options,
    pub(crate) rtsp: server::RTSPServer,
    pub(crate) factory: server::RTSPMediaFactory,
    pub(crate) mounts: server::RTSPMountPoints,
    pub(crate) door: Arc<Door>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) programme: Arc<Programme>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = options::USAGE;
    let options = options::parse(std::env::args().skip(1)).map_err(|error| format!("{error}\n{usage}"))?;
    gst::init()?;
    let mut clips = Vec::new();
    for path in &options.clips {
        let mut clip = Clip::load(path, options.encode)?;
        clip.units.truncate(options.frames);
        clips.push(clip);
    }
    let camera = Arc::new(Camera {
        rtsp: server::RTSPServer::new(),
        factory: server::RTSPMediaFactory::new(),
        mounts: server::RTSPMountPoints::new(),
        door: Door::open(options.port)?,
        faults: Faults::new(options.fault, options.clock_offset_s),
        programme: Programme::new(clips),
        options,
    });
    serve(&camera)?;
    control::listen(camera.clone());
    if camera.options.on_air {
        on_air::watch(camera.door.port())?;
    }
    say(&format!("port {}", camera.door.port()));
    gst::glib::MainLoop::new(None, false).run();
    Ok(())
}

pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody may be reading any more.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Media that each client gets for itself, from the start of the clip; or all share.
fn serve(camera: &Arc<Camera>) -> Result<(), Box<dyn std::error::Error>> {
    let Camera { options, rtsp, factory, mounts, .. } = &**camera;
    let auth = login::auth(options, options.login.as_ref())?;
    factory.set_shared(options.on_air);
    factory.set_protocols(options.transports);
    if auth.is_some() {
        factory.add_role_from_structure(&login::role());
    }
    camera.launch();
    let of = camera.clone();
    factory.connect_media_configure(move |_, media| {
        say("play");
        let bin = media.element().downcast::<gst::Bin>().expect("the media is a bin");
        let source = bin.by_name_recurse_up("feed").expect("the media has its source");
        if of.options.on_air {
            let (_, skipped) = of.programme.now().key_from(of.options.from_s);
            on_air::say_when_it_begins(&source, skipped);
        }
        Feed::start(&source, &of);
        wire::watch(media, &bin, &of);
    });
    rtsp.set_auth(auth.as_ref());
    mounts.add_factory("/cam", factory.clone());
    rtsp.set_mount_points(Some(mounts));
    let within = match options.tls {
        Some(_) => {
            rtsp.set_address("127.0.0.1");
            rtsp.set_service("0");
            let _attached = rtsp.attach(None)?;
            Some(u16::try_from(rtsp.bound_port())?)
        }
        None => None,
    };
    camera.door.welcome(rtsp, &camera.faults, within);
    Ok(())
}

impl Camera {
    /// How the clip that is served now is packed, for sessions to come.
    pub(crate) fn launch(&self) {
        let payloader = self.programme.now().codec.payloader();
        self.factory.set_launch(&format!(
            "( appsrc name=feed format=time max-buffers=4 ! {payloader} name=pay0 pt=96 )"
        ));
    }
}
