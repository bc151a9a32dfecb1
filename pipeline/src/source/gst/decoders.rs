//! Which decoder a stream gets: by GStreamer's ranks, which `decodebin3` goes by, too. They are the process's.

use std::fmt;
use std::str::FromStr;

use gst::prelude::*;
use gstreamer as gst;

/// What a person asks for with `--decoder`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DecoderChoice {
    /// Hardware that opens, first NVIDIA's, then VA-API's; else software.
    #[default]
    Auto,
    Software,
    Is(Hardware),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hardware {
    Nvdec,
    Vaapi,
}

/// What hardware is asked for. Other codecs are decoded in software, whatever the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    H264,
    H265,
}

const CODECS: [Codec; 2] = [Codec::H264, Codec::H265];

/// What keeps hardware from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    Plugin,
    /// The plugin registers its decoders only where it finds what runs them.
    Device,
    DoesNotOpen,
}

impl FromStr for DecoderChoice {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let all = [Self::Auto, Self::Software, Self::Is(Hardware::Nvdec), Self::Is(Hardware::Vaapi)];
        let found = all.into_iter().find(|choice| choice.to_string() == given);
        found.ok_or_else(|| format!("no decoder {given}; there are auto, software, nvdec, vaapi"))
    }
}

impl fmt::Display for DecoderChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Software => "software",
            Self::Is(Hardware::Nvdec) => "nvdec",
            Self::Is(Hardware::Vaapi) => "vaapi",
        })
    }
}

impl Hardware {
    const ALL: [Self; 2] = [Self::Nvdec, Self::Vaapi];

    /// Its elements, the better first: GStreamer has two generations of each.
    const fn elements(self, codec: Codec) -> [&'static str; 2] {
        match (self, codec) {
            (Self::Nvdec, Codec::H264) => ["nvh264dec", "nvh264sldec"],
            (Self::Nvdec, Codec::H265) => ["nvh265dec", "nvh265sldec"],
            (Self::Vaapi, Codec::H264) => ["vah264dec", "vaapih264dec"],
            (Self::Vaapi, Codec::H265) => ["vah265dec", "vaapih265dec"],
        }
    }

    const fn plugin(self) -> &'static str {
        match self {
            Self::Nvdec => "nvcodec",
            Self::Vaapi => "va",
        }
    }

    /// Why it can't be used, and what to do. `capabilities` is what `NVIDIA_DRIVER_CAPABILITIES` says.
    fn refusal(self, lack: Lack, capabilities: Option<&str>) -> String {
        let name = DecoderChoice::Is(self);
        let (plugin, [element, _]) = (self.plugin(), self.elements(Codec::H264));
        let found = match lack {
            Lack::Plugin => {
                return format!(
                    "decoder {name}: GStreamer has no plugin {plugin}; install gstreamer1.0-plugins-bad, or choose \
                     --decoder auto"
                );
            }
            Lack::Device => {
                format!("the plugin {plugin} is there and finds nothing to decode on ({element} is missing)")
            }
            Lack::DoesNotOpen => format!("{element} is there and does not open"),
        };
        let needs = match self {
            Self::Nvdec => {
                let has = |capabilities: &str| {
                    capabilities.split(',').any(|one| matches!(one.trim(), "video" | "all"))
                };
                let said = match capabilities {
                    Some(said) if has(said) => String::new(),
                    Some(said) => format!(", and is {said:?} here"),
                    None => ", and is not set here".to_owned(),
                };
                format!(
                    "it needs an NVIDIA GPU and the driver's libnvcuvid.so.1; in a container NVIDIA_DRIVER_CAPABILITIES must \
                     contain video{said}"
                )
            }
            Self::Vaapi => {
                "it needs a render node (/dev/dri/renderD128) that this user may open, and the driver for it \
                            (intel-media-va-driver, mesa-va-drivers)"
                    .to_owned()
            }
        };
        format!("decoder {name}: {found}; {needs}; mend that, or choose --decoder auto")
    }
}

/// In software, the better first.
const fn software(codec: Codec) -> &'static [&'static str] {
    match codec {
        Codec::H264 => &["avdec_h264"],
        // libav's takes half the time of libde265.
        Codec::H265 => &["avdec_h265", "libde265dec"],
    }
}

/// The elements that may decode a codec, the best first, of those that can be used. Pure.
fn order(choice: DecoderChoice, codec: Codec, is_usable: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let hardware = Hardware::ALL.into_iter().filter(|one| match choice {
        DecoderChoice::Auto => true,
        DecoderChoice::Software => false,
        DecoderChoice::Is(asked) => *one == asked,
    });
    let software = match choice {
        DecoderChoice::Is(_) => &[],
        DecoderChoice::Auto | DecoderChoice::Software => software(codec),
    };
    let all = hardware.flat_map(|one| one.elements(codec)).chain(software.iter().copied());
    all.filter(|element| is_usable(element)).collect()
}

