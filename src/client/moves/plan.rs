//! Which cameras are moved, and how that is undone. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

use super::Share;

/// Ids that a sentence names; of more it says how many.
const NAMED: usize = 8;

/// Where cameras go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// To the pod with the most room in it.
    Pool(String),
    Pod(String),
}

/// Which are meant.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Choice {
    Ids(Vec<String>),
    Some {
        /// The pool that they are in.
        from: Option<String>,
        /// `NAME` or `NAME=VALUE`, all of them; the registry has looked at them.
        labels: Vec<String>,
        share: Option<Share>,
    },
}

/// A camera that is moved.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) id: String,
    /// Where it is.
    pub(super) pool: String,
    pub(super) pod: Option<String>,
    /// Its run, if it is running.
    pub(super) epoch: Option<u64>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) to: Place,
    choice: Choice,
    pub(super) steps: Vec<Step>,
    /// Meant, and there already.
    pub(super) there: Vec<String>,
    /// How many there were to choose from.
    pub(super) of: usize,
}

impl Plan {
    /// `views` are cameras as the API lists them: those that are named, or all that have the labels. An error names ids that
    /// are none.
    pub(super) fn of(to: Place, choice: Choice, views: &[Value]) -> Result<Self, String> {
        let cameras = views.iter().map(Step::of);
        let is_there = |step: &Step| match &to {
            Place::Pool(pool) => step.pool == *pool,
            Place::Pod(pod) => step.pod.as_ref() == Some(pod),
        };
        let (meant, of): (Vec<_>, _) = match &choice {
            Choice::Ids(ids) => {
                let known: BTreeMap<_, _> = cameras.map(|step| (step.id.clone(), step)).collect();
                let unknown: Vec<_> = ids.iter().filter(|id| !known.contains_key(*id)).cloned().collect();
                if !unknown.is_empty() {
                    return Err(format!(
                        "there is no camera {}; look with: sightline camera list",
                        named(&unknown)
                    ));
                }
                let ids: BTreeSet<_> = ids.iter().collect();
                let meant: Vec<_> = ids.into_iter().filter_map(|id| known.get(id).cloned()).collect();
                let of = meant.len();
                (meant, of)
            }
            Choice::Some { from, share, .. } => {
                // Who is there already was in that pool, or was not: nothing tells. So it counts as meant.
                let here =
                    |step: &Step| from.as_ref().is_none_or(|from| step.pool == *from) || is_there(step);
                let here: Vec<_> = cameras.filter(here).collect();
                let of = here.len();
                (
                    here.into_iter().filter(|step| share.is_none_or(|share| share.holds(&step.id))).collect(),
                    of,
                )
            }
        };
        let (there, steps): (Vec<_>, Vec<_>) = meant.into_iter().partition(is_there);
        let there = there.into_iter().map(|step| step.id).collect();
        Ok(Self { to, choice, steps, there, of })
    }

    /// How many of them run.
    pub(super) fn running(&self) -> usize {
        self.steps.iter().filter(|step| step.epoch.is_some()).count()
    }

    /// The commands that take these cameras back to where they were; a move by pool to whichever pod has the most room there.
    pub(super) fn undo<'p>(&self, moved: impl Iterator<Item = &'p Step>) -> Vec<String> {
        let mut back: BTreeMap<Place, Vec<&str>> = BTreeMap::new();
        for step in moved {
            let place = match (&self.to, &step.pod) {
                (Place::Pod(_), Some(pod)) => Place::Pod(pod.clone()),
                _ => Place::Pool(step.pool.clone()),
            };
            back.entry(place).or_default().push(&step.id);
        }
        if let (Choice::Some { labels, share, .. }, Place::Pool(to), 1, true) =
            (&self.choice, &self.to, back.len(), self.there.is_empty())
            && let Some((Place::Pool(was), _)) = back.first_key_value()
        {
            // The same choice out of the pool that they are in then are these and no others.
            let mut command = format!("sightline camera move --from {to} --pool {was}");
            labels.iter().for_each(|label| command.push_str(&format!(" --label {}", quoted(label))));
            if let Some(share) = share {
                command.push_str(&format!(" --share {share}"));
            }
            return vec![command];
        }
        let command = |(place, ids): (Place, Vec<&str>)| {
            let place = match place {
                Place::Pool(pool) => format!("--pool {pool}"),
                Place::Pod(pod) => format!("--pod {pod}"),
            };
            format!("sightline camera move {place} {}", ids.join(" "))
        };
        back.into_iter().map(command).collect()
    }

    /// Ids by the pool that they are in.
    pub(super) fn by_pool(&self) -> BTreeMap<&str, Vec<String>> {
        let mut pools: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        self.steps.iter().for_each(|step| pools.entry(&step.pool).or_default().push(step.id.clone()));
        pools
    }
}

impl Step {
    fn of(view: &Value) -> Self {
        let (spec, placement, status) = (&view["spec"], &view["placement"], &view["status"]);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            id: text(&spec["id"]).unwrap_or_default(),
            pool: text(&placement["pool"]).or_else(|| text(&spec["pool"])).unwrap_or_default(),
            pod: text(&placement["pod"]),
            epoch: status["epoch"].as_u64().filter(|_| status["state"] == "running"),
        }
    }
}

