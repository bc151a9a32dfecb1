//! Whose a topic's place is: of the first group that archives there, until somebody takes its mark away.

use serde::{Deserialize, Serialize};

/// The mark, beside the days. Readers of such folders pass over what begins with an underscore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    pub(super) topic: String,
    /// As Kafka knows it.
    pub(super) group: String,
    /// Kafka's own name for itself: another one has other offsets.
    pub(super) cluster: String,
}

impl Owner {
    /// Below the archive's root.
    pub(super) fn path(&self) -> String {
        format!("{}/_owner.json", self.topic)
    }

    pub(super) fn mark(&self) -> Vec<u8> {
        // Texts can always be written.
        let mut mark = serde_json::to_vec(self).unwrap_or_default();
        mark.push(b'\n');
        mark
    }

    /// Why a place with this mark is not ours. `None` where it is.
    pub(super) fn refusal(&self, mark: &[u8], place: &str) -> Option<String> {
        let at = format!("{} in {place}", self.topic);
        let Ok(found) = serde_json::from_slice::<Self>(mark) else {
            return Some(format!(
                "{} in {place} does not say whose the place is; look at what wrote it, and give another --to, or remove it",
                self.path()
            ));
        };
        if found.cluster != self.cluster {
            return Some(format!(
                "{at} is of another Kafka (cluster {}, and this is {}): its offsets are others, and files would take each other's \
                 place; give this one a --to of its own",
                found.cluster, self.cluster
            ));
        }
        (found.group != self.group).then(|| {
            format!(
                "{at} is of the group {}, and this is {}: two groups in one place have each record twice; give this one a --to of its \
                 own, or take the place over as docs/OPERATIONS.md says (\"Taking a place over\")",
                found.group, self.group
            )
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn owner(group: &str, cluster: &str) -> Owner {
        Owner { topic: "acme.events".into(), group: group.into(), cluster: cluster.into() }
    }

    #[test]
    fn a_place_is_its_groups_alone() {
        let ours = owner("a", "k1");
        assert_eq!(ours.path(), "acme.events/_owner.json");
        assert_eq!(ours.refusal(&ours.mark(), "s3://x"), None);
        // A later version may say more.
        let later = br#"{"topic":"acme.events","group":"a","cluster":"k1","since":"2027"}"#;
        assert_eq!(ours.refusal(later, "s3://x"), None);
        for (mark, why) in [
            (owner("b", "k1").mark(), "acme.events in s3://x is of the group b, and this is a"),
            (owner("a", "k2").mark(), "of another Kafka (cluster k2, and this is k1)"),
            (b"{}".to_vec(), "acme.events/_owner.json in s3://x does not say whose"),
            (Vec::new(), "does not say whose"),
        ] {
            let refusal = ours.refusal(&mark, "s3://x").unwrap();
            assert!(
                refusal.contains(why)
                    && refusal.contains("another --to") | refusal.contains("a --to of its own"),
                "{refusal}"
            );
        }
    }
}
