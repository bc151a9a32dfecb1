//! What a person names on the command line, told apart and opened.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use sightline_pipeline::frame::{Frame, HostPlanes, Planes};
use sightline_pipeline::source::Source;
use sightline_pipeline::source::address::{Address, AddressError, Kind};
use sightline_pipeline::source::gst::{GstOptions, GstSource, SharedAccessUnits, shared_access_units};
use sightline_pipeline::source::picture::{self, PictureKind};
use sightline_schema::{Skipped, Timestamp, Transport};

use crate::cli::{DetectArgs, TransportArg};

/// How long a source may take to its first picture, or between two of a live one.
const PATIENCE: Duration = Duration::from_secs(15);
/// A picture's file is at most this large.
const MAX_PICTURE: u64 = 256 << 20;

/// One input, not opened yet.
pub(crate) struct Input {
    address: Address,
}

/// An input, ready to be read.
pub(crate) enum Opened {
    Picture(HostPlanes),
    Stream(Box<dyn Source>, SharedAccessUnits),
}

impl Opened {
    pub(crate) fn is_live(&self) -> bool {
        match self {
            Self::Picture(_) => false,
            Self::Stream(source, _) => source.is_live(),
        }
    }
}

impl Input {
    pub(crate) fn parse(given: &str) -> Result<Self, AddressError> {
        Address::parse(given).map(|address| Self { address })
    }

    /// As given, without credentials.
    pub(crate) fn shown(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn open(&self, args: &DetectArgs) -> Result<Opened, String> {
        let name = self.shown();
        let told = |reason: String| format!("{name}: {reason}");
        match self.address.kind() {
            Kind::File => {
                let path = self.address.path().ok_or_else(|| told("it is not a local file".into()))?;
                if let Some((kind, bytes)) = picture_file(&path).map_err(told)? {
                    return picture::decode(&bytes, kind).map(Opened::Picture).map_err(|e| told(e.to_string()));
                }
            }
            Kind::Http => {
                if let Some((kind, bytes)) = fetch_picture(&self.address).map_err(told)? {
                    return picture::decode(&bytes, kind).map(Opened::Picture).map_err(|e| told(e.to_string()));
                }
            }
            Kind::Rtsp | Kind::Test => {}
        }
        let units = shared_access_units();
        let options = GstOptions {
            camera: name,
            address: self.address.clone(),
            transport: match args.transport {
                TransportArg::Tcp => Transport::Tcp,
                TransportArg::Udp => Transport::Udp,
            },
            latency_ms: 200,
            keyframes_only: false,
            decoder_threads: 1,
            real_time: false,
            patience: PATIENCE,
        };
        let source = GstSource::open(options, units.clone()).map_err(|error| error.to_string())?;
        Ok(Opened::Stream(Box::new(source), units))
    }
}

/// A picture as the one frame of its stream.
pub(crate) fn picture_frame(planes: HostPlanes) -> Frame {
    Frame {
        planes: Planes::Host(planes),
        seq: 0,
        pts_us: 0,
        captured_at: Timestamp::from_system_time(SystemTime::now()),
        skipped: Skipped::default(),
    }
}

/// The bytes of a picture; `None` where the file is something else.
fn picture_file(path: &Path) -> Result<Option<(PictureKind, Vec<u8>)>, String> {
    let mut file = std::fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("it can't be opened: {error}"),
    })?;
    let facts = file.metadata().map_err(|error| error.to_string())?;
    if facts.is_dir() {
        return Err("it is a directory; name the files in it".into());
    }
    if facts.is_file() && facts.len() == 0 {
        return Err("the file is empty".into());
    }
    let mut start = Vec::new();
    file.by_ref().take(16).read_to_end(&mut start).map_err(|error| format!("it can't be read: {error}"))?;
    let Some(kind) = picture::kind_of(&start) else { return Ok(None) };
    let mut bytes = start;
    file.take(MAX_PICTURE).read_to_end(&mut bytes).map_err(|error| format!("it can't be read: {error}"))?;
    Ok(Some((kind, bytes)))
}

/// Fetches a picture; `None` where the server's answer starts like something else, which is then a stream.
fn fetch_picture(address: &Address) -> Result<Option<(PictureKind, Vec<u8>)>, String> {
    let config = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(Duration::from_secs(20)))
        .http_status_as_error(false)
        .build();
    let mut request = ureq::Agent::new_with_config(config).get(address.uri());
    if let Some(credentials) = address.credentials() {
        let token = basic(&credentials.user, &credentials.password);
        request = request.header("authorization", &format!("Basic {token}"));
    }
    let mut response = request.call().map_err(|error| format!("it does not answer: {error}"))?;
    match response.status().as_u16() {
        200..300 => {}
        401 | 403 => return Err("the server refuses the user or the password (auth_failed)".into()),
        404 | 410 => return Err("the server has no such file (not_found)".into()),
        status => return Err(format!("the server answers {status}")),
    }
    let mut body = response.body_mut().with_config().limit(MAX_PICTURE).reader();
    let mut start = Vec::new();
    body.by_ref().take(16).read_to_end(&mut start).map_err(|error| format!("it can't be read: {error}"))?;
    let Some(kind) = picture::kind_of(&start) else { return Ok(None) };
    let mut bytes = start;
    body.read_to_end(&mut bytes).map_err(|error| format!("it can't be read: {error}"))?;
    Ok(Some((kind, bytes)))
}

/// RFC 7617, base64 by RFC 4648.
fn basic(user: &str, password: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = format!("{user}:{password}").into_bytes();
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                out.push(char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn basic_as_in_the_rfc() {
        assert_eq!(super::basic("Aladdin", "open sesame"), "QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(super::basic("a", "b"), "YTpi");
        assert_eq!(super::basic("ab", "c"), "YWI6Yw==");
    }
}
