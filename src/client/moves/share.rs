//! A share of the cameras, by their ids alone.

use std::fmt;
use std::str::FromStr;

/// More than nothing and at most all: 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share(f64);

impl Share {
    /// Whether a camera is in it. Says the same for ever and everywhere, of whatever other cameras there are, and yes of every
    /// larger share, too.
    pub(crate) fn holds(self, id: &str) -> bool {
        self.0 >= 1.0 || (hash(id) as f64) / 2_f64.powi(64) < self.0
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let percent = given.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match percent {
            Some(percent) if percent > 0.0 && percent <= 100.0 => Ok(Self(percent / 100.0)),
            _ => Err("give a share such as 10%, more than 0% and at most 100%".to_owned()),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of the percent that was given, not of what dividing left.
        write!(f, "{}%", (self.0 * 1e8).round() / 1e6)
    }
}

/// FNV-1a, and the last step of MurmurHash3 (`fmix64`) behind it: ids that differ in their last letter alone are far apart.
/// Not the hash of slots: a share is spread over all of them.
fn hash(id: &str) -> u64 {
    let fnv = id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn share(text: &str) -> Share {
        text.parse().unwrap()
    }

    #[test]
    fn a_share_is_percent() {
        for text in ["10%", "0.1%", "33.3%", "100%", "7%"] {
            assert_eq!(share(text).to_string(), text);
        }
        for bad in ["10", "0%", "-1%", "101%", "%", "a%", "NaN%", "0.1"] {
            assert!(bad.parse::<Share>().unwrap_err().contains("such as 10%"), "{bad}");
        }
    }

    #[test]
    fn a_larger_share_holds_a_smaller_one_and_each_is_as_large_as_it_says() {
        let ids: Vec<_> = (0..10_000).map(|n| format!("camera-{n}")).collect();
        let of = |text: &str| ids.iter().filter(|id| share(text).holds(id)).collect::<Vec<_>>();
        let mut smaller = Vec::new();
        for percent in [1.0, 5.0, 10.0, 25.0, 50.0, 90.0, 100.0] {
            let larger = of(&format!("{percent}%"));
            assert!(smaller.iter().all(|id| larger.contains(id)), "{percent} %");
            let off = larger.len() as f64 / 100.0 - percent;
            assert!(off.abs() < 1.5, "{percent} % are {} of 10,000", larger.len());
            smaller = larger;
        }
        assert_eq!(smaller.len(), ids.len());
    }

    /// What was chosen before an upgrade is chosen behind it.
    #[test]
    fn a_share_is_the_same_for_ever() {
        let chosen: Vec<_> =
            (0..40).map(|n| format!("gate-{n}")).filter(|id| share("10%").holds(id)).collect();
        assert_eq!(chosen, ["gate-20", "gate-24", "gate-29"]);
    }
}
