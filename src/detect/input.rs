//! What a person names on the command line, told apart and opened.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use sightline_pipeline::error::StreamError;
use sightline_pipeline::frame::{Frame, HostPlanes, Planes};
use sightline_pipeline::source::Source;
use sightline_pipeline::source::address::{Address, AddressError, Kind};
use sightline_pipeline::source::container;
use sightline_pipeline::source::gst::{GstOptions, GstSource, SharedAccessUnits, shared_access_units};
use sightline_pipeline::source::picture::{self, PictureKind};
use sightline_schema::{ErrorCode, Skipped, Timestamp};
use ureq::tls::{RootCerts, TlsConfig};

use crate::cli::DetectArgs;

/// How long a source may take to its first picture, or between two of a live one.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a server may take for all of a picture.
const MAX_FETCH: Duration = Duration::from_secs(120);
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

    /// The file promises more than it holds.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.address.path().is_some_and(|path| container::missing(&path).is_some())
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// As given, without credentials.
    pub(crate) fn shown(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn open(&self, args: &DetectArgs) -> Result<Opened, String> {
        let name = self.shown();
        let named = |reason: String| format!("{name}: {reason}");
        match self.address.kind() {
            Kind::File => {
                let path = self.address.path().ok_or_else(|| named("it is not a local file".into()))?;
                if let Some((kind, bytes)) = picture_file(&path).map_err(named)? {
                    return picture::decode(&bytes, kind)
                        .map(Opened::Picture)
                        .map_err(|e| named(e.to_string()));
                }
            }
            Kind::Http => {
                if let Some((kind, bytes)) = fetch_picture(&self.address).map_err(named)? {
                    return picture::decode(&bytes, kind)
                        .map(Opened::Picture)
                        .map_err(|e| named(e.to_string()));
                }
            }
            Kind::Rtsp | Kind::WebFile | Kind::Object | Kind::Test => {}
        }
        let units = shared_access_units();
        let options = GstOptions {
            camera: name,
            address: self.address.clone(),
            stays: false,
            transport: args.transport.into(),
            latency_ms: 200,
            keyframes_only: false,
            looks_into: false,
            decoder_threads: 1,
            real_time: false,
            patience: PATIENCE,
        };
        let source = GstSource::open(options, units.clone()).map_err(|error| told(&self.address, &error))?;
        Ok(Opened::Stream(Box::new(source), units))
    }
}

/// A picture as the one frame of its stream.
pub(crate) fn picture_frame(planes: HostPlanes) -> Frame {
    Frame {
        trace: None,
        planes: Planes::Host(planes),
        seq: 0,
        pts_us: 0,
        captured_at: Timestamp::from_system_time(SystemTime::now()),
        ready: Instant::now(),
        skipped: Skipped::default(),
    }
}

/// The bytes of a picture; `None` where the file is something else.
fn picture_file(path: &Path) -> Result<Option<(PictureKind, Vec<u8>)>, String> {
    let mut file = std::fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file; check the path".to_owned(),
        _ => format!("it can't be opened: {error}"),
    })?;
    let facts = file.metadata().map_err(|error| error.to_string())?;
    if facts.is_dir() {
        return Err("it is a directory; name the files in it".into());
    }
    if facts.is_file() && facts.len() == 0 {
        return Err("the file is empty; copy it again".into());
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
        .timeout_recv_body(Some(MAX_FETCH))
        .http_status_as_error(false)
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .build();
    let mut request = ureq::Agent::new_with_config(config).get(address.uri());
    if let Some(credentials) = address.credentials() {
        let token = basic(&credentials.user, &credentials.password);
        request = request.header("authorization", &format!("Basic {token}"));
    }
    let mut response = request.call().map_err(unanswered)?;
    match response.status().as_u16() {
        200..300 => {}
        401 | 403 => {
            return Err(
                "the server refuses the user or the password; give them as http://USER:PASSWORD@HOST".into(),
            );
        }
        404 | 410 => return Err("the server has no such file; check the address".into()),
        status => return Err(format!("the server answers {status}; try again later, or check the address")),
    }
    let mut body = response.body_mut().with_config().limit(MAX_PICTURE).reader();
    let mut start = Vec::new();
    body.by_ref().take(16).read_to_end(&mut start).map_err(|error| format!("it can't be read: {error}"))?;
    let Some(kind) = picture::kind_of(&start) else { return Ok(None) };
    let mut bytes = start;
    body.read_to_end(&mut bytes).map_err(|error| format!("it can't be read: {error}"))?;
    Ok(Some((kind, bytes)))
}

/// Why a server gave no answer, and what helps.
fn unanswered(error: ureq::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("io: ").unwrap_or(&text);
    if text.contains("certificate") {
        return format!(
            "its certificate is not trusted here: {text}; add the authority that signed it to the system's"
        );
    }
    format!("it does not answer: {text}; check the address and the network")
}

/// What went wrong with a stream. A file's advice is another than a camera's.
pub(crate) fn told(address: &Address, error: &StreamError) -> String {
    if address.kind() != Kind::File {
        return error.to_string();
    }
    let advice = match error.code() {
        ErrorCode::Corrupt | ErrorCode::Timeout | ErrorCode::Stalled => {
            "The file is damaged or cut off: copy or export it again"
        }
        ErrorCode::NoVideo => "Name a file that holds video",
        ErrorCode::CodecUnsupported => "Convert it, as in `ffmpeg -i FILE -c:v libx264 OUT.mp4`",
        _ => error.code().advice().trim_end_matches('.'),
    };
    format!("{address}: {}. {advice}", error.message())
}

/// RFC 7617, base64 by RFC 4648.
fn basic(user: &str, password: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = format!("{user}:{password}").into_bytes();
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
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
