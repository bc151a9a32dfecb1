//! RTSP by hand: `rtspsrc ! depayloader ! parser ! decoder ! appsink`, video alone.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_rtsp::rtsp_message::RTSPMessage;
use sightline_schema::{ErrorCode, Transport};

use super::decoder::Tap;
use super::decoders::{self, Codec};
use super::packets;
use super::{GstOptions, guarded, lock, make};

pub(super) fn build(
    pipeline: &gst::Pipeline,
    options: &GstOptions,
    sink: &gst_app::AppSink,
    tap: Tap,
) -> Result<(), String> {
    let source = make("rtspsrc")?;
    source.set_property("location", options.address.uri());
    source.set_property("latency", options.latency_ms);
    let transport = match options.transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    };
    source.set_property_from_str("protocols", transport);
    // Silence on UDP is the frame watchdog's business, not a reason to switch to TCP behind one's back.
    source.set_property("timeout", 0u64);
    source.set_property("tcp-timeout", options.patience.as_micros() as u64);
    source.set_property("do-rtsp-keep-alive", true);
    // Each packet carries its capture time by the camera's last sender report.
    source.set_property("add-reference-timestamp-meta", true);
    if let Some(credentials) = options.address.credentials() {
        source.set_property("user-id", &credentials.user);
        source.set_property("user-pw", &credentials.password);
    }
    let convert = make("videoconvert")?;
    pipeline.add_many([&source, &convert, sink.upcast_ref()]).map_err(|error| error.to_string())?;
    convert.link(sink).map_err(|error| error.to_string())?;

    let learned = tap.learned.clone();
    source.connect("select-stream", false, move |values| {
        guarded(&learned, Some(false.to_value()), || {
            let caps = values.get(2)?.get::<gst::Caps>().ok()?;
            let media = caps.structure(0)?.get::<String>("media").ok()?;
            let mut learned = lock(&learned);
            let wanted = media == "video" && !learned.saw_video;
            if wanted {
                learned.saw_video = true;
            } else if media != "video" {
                learned.saw_other = Some(media);
            }
            Some(wanted.to_value())
        })
    });
    refuse_certificates(&source, &tap);
    watch_requests(&source, options, &tap);
    let learned = tap.learned.clone();
    source.connect("no-more-pads", false, move |_| {
        guarded(&learned, None, || {
            let mut learned = lock(&learned);
            if !learned.saw_video {
                let other =
                    learned.saw_other.clone().map_or(String::new(), |other| format!(", only {other}"));
                learned.error = Some((ErrorCode::NoVideo, format!("the camera offers no video{other}")));
            }
            None
        })
    });

    let pipeline = pipeline.downgrade();
    let convert = convert.downgrade();
    source.connect_pad_added(move |_, pad| {
        guarded(&tap.learned, (), || {
            let (Some(pipeline), Some(convert)) = (pipeline.upgrade(), convert.upgrade()) else { return };
            if let Err((code, message)) = link_decoding(&pipeline, &convert, pad, &tap) {
                lock(&tap.learned).error = Some((code, message));
            }
        });
    });
    Ok(())
}

/// `rtspsrc` sends a password that was refused seven times more, and cameras lock accounts for less. And it goes wherever
/// a camera redirects it.
fn watch_requests(source: &gst::Element, options: &GstOptions, tap: &Tap) {
    let learned = tap.learned.clone();
    let host = options.stays.then(|| host(options.address.uri())).flatten();
    source.connect("before-send", false, move |values| {
        guarded(&learned, Some(true.to_value()), || {
            let message = values.get(1)?.get::<RTSPMessage>().ok()?;
            let mut learned = lock(&learned);
            // A redirect changes the source's own location before it goes there.
            let source = values.first()?.get::<gst::Element>().ok()?;
            let asked = source.property::<Option<String>>("location").and_then(|uri| self::host(&uri));
            if let (Some(ours), Some(asked)) = (&host, asked)
                && *ours != asked
            {
                let message = format!("the camera redirects to {asked}, and that is not followed here");
                learned.error = Some((ErrorCode::ForbiddenUri, message));
                return Some(false.to_value());
            }
            // The password comes into a message when it goes out: one that has it already went out before.
            let repeats = !message.parse_auth_credentials().is_empty();
            let accepted = learned.saw_video || learned.saw_other.is_some();
            // Held back, the refusal stands that was the last answer.
            Some((accepted || !repeats).to_value())
        })
    });
}

