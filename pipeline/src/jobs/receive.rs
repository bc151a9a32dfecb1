//! Records as they come: read, checked, put in line.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Deserialize;
use sightline_schema::{Job, JobSpec, Timestamp};
use sightline_service::kafka::Batch;

use super::Worker;
use super::queue::{Content, Pending, Queue};

/// Longer ones are nobody's: what is said of a job holds all that is in its record and more, and the broker has to take it.
const MOST: usize = 256 * 1024;

/// What a record has to say at the least, so that a person can be told what is wrong with it.
#[derive(Deserialize)]
struct Least {
    id: String,
    uri: String,
    pool: Option<String>,
    start: Timestamp,
    attempt: Option<u32>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// What a record says it is.
#[derive(Deserialize)]
struct Named {
    schema: Option<String>,
}

impl Worker {
    pub(super) fn receive(&mut self, batch: &Batch) {
        let partition = (batch.topic.to_string(), batch.partition);
        let Some(queue) = self.queues.get_mut(&partition) else { return };
        for record in batch.records() {
            let content = read(record.value);
            if let Content::Unreadable(why) = &content {
                self.dead_letters.send(&batch.tailed(&record), why);
            }
            let (received, timestamp_ms) = (Instant::now(), record.timestamp_ms);
            queue.push(Pending {
                offset: record.offset,
                timestamp_ms,
                content,
                received,
                head_since: received,
            });
        }
        self.regulate(&partition);
    }

    /// Reads no further where enough waits, and on where it does not.
    pub(super) fn regulate(&self, partition: &(String, i32)) {
        match self.queues.get(partition).is_some_and(Queue::is_full) {
            true => self.reader.hold(partition),
            false => self.reader.release(partition),
        }
    }
}

/// What a record is.
pub(super) fn read(value: Option<&[u8]>) -> Content {
    let Some(value) = value else { return Content::Unreadable("it has no value".to_owned()) };
    if value.len() > MOST {
        return Content::Unreadable(format!("it has {} bytes, more than the {MOST} of a job", value.len()));
    }
    // What is derived does not look at it.
    let named = serde_json::from_slice::<Named>(value).ok().and_then(|named| named.schema);
    if let Some(other) = named.filter(|schema| schema != Job::schema_name()) {
        return Content::Unreadable(format!("{other} is not known to this version; upgrade the workers"));
    }
    let (job, error) = match serde_json::from_slice::<Job>(value) {
        Ok(job) => (job, None),
        Err(error) => match serde_json::from_slice::<Least>(value) {
            Ok(least) => (least.job(), Some(error.to_string())),
            Err(_) => return Content::Unreadable(format!("no job/1: {error}")),
        },
    };
    match job.validate() {
        // A status under such an id would be of something else.
        Err(error) if error.field == "id" => Content::Unreadable(error.to_string()),
        Err(error) => Content::Refused(job, error.to_string()),
        Ok(()) => match error {
            Some(error) => Content::Refused(job, error),
            None => Content::Job(job),
        },
    }
}

impl Least {
    fn job(self) -> Job {
        let Self { id, uri, pool, start, attempt, labels } = self;
        Job {
            id,
            uri,
            pool: pool.unwrap_or_else(|| "default".to_owned()),
            start,
            spec: JobSpec::default(),
            labels,
            attempt: attempt.unwrap_or(1),
            not_before: None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_job_or_says_why_it_is_none() {
        let least = r#""id":"job-a","uri":"a.mp4","start":"2026-11-23T18:40:12.033Z""#;
        let of = |rest: &str| read(Some(format!("{{{least}{rest}}}").as_bytes()));
        assert!(matches!(of(r#","schema":"job/2""#), Content::Unreadable(_)), "of a later version");
        assert!(matches!(of(""), Content::Job(_)), "its header says what it is");
        let Content::Job(job) = of(r#","schema":"job/1""#) else { panic!("not read") };
        assert_eq!((job.attempt, job.pool.as_str()), (1, "default"));
        for (rest, field) in [
            (r#","schema":"job/1","spec":{"zone":[]}"#, "zone"),
            (r#","schema":"job/1","spec":{"sampling":{"mode":"fps","fps":0}}"#, "spec.sampling.fps"),
            (r#","schema":"job/1","attempt":0"#, "attempt"),
        ] {
            let Content::Refused(job, why) = of(rest) else { panic!("{rest}") };
            assert!(job.id == "job-a" && why.contains(field), "{why}");
        }
        for bytes in [
            &b"{"[..],
            b"[]",
            br#"{"schema":"job/1","id":"gate-3","uri":"a","start":"2026-11-23T18:40:12Z"}"#,
        ] {
            assert!(matches!(read(Some(bytes)), Content::Unreadable(_)));
        }
        assert!(matches!(read(None), Content::Unreadable(_)));
        // Its status would be more than the broker takes, and it would be taken again and again.
        let long = "a".repeat(MOST);
        assert!(matches!(of(&format!(r#","labels":{{"a":"{long}"}}"#)), Content::Unreadable(_)));
    }
}
