//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use gstreamer_rtsp_server::gst_rtsp;

use crate::clip::Encode;
use crate::faults::{Fault, since_1970};

pub(crate) const USAGE: &str = "\
test-camera CLIP [--then CLIP]... [--user U --password P] [--auth basic|digest] [--transport tcp|udp|any] [--port N]
    [--tls CERT KEY] [--loops N|forever] [--frames N] [--speed X] [--mjpeg] [--no-frame-rate] [--no-sender-reports]
    [--report-interval S] [--sender-report-offset S|1970] [--drift PPM] [--fault FAULT] [--on-air] [--from S]";

pub(crate) struct Options {
    /// The first, and those behind it.
    pub(crate) clips: Vec<PathBuf>,
    /// User and password.
    pub(crate) login: Option<(String, String)>,
    pub(crate) auth: gst_rtsp::RTSPAuthMethod,
    pub(crate) transports: gst_rtsp::RTSPLowerTrans,
    /// 0 takes a free one.
    pub(crate) port: u16,
    /// Certificate and key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// How often a clip is played; 0 is for ever.
    pub(crate) loops: u64,
    /// Access units of a clip that are served, from its start.
    pub(crate) frames: usize,
    /// Times real time.
    pub(crate) speed: f64,
    pub(crate) encode: Encode,
    pub(crate) sender_reports: bool,
    pub(crate) report_interval: Option<Duration>,
    pub(crate) clock_offset_s: f64,
    pub(crate) drift_ppm: f64,
    pub(crate) fault: Fault,
    /// One programme for all, that goes on though nobody watches.
    pub(crate) on_air: bool,
    /// Where the clip begins for who comes first, seconds.
    pub(crate) from_s: f64,
}

pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        clips: Vec::new(),
        login: None,
        auth: gst_rtsp::RTSPAuthMethod::Digest,
        transports: gst_rtsp::RTSPLowerTrans::TCP | gst_rtsp::RTSPLowerTrans::UDP,
        port: 0,
        tls: None,
        loops: 1,
        frames: usize::MAX,
        speed: 1.0,
        encode: Encode::AsItIs,
        sender_reports: true,
        report_interval: None,
        clock_offset_s: 0.0,
        drift_ppm: 0.0,
        fault: Fault::None,
        on_air: false,
        from_s: 0.0,
    };
    let mut first = None;
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
        let wrong = |value: &str| format!("{arg} can't be {value}");
        let number = |given: String| given.parse::<f64>().map_err(|_| wrong(&given));
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
            "--port" => options.port = value().and_then(|v| v.parse().map_err(|_| wrong(&v)))?,
            "--tls" => options.tls = Some((value()?.into(), value()?.into())),
            "--then" => options.clips.push(value()?.into()),
            "--loops" => {
                let given = value()?;
                options.loops =
                    if given == "forever" { 0 } else { given.parse().map_err(|_| wrong(&given))? };
            }
            "--frames" => options.frames = value().and_then(|v| v.parse().map_err(|_| wrong(&v)))?,
            "--speed" => options.speed = value().and_then(number)?,
            "--mjpeg" => options.encode = Encode::Jpeg,
            "--no-frame-rate" => options.encode = Encode::WithoutRate,
            "--no-sender-reports" => options.sender_reports = false,
            "--report-interval" => {
                options.report_interval = Some(Duration::from_secs_f64(value().and_then(number)?));
            }
            "--sender-report-offset" => {
                let given = value()?;
                options.clock_offset_s =
                    if given == "1970" { -since_1970().as_secs_f64() } else { number(given)? };
            }
            "--drift" => options.drift_ppm = value().and_then(number)?,
            "--from" => options.from_s = value().and_then(number)?,
            "--on-air" => options.on_air = true,
            "--fault" => options.fault = value()?.parse()?,
            flag if flag.starts_with("--") => return Err(format!("{flag} is not known")),
            _ => first = Some(arg.into()),
        }
    }
    if options.on_air && (options.login.is_some() || options.tls.is_some()) {
        return Err("--on-air is for all: neither --user nor --tls".into());
    }
    options.clips.insert(0, first.ok_or("which clip?")?);
    Ok(options)
}