impl Place {
    /// As `:move` takes it; `from` is the pool that it is moved out of.
    pub(super) fn request(&self, from: &str) -> Value {
        match self {
            Self::Pool(pool) => json!({"pool": pool, "from": from}),
            Self::Pod(pod) => json!({"pod": pod, "from": from}),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(pool) => write!(f, "pool {pool}"),
            Self::Pod(pod) => write!(f, "pod {pod}"),
        }
    }
}

/// A few of them, and how many more.
pub(super) fn named(ids: &[String]) -> String {
    let more = ids.len().saturating_sub(NAMED);
    let first = ids.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:@%+,".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn view(id: &str, pool: &str, pod: &str) -> Value {
        json!({"spec": {"id": id, "pool": "default"}, "placement": {"pool": pool, "slot": 3, "pod": pod},
            "status": {"state": "running", "epoch": 7}})
    }

    fn to_night(choice: Choice, views: &[Value]) -> Plan {
        Plan::of(Place::Pool("night".into()), choice, views).unwrap()
    }

    fn some(from: Option<&str>, labels: &[&str], share: Option<&str>) -> Choice {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let share = share.map(|share| share.parse().unwrap());
        Choice::Some { from: from.map(str::to_owned), labels, share }
    }

    fn ids(plan: &Plan) -> Vec<&str> {
        plan.steps.iter().map(|step| step.id.as_str()).collect()
    }

    #[test]
    fn cameras_are_meant_by_name_or_by_where_they_are() {
        let mut views = vec![view("a", "default", "p-1"), view("b", "day", "p-2"), view("c", "night", "p-3")];
        views.push(json!({"spec": {"id": "d", "pool": "day"}, "status": {"state": "retrying", "epoch": 3}}));
        let named = to_night(Choice::Ids(vec!["c".into(), "a".into(), "a".into()]), &views);
        assert_eq!((ids(&named), named.there.as_slice(), named.of), (vec!["a"], &["c".to_owned()][..], 2));
        let day = to_night(some(Some("day"), &[], None), &views);
        assert_eq!(
            (ids(&day), day.running()),
            (vec!["b", "d"], 1),
            "one that is placed nowhere is in its own pool"
        );
        assert_eq!(ids(&to_night(some(None, &["site=hq"], None), &views)), ["a", "b", "d"]);
        let unknown = Choice::Ids(vec!["a".into(), "x".into()]);
        let refused = Plan::of(Place::Pool("night".into()), unknown, &views).unwrap_err();
        assert!(refused.starts_with("there is no camera x;"), "{refused}");
    }

    #[test]
    fn a_share_of_a_pool_grows_by_a_larger_share_of_what_is_left() {
        let mut views: Vec<_> = (0..200).map(|n| view(&format!("camera-{n}"), "default", "p")).collect();
        let mut moved = BTreeSet::new();
        for share in ["10%", "40%", "100%"] {
            let plan = to_night(some(Some("default"), &[], Some(share)), &views);
            let fits: Share = share.parse().unwrap();
            assert_eq!((plan.of, plan.there.len()), (200, moved.len()));
            moved.extend(plan.steps.iter().map(|step| step.id.clone()));
            let wanted = (0..200).map(|n| format!("camera-{n}")).filter(|id| fits.holds(id)).collect();
            assert_eq!(moved, wanted, "{share}");
            for view in &mut views {
                if moved.contains(view["spec"]["id"].as_str().unwrap()) {
                    view["placement"]["pool"] = "night".into();
                }
            }
        }
    }

    #[test]
    fn the_way_back_takes_these_cameras_and_no_others() {
        let undo = |plan: &Plan| plan.undo(plan.steps.iter());
        let views = [view("camera-5", "default", "p-1"), view("camera-20", "default", "p-2")];
        let all = to_night(some(Some("default"), &["site=hq", "floor=a b"], Some("10%")), &views);
        assert_eq!(
            undo(&all),
            [
                "sightline camera move --from night --pool default --label site=hq --label 'floor=a b' --share 10%"
            ]
        );
        // Who was there before would go, too: so they are named.
        let there = [&views[..], &[view("camera-35", "night", "p-3")]].concat();
        let named = to_night(some(Some("default"), &[], Some("10%")), &there);
        assert_eq!(undo(&named), ["sightline camera move --pool default camera-5 camera-20"]);
        // From several pools: one command for each.
        let pools = [&views[..], &[view("camera-35", "day", "p-3")]].concat();
        assert_eq!(
            undo(&to_night(some(None, &[], None), &pools)),
            [
                "sightline camera move --pool day camera-35",
                "sightline camera move --pool default camera-5 camera-20"
            ]
        );
        // To a pod: back to the pods.
        let choice = Choice::Ids(vec!["camera-5".into(), "camera-20".into()]);
        let to_pod = Plan::of(Place::Pod("p-9".into()), choice, &views).unwrap();
        assert_eq!(
            undo(&to_pod),
            ["sightline camera move --pod p-1 camera-5", "sightline camera move --pod p-2 camera-20"]
        );
        // What was not moved is not taken back.
        assert_eq!(to_pod.undo(to_pod.steps.iter().take(1)).len(), 1);
    }
}