/// From now on this process decodes so. An error is a sentence that says what is missing.
pub fn choose(choice: DecoderChoice) -> Result<(), String> {
    if let DecoderChoice::Is(hardware) = choice {
        let elements = CODECS.into_iter().flat_map(|codec| hardware.elements(codec));
        let registered: Vec<_> = elements.filter(|element| factory(element).is_some()).collect();
        let lack = match registered.as_slice() {
            [] if gst::Registry::get().find_plugin(hardware.plugin()).is_none() => Some(Lack::Plugin),
            [] => Some(Lack::Device),
            some if some.iter().any(|element| opens(element)) => None,
            _ => Some(Lack::DoesNotOpen),
        };
        if let Some(lack) = lack {
            let capabilities = std::env::var("NVIDIA_DRIVER_CAPABILITIES").ok();
            return Err(hardware.refusal(lack, capabilities.as_deref()));
        }
    }
    if choice == DecoderChoice::Software {
        // Whatever hardware there is, by whatever plugin.
        let kinds = gst::ElementFactoryType::DECODER | gst::ElementFactoryType::MEDIA_VIDEO;
        for factory in gst::ElementFactory::factories_with_type(kinds, gst::Rank::MARGINAL) {
            if factory.metadata("klass").is_some_and(|class| class.contains("Hardware")) {
                factory.set_rank(gst::Rank::NONE);
            }
        }
    }
    for codec in CODECS {
        let is_software = |element: &str| software(codec).contains(&element);
        let usable = order(choice, codec, |element| is_software(element) || opens(element));
        let known = Hardware::ALL.into_iter().flat_map(|one| one.elements(codec));
        for element in known.chain(software(codec).iter().copied()) {
            let Some(factory) = factory(element) else { continue };
            match usable.iter().position(|one| *one == element) {
                None => factory.set_rank(gst::Rank::NONE),
                // Software keeps the rank it has, below.
                Some(_) if is_software(element) => {}
                Some(at) => factory.set_rank(gst::Rank::PRIMARY + 16 - at as i32),
            }
        }
        tracing::debug!(?codec, ?usable, "decoders");
    }
    Ok(())
}

/// The best element for a codec. `in_software`: hardware was tried in vain.
pub(super) fn best(codec: Codec, in_software: bool) -> Option<&'static str> {
    let hardware = Hardware::ALL.into_iter().flat_map(|one| one.elements(codec)).filter(|_| !in_software);
    let ranked = hardware.chain(software(codec).iter().copied()).filter_map(|element| {
        let rank = factory(element)?.rank();
        (rank > gst::Rank::NONE).then_some((rank, element))
    });
    // The first of equals.
    let best = ranked.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, element)| element)
}

/// The codec that an element decodes in hardware, where software may do it instead.
pub(super) fn could_be_software(element: &str) -> bool {
    let codec = CODECS
        .into_iter()
        .find(|codec| Hardware::ALL.into_iter().any(|one| one.elements(*codec).contains(&element)));
    codec.is_some_and(|codec| best(codec, true).is_some())
}

fn factory(element: &str) -> Option<gst::ElementFactory> {
    gst::ElementFactory::find(element)
}

/// Whether it gets hold of its device.
fn opens(element: &str) -> bool {
    let Ok(element) = gst::ElementFactory::make(element).build() else { return false };
    let opened = element.set_state(gst::State::Ready).is_ok();
    // Nothing runs yet that could refuse to stop.
    let _ = element.set_state(gst::State::Null);
    opened
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NVDEC: DecoderChoice = DecoderChoice::Is(Hardware::Nvdec);
    const VAAPI: DecoderChoice = DecoderChoice::Is(Hardware::Vaapi);

    #[test]
    fn names_read_back() {
        for name in ["auto", "software", "nvdec", "vaapi"] {
            assert_eq!(name.parse::<DecoderChoice>().unwrap().to_string(), name);
        }
        assert!("cuda".parse::<DecoderChoice>().unwrap_err().contains("nvdec, vaapi"));
    }

    #[test]
    fn the_best_of_what_can_be_used_comes_first_and_what_was_asked_for_alone() {
        let of = |choice, codec, usable: &[&str]| order(choice, codec, |element| usable.contains(&element));
        let all = ["vah264dec", "avdec_h264", "nvh264dec", "nvh264sldec", "avdec_h265", "libde265dec"];
        let (h264, h265) = (Codec::H264, Codec::H265);
        assert_eq!(
            of(DecoderChoice::Auto, h264, &all),
            ["nvh264dec", "nvh264sldec", "vah264dec", "avdec_h264"]
        );
        assert_eq!(of(DecoderChoice::Auto, h264, &["vah264dec", "avdec_h264"]), ["vah264dec", "avdec_h264"]);
        assert_eq!(of(DecoderChoice::Auto, h265, &all), ["avdec_h265", "libde265dec"]);
        assert_eq!(of(DecoderChoice::Software, h264, &all), ["avdec_h264"]);
        assert_eq!(of(NVDEC, h264, &all), ["nvh264dec", "nvh264sldec"]);
        assert_eq!(of(VAAPI, h264, &all), ["vah264dec"]);
        assert!(of(NVDEC, h265, &all).is_empty(), "what was asked for, or nothing");
    }

    #[test]
    fn a_refusal_names_what_is_missing() {
        let says = |lack, capabilities: Option<&str>, words: &[&str]| {
            let sentence = Hardware::Nvdec.refusal(lack, capabilities);
            words.iter().for_each(|word| assert!(sentence.contains(word), "{word}: {sentence}"));
            sentence
        };
        says(Lack::Plugin, None, &["no plugin nvcodec", "gstreamer1.0-plugins-bad", "--decoder auto"]);
        let utility = Some("compute,utility");
        says(
            Lack::Device,
            utility,
            &["nvh264dec is missing", "must contain video, and is \"compute,utility\" here"],
        );
        says(Lack::Device, None, &["NVIDIA_DRIVER_CAPABILITIES must contain video, and is not set here"]);
        for enough in ["compute,utility,video", "all", "video"] {
            let sentence = says(Lack::DoesNotOpen, Some(enough), &["does not open", "must contain video;"]);
            assert!(!sentence.contains(" here"), "{sentence}");
        }
        let vaapi = Hardware::Vaapi.refusal(Lack::Device, None);
        assert!(vaapi.contains("/dev/dri/renderD128") && !vaapi.contains("NVIDIA"), "{vaapi}");
    }
}
