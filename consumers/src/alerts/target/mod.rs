//! Where alerts go, and what an attempt comes to.

mod alertmanager;
mod http;
mod webhook;

use std::time::{Duration, SystemTime};

use sightline_schema::{Event, Timestamp};

pub(super) use self::http::Fault;
use self::http::{Answer, Client};
use super::address::Address;
use super::rules::Rule;
use super::secrets::{Bearer, Signing};
use super::spec::{KindSpec, TargetSpec};

/// The Alertmanager takes many at once.
const MOST_ALERTS: usize = 100;

/// An event with what it is an alert by.
pub(super) struct Alert<'a> {
    pub(super) event: &'a Event,
    /// As it came.
    pub(super) json: &'a [u8],
    /// In the order of the file, at least one.
    pub(super) rules: Vec<&'a Rule>,
}

/// What an attempt at one member came to.
#[derive(Debug)]
pub(super) enum Attempt {
    Taken,
    /// It will not take this, however often it is asked.
    Refused(Fault),
    /// It may at another time, not before this long.
    Later(Fault, Option<Duration>),
}

/// A target with its secrets at hand.
pub struct Target {
    pub(super) name: String,
    kind: Kind,
    bearer: Option<Bearer>,
    client: Client,
    pub(super) timeout: Duration,
    pub(super) give_up_after: Duration,
    pub(super) parallel: usize,
}

enum Kind {
    Webhook { address: Address, signing: Signing },
    Alertmanager { members: Vec<Address>, resolve_after: Duration },
}

impl Target {
    /// Reads its secrets: a file that can't be used is a refusal.
    pub fn open(spec: &TargetSpec) -> Result<Self, String> {
        let of = |field: &str, why: String| format!("target {}: {field}: {why}", spec.name);
        let kind = match &spec.kind {
            KindSpec::Webhook { address, secret_file } => Kind::Webhook {
                address: address.clone(),
                signing: Signing::open(secret_file.clone()).map_err(|why| of("secret_file", why))?,
            },
            KindSpec::Alertmanager { members, resolve_after } => {
                Kind::Alertmanager { members: members.clone(), resolve_after: *resolve_after }
            }
        };
        let bearer = spec.bearer_file.clone().map(Bearer::open).transpose();
        Ok(Self {
            name: spec.name.clone(),
            kind,
            bearer: bearer.map_err(|why| of("bearer_file", why))?,
            client: Client::new(spec.timeout, spec.parallel),
            timeout: spec.timeout,
            give_up_after: spec.give_up_after,
            parallel: spec.parallel,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// One, or the members of a cluster.
    pub(super) fn members(&self) -> &[Address] {
        match &self.kind {
            Kind::Webhook { address, .. } => std::slice::from_ref(address),
            Kind::Alertmanager { members, .. } => members,
        }
    }

    /// What an event with so many rules counts as.
    pub(super) fn alerts_of(&self, rules: usize) -> usize {
        match &self.kind {
            Kind::Webhook { .. } => 1,
            Kind::Alertmanager { .. } => rules,
        }
    }

    /// How many alerts one request may hold.
    pub(super) fn most_alerts(&self) -> usize {
        match &self.kind {
            Kind::Webhook { .. } => 1,
            Kind::Alertmanager { .. } => MOST_ALERTS,
        }
    }

    /// Asks these members, each in its turn. Once one has taken it, the others are waited for no longer than `SHORT`.
    pub(super) fn attempt(&self, members: &[usize], alerts: &[Alert<'_>]) -> Vec<Attempt> {
        /// A member that hangs should not hold up a cluster that took it.
        const SHORT: Duration = Duration::from_secs(2);
        let now = SystemTime::now();
        let body = match &self.kind {
            Kind::Webhook { .. } => alerts.first().map(webhook::body),
            Kind::Alertmanager { resolve_after, .. } => {
                Some(alertmanager::body(alerts, Timestamp::from_system_time(now), *resolve_after))
            }
        };
        let body = body.unwrap_or_default();
        let mut headers = match (&self.kind, alerts.first()) {
            (Kind::Webhook { signing, .. }, Some(alert)) => {
                webhook::headers(&alert.event.id, now, &body, &signing.secrets())
            }
            _ => Vec::new(),
        };
        headers.extend(self.bearer.as_ref().map(|bearer| ("authorization", bearer.authorization())));
        let mut taken = false;
        let mut ask = |member: &usize| {
            let Some(address) = self.members().get(*member) else { return Attempt::Taken };
            let timeout = if taken { SHORT.min(self.timeout) } else { self.timeout };
            let attempt = judge(self.client.post(address.url(), &headers, &body, timeout));
            taken |= matches!(attempt, Attempt::Taken);
            attempt
        };
        members.iter().map(&mut ask).collect()
    }
}

/// What is worth another attempt: silence, and answers that say so. The rest is this request's own fault.
fn judge(answer: Result<Answer, Fault>) -> Attempt {
    match answer {
        Ok(Answer { status: 200..=299, .. }) => Attempt::Taken,
        Ok(Answer { status, retry_after }) => match status {
            408 | 425 | 429 => Attempt::Later(Fault::Busy(status), retry_after),
            500.. => Attempt::Later(Fault::Server(status), retry_after),
            300..=399 => Attempt::Refused(Fault::Redirect(status)),
            _ => Attempt::Refused(Fault::Refused(status)),
        },
        Err(fault) => Attempt::Later(fault, None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_later_is_told_from_what_is_refused_for_good() {
        let of = |status| judge(Ok(Answer { status, retry_after: None }));
        for status in [200, 202, 204] {
            assert!(matches!(of(status), Attempt::Taken), "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(of(status), Attempt::Later(..)), "{status}");
        }
        for status in [301, 302, 303, 307, 308, 304, 400, 401, 403, 404, 410, 413, 422] {
            assert!(matches!(of(status), Attempt::Refused(_)), "{status}");
        }
        assert!(matches!(judge(Err(Fault::Timeout)), Attempt::Later(Fault::Timeout, None)));
    }
}
