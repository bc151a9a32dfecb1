//! Query parameters: read once, each name known, and the filters made of them.

use percent_encoding::percent_decode_str;
use sightline_schema::CameraState;

use crate::problem::Problem;
use crate::state::Known;

/// The largest page.
const MOST: usize = 1000;
const USUAL: usize = 100;

/// Names and values, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn read(text: &str) -> Result<Self, Problem> {
        let decoded = |part: &str| {
            let spaced = part.replace('+', " ");
            let text = percent_decode_str(&spaced).decode_utf8().map(|text| text.into_owned());
            text.map_err(|_| Problem::unreadable("the query is not UTF-8; encode it so"))
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        });
        Ok(Self(pairs.collect::<Result<_, Problem>>()?))
    }

    /// That there are no others than these.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) if known.is_empty() => {
                Err(Problem::parameter(name, "is not known here", "there are no parameters"))
            }
            Some((name, _)) => {
                Err(Problem::parameter(name, "is not known here", format!("there are {}", known.join(", "))))
            }
        }
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// At most one.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (found, None) => Ok(found),
            (_, Some(_)) => Err(Problem::parameter(name, "is given twice", "give it once")),
        }
    }

    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let Some(given) = self.one("limit")? else { return Ok(USUAL) };
        let limit = given.parse().ok().filter(|limit| (1..=MOST).contains(limit));
        limit.ok_or_else(|| {
            Problem::parameter("limit", "is no number from 1 to 1000", "give one, such as 100")
        })
    }
}

/// Which cameras are meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    states: Vec<String>,
    /// Name, and value where one is asked for. All of them.
    labels: Vec<(String, Option<String>)>,
    pool: Option<String>,
    pod: Option<String>,
}

impl Filter {
    pub(crate) const NAMES: [&'static str; 4] = ["state", "label", "pool", "pod"];

    pub(crate) fn read(query: &Query) -> Result<Self, Problem> {
        let states: Vec<_> = query.all("state").flat_map(|list| list.split(',')).map(str::to_owned).collect();
        let known = |state: &&String| crate::state::states().any(|known| known == state.as_str());
        if let Some(unknown) = states.iter().find(|state| !known(state)) {
            let names: Vec<_> = CameraState::ALL.iter().map(|state| state.as_str()).collect();
            let next_step = format!("give {} or waiting", names.join(", "));
            return Err(Problem::parameter("state", format!("{unknown:?} is no state"), next_step));
        }
        let label = |text: &str| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.to_owned(), None),
        };
        Ok(Self {
            states,
            labels: query.all("label").map(label).collect(),
            pool: query.one("pool")?.map(str::to_owned),
            pod: query.one("pod")?.map(str::to_owned),
        })
    }

    /// `holder` is the live pod that holds the camera's slot; asked for only where it matters.
    pub(crate) fn fits(&self, known: &Known, holder: impl FnOnce() -> Option<String>) -> bool {
        let Some(camera) = &known.camera else { return false };
        let labelled = |(name, value): &(String, Option<String>)| {
            let found = camera.value.labels.get(name);
            found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        let runs_on = |pod: &String| {
            holder().as_ref() == Some(pod)
                || known.status.as_ref().is_some_and(|live| live.status.pod == *pod)
        };
        (self.states.is_empty() || self.states.iter().any(|state| state == known.state()))
            && self.labels.iter().all(labelled)
            && self.pool.as_deref().is_none_or(|pool| known.pool() == Some(pool))
            && self.pod.as_ref().is_none_or(runs_on)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use sightline_schema::Camera;

    use super::*;
    use crate::state::Lies;

    #[test]
    fn parameters_are_decoded_and_unknown_ones_named() {
        let query = Query::read("label=site%3Dhq&label=a+b&limit=7&state=running,retrying&&x").unwrap();
        assert_eq!(query.all("label").collect::<Vec<_>>(), ["site=hq", "a b"]);
        assert_eq!(query.limit().unwrap(), 7);
        assert!(query.one("label").unwrap_err().detail.contains("given twice"));
        assert!(query.only(&["label", "limit", "state"]).unwrap_err().detail.starts_with("x: is not known"));
        for bad in ["limit=0", "limit=1001", "limit=x", "limit="] {
            assert_eq!(Query::read(bad).unwrap().limit().unwrap_err().errors[0].field, "limit");
        }
        assert_eq!(Query::read("%ff=1").unwrap_err().status, 400);
    }

    #[test]
    fn filters_are_all_to_be_met() {
        let mut camera = Camera::new("gate", "x");
        camera.labels.insert("site".into(), "hq".into());
        let known = Known { camera: Some(Lies { value: Arc::new(camera), offset: 0 }), ..Known::default() };
        let fits = |text: &str| {
            let filter = Filter::read(&Query::read(text).unwrap()).unwrap();
            filter.fits(&known, || Some("p1".to_owned()))
        };
        for good in ["", "label=site=hq", "label=site", "pool=default", "pod=p1", "state=waiting,running"] {
            assert!(fits(good), "{good}");
        }
        for bad in
            ["label=site=x", "label=floor", "pool=gpu", "pod=p2", "state=running", "label=site&pool=gpu"]
        {
            assert!(!fits(bad), "{bad}");
        }
        assert!(Filter::read(&Query::read("state=fine").unwrap()).is_err());
    }
}