fn host(uri: &str) -> Option<String> {
    url::Url::parse(uri).ok()?.host_str().map(str::to_owned)
}

/// Asked only about a certificate that is not trusted: `rtspsrc` itself then says no more than that it can't connect.
fn refuse_certificates(source: &gst::Element, tap: &Tap) {
    let learned = tap.learned.clone();
    source.connect("accept-certificate", false, move |values| {
        guarded(&learned, Some(false.to_value()), || {
            let faults = values.get(3).and_then(gst::glib::FlagsValue::from_value);
            let faults: Vec<_> = faults.iter().flat_map(|(_, set)| set).map(|fault| fault.nick()).collect();
            lock(&learned).error = Some((ErrorCode::TlsFailed, why_untrusted(&faults)));
            Some(false.to_value())
        })
    });
}

/// By the nicks of `GTlsCertificateFlags`.
fn why_untrusted(faults: &[&str]) -> String {
    let mut reasons = Vec::new();
    for (nick, reason) in [
        ("unknown-ca", "is signed by nobody this machine trusts"),
        ("bad-identity", "is for another name"),
        ("not-activated", "is not valid yet"),
        ("expired", "has expired"),
        ("revoked", "was revoked"),
        ("insecure", "is insecure"),
    ] {
        if faults.contains(&nick) {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() {
        return "the camera's certificate is not accepted".to_owned();
    }
    format!("the camera's certificate {}", reasons.join(" and "))
}

/// Depayloader, parser and decoder for what the camera's SDP says it sends.
fn link_decoding(
    pipeline: &gst::Pipeline,
    convert: &gst::Element,
    pad: &gst::Pad,
    tap: &Tap,
) -> Result<(), (ErrorCode, String)> {
    let internal = |error: String| (ErrorCode::Internal, error);
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let structure = caps.structure(0);
    if structure.and_then(|s| s.get::<String>("media").ok()).as_deref() != Some("video") {
        return Ok(());
    }
    let encoding = structure.and_then(|s| s.get::<String>("encoding-name").ok()).unwrap_or_default();
    let names: &[&str] = match encoding.to_ascii_uppercase().as_str() {
        "H264" => &["rtph264depay", "h264parse", decoder_of(Codec::H264, tap)?],
        "H265" => &["rtph265depay", "h265parse", decoder_of(Codec::H265, tap)?],
        "JPEG" => &["rtpjpegdepay", "jpegdec"],
        "MP4V-ES" => &["rtpmp4vdepay", "mpeg4videoparse", "avdec_mpeg4"],
        other => {
            let message =
                format!("the camera sends {other}, which is not read; set it to H.264, H.265 or MJPEG");
            return Err((ErrorCode::CodecUnsupported, message));
        }
    };
    packets::watch(pad, structure, &encoding, tap);
    let mut chain = Vec::new();
    for name in names {
        chain.push(make(name).map_err(|error| (ErrorCode::CodecUnsupported, error))?);
    }
    if let Some(decoder) = chain.last() {
        tap.attach(decoder);
    }
    pipeline.add_many(&chain).map_err(|error| internal(error.to_string()))?;
    gst::Element::link_many(&chain).map_err(|error| internal(error.to_string()))?;
    if let (Some(first), Some(last)) = (chain.first(), chain.last()) {
        last.link(convert).map_err(|error| internal(error.to_string()))?;
        let target =
            first.static_pad("sink").ok_or_else(|| internal("a depayloader without a sink".into()))?;
        pad.link(&target).map_err(|error| internal(error.to_string()))?;
    }
    for element in chain.iter().rev() {
        element.sync_state_with_parent().map_err(|error| internal(error.to_string()))?;
    }
    Ok(())
}

fn decoder_of(codec: Codec, tap: &Tap) -> Result<&'static str, (ErrorCode, String)> {
    let Some(decoder) = decoders::best(codec, tap.in_software) else {
        let message = format!(
            "nothing that may decode {codec:?} is here; install gstreamer1.0-libav, or choose another --decoder than was chosen"
        );
        return Err((ErrorCode::CodecUnsupported, message));
    };
    if decoder == "libde265dec" {
        tracing::warn!("gstreamer1.0-libav is missing: H.265 is decoded by libde265dec at twice the cost");
    }
    Ok(decoder)
}
