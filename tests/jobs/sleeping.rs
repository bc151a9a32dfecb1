//! A worker that sleeps with a word on its tongue.

use crate::clips::{Coding, Part};
use crate::kcat;
use crate::queue::*;
use crate::scene::*;
use crate::sightline::{Sightline, wait_for};

#[test]
#[cfg_attr(not(debug_assertions), ignore = "builds without assertions do not stop themselves")]
fn a_worker_that_was_replaced_while_it_slept_does_not_have_the_last_word() {
    let _stage = stage();
    let broker = started();
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = &broker.bootstrap;
    let part = Part { offset: 0, frames: 60, size: (640, 360), coding: Coding::H264Mp4 };
    let file = part.make(folder.path(), "clip").to_string_lossy().into_owned();
    add(bootstrap, 0, &job("job-a", &file));
    let mut command = worker_command(bootstrap, folder.path(), &["--pod", "first"]);
    // It has claimed the job, and is about to say that it runs.
    command.env("SIGHTLINE_STOP_AT", "job-said");
    let mut first = Sightline::spawn(command);
    first.wait_for_line("stopped at job-said");
    let second = worker(bootstrap, folder.path(), &["--pod", "second"]);
    wait_for("the second to do it", || (state(bootstrap, "job-a") == "done").then_some(()));
    first.signal("CONT");
    first.wait_for_line("another worker has claimed it");
    let said = kcat::read(bootstrap, STATUS).into_iter().filter(|record| record.key == "job-a");
    let said: Vec<_> =
        said.map(|record| format!("{} by {}", record.value["state"], record.value["pod"])).collect();
    assert_eq!(said.last().unwrap(), r#""done" by "second""#, "{said:?}");
    for worker in [first, second] {
        worker.signal("TERM");
        let (status, said) = worker.wait();
        assert!(status.success(), "{said}");
    }
}

/// Who was taken for dead, and whose job was cancelled meanwhile, does not commit it once more: what was done behind it would be
/// to be done again.
#[test]
#[cfg_attr(not(debug_assertions), ignore = "builds without assertions do not stop themselves")]
fn a_worker_whose_job_was_cancelled_while_it_slept_takes_no_offset_back() {
    let _stage = stage();
    let broker = started();
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = &broker.bootstrap;
    let part = Part { offset: 0, frames: 60, size: (640, 360), coding: Coding::H264Mp4 };
    let file = part.make(folder.path(), "clip").to_string_lossy().into_owned();
    for id in ["job-a", "job-b", "job-c"] {
        add(bootstrap, 0, &job(id, &file));
    }
    let mut command = worker_command(bootstrap, folder.path(), &["--pod", "first"]);
    command.env("SIGHTLINE_STOP_AT", "job-said");
    let mut first = Sightline::spawn(command);
    first.wait_for_line("stopped at job-said");
    cancel(bootstrap, "job-a");
    let second = worker(bootstrap, folder.path(), &["--pod", "second"]);
    wait_until_done(bootstrap, JOBS_GROUP);
    // The partition may be its own again when it comes to settle.
    second.signal("TERM");
    second.wait();
    first.signal("CONT");
    first.wait_for_line("or said that it is over");
    first.signal("TERM");
    let (status, said) = first.wait();
    assert!(status.success(), "{said}");
    let cancels = kcat::read(bootstrap, STATUS)
        .into_iter()
        .filter(|record| record.key == "job-a" && record.value["state"] == "cancelled");
    let by: Vec<_> = cancels.map(|record| record.value["pod"].clone()).collect();
    assert_eq!(by, ["second"]);
    assert_eq!(lag(bootstrap, JOBS_GROUP), 0);
    for id in ["job-b", "job-c"] {
        assert_eq!(state(bootstrap, id), "done");
    }
}
