//! GStreamer's errors, told as the typed errors of a camera.

use gst::glib;
use gstreamer as gst;
use sightline_schema::{ErrorCode, Transport};

use super::{GstOptions, Kind};

/// The code and a sentence without a secret. GStreamer's own texts are not passed on where they could name
/// an address with a password in it; ours never does.
pub(super) fn explain(error: &glib::Error, debug: Option<&str>, options: &GstOptions) -> (ErrorCode, String) {
    let debug = debug.unwrap_or_default();
    let address = subject(options);
    if error.message().contains("allow more transport protocols") {
        // Every SETUP was refused: VLC has no TCP, some cameras no UDP.
        let (tried, other) = match options.transport {
            Transport::Tcp => ("tcp", "udp"),
            Transport::Udp => ("udp", "tcp"),
        };
        let message = format!("{address} sends nothing over {tried}; set transport to {other}");
        return (ErrorCode::Rejected, message);
    }
    // `urisourcebin` makes demuxers for playlists alone, and their factories were taken out of its choice.
    if options.stays && debug.contains("No demuxer element") {
        let message = format!("{address} is a playlist, which may lead anywhere and is not followed here");
        return (ErrorCode::ForbiddenUri, message);
    }
    if let Some(kind) = error.kind::<gst::ResourceError>() {
        return resource(kind, error.message(), debug, options);
    }
    if let Some(kind) = error.kind::<gst::StreamError>() {
        return match kind {
            gst::StreamError::TypeNotFound | gst::StreamError::WrongType => {
                (ErrorCode::NoVideo, format!("{address} is not video"))
            }
            gst::StreamError::CodecNotFound => (
                ErrorCode::CodecUnsupported,
                format!("no decoder for what {address} holds: {}", error.message()),
            ),
            gst::StreamError::Demux | gst::StreamError::Decode | gst::StreamError::Format => (
                ErrorCode::Corrupt,
                format!("{address} can't be decoded: {}", first_line(error.message(), debug)),
            ),
            // What broke the connection is told by no error of its own, or by one that comes too late.
            _ if options.address.kind() == Kind::Http
                && debug.contains("streaming stopped, reason error") =>
            {
                (ErrorCode::Unreachable, format!("{address} broke off the connection"))
            }
            _ if debug.contains("not-negotiated") => {
                (ErrorCode::CodecUnsupported, format!("{address} holds video that can't be decoded here"))
            }
            _ => (ErrorCode::Corrupt, format!("{address}: {}", first_line(error.message(), debug))),
        };
    }
    if error.kind::<gst::CoreError>() == Some(gst::CoreError::MissingPlugin) {
        return (
            ErrorCode::CodecUnsupported,
            format!("no decoder for what {address} holds: {}", error.message()),
        );
    }
    (ErrorCode::Internal, format!("{address}: {}", error.message()))
}

fn resource(
    kind: gst::ResourceError,
    message: &str,
    debug: &str,
    options: &GstOptions,
) -> (ErrorCode, String) {
    let address = subject(options);
    let says = |words: &str| debug.contains(words) || message.contains(words);
    if says("Unauthorized") || says("(401)") || says("Forbidden") || says("(403)") {
        let message = match options.address.credentials() {
            Some(_) => format!("{address} refuses the user or the password"),
            None => format!("{address} wants a user and a password"),
        };
        return (ErrorCode::AuthFailed, message);
    }
    let redirects = ["Moved Permanently", "Found", "See Other", "Temporary Redirect", "Permanent Redirect"];
    if options.stays && !says("Not Found") && redirects.into_iter().any(says) {
        let message =
            format!("{address} redirects, and that is not followed here; register where it leads to");
        return (ErrorCode::ForbiddenUri, message);
    }
    if says("TLS") || says("certificate") {
        return (
            ErrorCode::TlsFailed,
            format!("{address}: no secure connection: {}", first_line(message, "")),
        );
    }
    if says("Service Unavailable") || says("(503)") || says("(453)") || says("Not Enough Bandwidth") {
        return (ErrorCode::Rejected, format!("{address} accepts no further session"));
    }
    if says("Parse error") {
        // Another service's port; or an answer without its CSeq, as VLC's to who has not shown a password yet.
        let hint = "is it the right port? some servers ask for a password in this way";
        return (ErrorCode::Unreachable, format!("{address} gives an answer that is no proper RTSP; {hint}"));
    }
    if says("Timeout while waiting for server response") {
        return (ErrorCode::Timeout, format!("{address} does not answer in time"));
    }
    if options.address.kind() == Kind::Rtsp && says("Failed to connect. (Generic error)") {
        // All that GStreamer tells of a refused connection and of an unknown host.
        return (
            ErrorCode::Unreachable,
            format!("{address} can't be connected to: refused, or no such host"),
        );
    }
    match kind {
        gst::ResourceError::NotAuthorized => {
            (ErrorCode::AuthFailed, format!("{address} refuses the user or the password"))
        }
        gst::ResourceError::NotFound
            if options.address.kind() == Kind::Rtsp && !says("Not found") && !says("404") =>
        {
            (ErrorCode::Unreachable, format!("{address} does not answer: {message}"))
        }
        gst::ResourceError::NotFound => (ErrorCode::NotFound, format!("{address} does not exist")),
        gst::ResourceError::OpenRead | gst::ResourceError::OpenReadWrite
            if says("Not Found") || says("404") =>
        {
            (ErrorCode::NotFound, format!("{address} does not exist"))
        }
        gst::ResourceError::OpenRead | gst::ResourceError::OpenReadWrite | gst::ResourceError::Read
            if options.address.kind() != Kind::File =>
        {
            (ErrorCode::Unreachable, format!("{address} does not answer: {}", reason(message, debug)))
        }
        gst::ResourceError::OpenRead | gst::ResourceError::OpenReadWrite => {
            (ErrorCode::NotFound, format!("{address} can't be opened: {}", reason(message, debug)))
        }
        _ => (ErrorCode::Unreachable, format!("{address}: {}", reason(message, debug))),
    }
}

/// The address, or nothing but "it" where the error's text begins with the address anyway.
pub(super) fn subject(options: &GstOptions) -> String {
    let address = options.address.to_string();
    if address == options.camera { "it".to_owned() } else { address }
}

/// The last line of GStreamer's debug text is the reason as the operating system gives it.
fn reason(message: &str, debug: &str) -> String {
    let last = debug.lines().last().unwrap_or_default();
    let last = last.rsplit_once("): ").map_or(last, |(_, reason)| reason);
    if last.is_empty() || last.contains("://") { message.to_owned() } else { last.trim().to_owned() }
}

fn first_line(message: &str, debug: &str) -> String {
    let reason = reason(message, debug);
    reason.lines().next().unwrap_or(message).to_owned()
}
