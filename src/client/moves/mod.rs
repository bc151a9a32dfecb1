//! `sightline camera move`: cameras to another pool or pod, a few at a time, and the way back.

mod plan;
mod share;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Method;

use super::http::{Client, path_of};
use super::{camera, output};
use crate::cli::{FilterArgs, MoveArgs, Shape};
use crate::exit::{Code, Failure, Outcome};
use plan::{Choice, Place, Plan, Step, named};
pub(crate) use share::Share;

/// Of more cameras than these all are listed, instead of asking for each.
const ASKED_ALONE: usize = 20;
/// How long a camera may take until it runs in its new place.
const PATIENCE: Duration = Duration::from_secs(60);
/// A hand-over is over by then, whoever hands over to whom.
const HANDED_OVER: Duration = Duration::from_secs(11);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);

/// What became of one.
#[derive(Clone, Debug)]
enum Became {
    /// How long until it ran; `None` where nobody waited for it.
    Moved(Option<Duration>),
    /// It was moved, and does not run: why.
    Dark(String),
    Failed(String),
    /// It was not tried any more.
    Left,
}

pub(super) fn run(client: &Client, shape: Shape, args: MoveArgs) -> Outcome {
    let plan = plan(client, &args)?;
    let alive = pods(client, &plan.to)?;
    if alive.is_empty() && plan.running() > 0 && !args.no_wait {
        return Err(Failure::failed(format!(
            "no pod of {} lives, so nobody would run the {} of these cameras that run now; start one, or say --no-wait to \
             move them all the same",
            plan.to,
            plan.running()
        )));
    }
    if args.dry_run {
        let became = vec![Became::Left; plan.steps.len()];
        return tell(shape, &plan, &became, Some(&alive));
    }
    let waits = !args.no_wait && !alive.is_empty();
    let became = r#move(client, &plan, usize::from(args.at_once), waits);
    tell(shape, &plan, &became, None)?;
    let is_done = |became: &Became| matches!(became, Became::Moved(_));
    if became.iter().all(is_done) { Ok(()) } else { Err(Failure::silent(Code::Failed)) }
}

fn plan(client: &Client, args: &MoveArgs) -> Result<Plan, Failure> {
    let to = match (&args.pool, &args.pod) {
        (Some(pool), _) => Place::Pool(pool.clone()),
        (None, pod) => Place::Pod(pod.clone().unwrap_or_default()),
    };
    let is_chosen = args.from.is_some() || !args.label.is_empty() || args.share.is_some();
    if !is_chosen && args.ids.is_empty() {
        return Err(Failure::usage(
            "say which cameras: their ids, or --from POOL, --label NAME=VALUE, --share 10% (--share 100% is all)",
        ));
    }
    if let (Place::Pool(pool), Some(from)) = (&to, &args.from)
        && pool == from
    {
        return Err(Failure::usage(format!(
            "--from and --pool are both {pool}; they lead from one to another"
        )));
    }
    let (choice, views) = if is_chosen {
        let label = args.label.clone();
        let filter = FilterArgs { state: Vec::new(), label: label.clone(), pool: None, pod: None };
        let choice = Choice::Some { from: args.from.clone(), labels: label, share: args.share };
        (choice, camera::all(client, &filter)?)
    } else if args.ids.len() <= ASKED_ALONE {
        let views = args.ids.iter().map(|id| Ok(client.get(&path_of(id), &[])?.body));
        (Choice::Ids(args.ids.clone()), views.collect::<Result<_, Failure>>()?)
    } else {
        let filter = FilterArgs { state: Vec::new(), label: Vec::new(), pool: None, pod: None };
        (Choice::Ids(args.ids.clone()), camera::all(client, &filter)?)
    };
    Plan::of(to, choice, &views).map_err(Failure::failed)
}

/// The live pods of a place.
fn pods(client: &Client, place: &Place) -> Result<Vec<Value>, Failure> {
    let query: Vec<_> = match place {
        Place::Pool(pool) => vec![("pool", pool.clone())],
        Place::Pod(_) => Vec::new(),
    };
    let pods = client.get("/v1/pods", &query)?.body;
    let is_it = |pod: &Value| match place {
        Place::Pool(_) => true,
        Place::Pod(name) => pod["pod"]["pod"] == *name,
    };
    Ok(output::items(&pods).iter().filter(|pod| pod["alive"] == true && is_it(pod)).cloned().collect())
}

/// Moves all of them, so many at a time; each is waited for until it is handed over, if it ran before. Where one does not, no other is
/// moved any more.
fn r#move(client: &Client, plan: &Plan, at_once: usize, waits: bool) -> Vec<Became> {
    let became = Mutex::new(vec![Became::Left; plan.steps.len()]);
    let (next, halted) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        while !halted.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(step) = plan.steps.get(at) else { return };
            let one = move_one(client, &plan.to, step, waits);
            if !matches!(one, Became::Moved(_)) {
                halted.store(true, Ordering::Relaxed);
            }
            became.lock().unwrap_or_else(PoisonError::into_inner)[at] = one;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(plan.steps.len()) {
            scope.spawn(work);
        }
    });
    became.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn move_one(client: &Client, to: &Place, step: &Step, waits: bool) -> Became {
    let path = path_of(&step.id);
    if let Err(failure) = client.send(Method::POST, &format!("{path}:move"), &to.request(&step.pool)) {
        return Became::Failed(failure.message);
    }
    let Some(before) = step.epoch.filter(|_| waits) else { return Became::Moved(None) };
    let begun = Instant::now();
    let mut running: Option<Instant> = None;
    loop {
        let seen = match client.get(&path, &[]) {
            Ok(view) => view.body["status"].clone(),
            Err(failure) => json!({ "state": failure.message }),
        };
        if seen["state"] == "running" && seen["epoch"].as_u64().is_some_and(|epoch| epoch > before) {
            // It runs when its first result is ready, which waits until the run before has given its last: moved again in between,
            // it would have a gap.
            let since = *running.get_or_insert_with(Instant::now);
            if seen["last"].is_object() || since.elapsed() >= HANDED_OVER {
                return Became::Moved(Some(begun.elapsed()));
            }
        }
        if begun.elapsed() >= PATIENCE {
            let why = seen["error"]["message"].as_str().unwrap_or("nobody says why");
            let state = output::text(&seen["state"]);
            return Became::Dark(format!("not running after {} s ({state}: {why})", PATIENCE.as_secs()));
        }
        std::thread::sleep(LOOK);
    }
}

/// `pods` are those that would run them: it is a dry run then.
fn tell(shape: Shape, plan: &Plan, became: &[Became], pods: Option<&[Value]>) -> Outcome {
    let is_dry = pods.is_some();
    let is_moved = |became: &Became| matches!(became, Became::Moved(_) | Became::Dark(_));
    let pairs = || plan.steps.iter().zip(became);
    let moved: Vec<_> =
        pairs().filter(|(_, became)| is_dry || is_moved(became)).map(|(step, _)| step).collect();
    let undo = plan.undo(moved.iter().copied());
    let count = |fits: &dyn Fn(&Became) -> bool| became.iter().filter(|became| fits(became)).count();
    let item = |(step, became): (&Step, &Became)| {
        let (outcome, detail) = match became {
            Became::Left if is_dry => ("would_move", None),
            Became::Moved(_) => ("moved", None),
            Became::Dark(why) => ("dark", Some(why)),
            Became::Failed(why) => ("failed", Some(why)),
            Became::Left => ("left", None),
        };
        let mut item = json!({"id": step.id, "from": step.pool, "outcome": outcome});
        if let Became::Moved(Some(took)) = became {
            item["handed_over_after_s"] = ((took.as_secs_f64() * 1e3).round() / 1e3).into();
        }
        if let Some(why) = detail {
            item["detail"] = why.as_str().into();
        }
        item
    };
    let report = json!({
        "to": match &plan.to { Place::Pool(pool) => json!({"pool": pool}), Place::Pod(pod) => json!({"pod": pod}) },
        "dry_run": is_dry,
        "moved": count(&is_moved),
        "there": plan.there.len(),
        "failed": count(&|became| matches!(became, Became::Failed(_))),
        "left": if is_dry { 0 } else { count(&|became| matches!(became, Became::Left)) },
        "items": pairs().map(item).collect::<Vec<_>>(),
        "undo": undo,
    });
    output::show(shape, &report, |_| {
        let mut text = String::new();
        let mut line = |sentence: String| text.extend([sentence.as_str(), "\n"]);
        let there = plan.there.len();
        match pods {
            Some(pods) => {
                line(format!("{} of {} would move to {}", cameras(plan.steps.len()), plan.of, plan.to));
                plan.by_pool().iter().for_each(|(pool, ids)| line(format!("  from {pool}: {}", named(ids))));
                line(room(&plan.to, pods));
            }
            None if plan.steps.len() == 1 && moved.len() == 1 => {
                line(format!("camera {} is in {} now, and was in {}", moved[0].id, plan.to, moved[0].pool));
            }
            None => line(format!("{} of {} moved to {}", cameras(moved.len()), plan.of, plan.to)),
        }
        if there > 0 {
            line(format!(
                "{} there already",
                if there == 1 { "1 is".to_owned() } else { format!("{there} are") }
            ));
        }
        for (step, became) in pairs() {
            match became {
                Became::Dark(why) => line(format!("camera {} is moved, and {why}", step.id)),
                Became::Failed(why) => line(format!("camera {} is not moved: {why}", step.id)),
                Became::Moved(_) | Became::Left => {}
            }
        }
        let left = count(&|became| matches!(became, Became::Left));
        if !is_dry && left > 0 {
            line(format!("{} not tried any more; say the same again when that is mended", cameras(left)));
        }
        let when = if is_dry { "back, then" } else { "back" };
        undo.iter().for_each(|command| line(format!("{when}: {command}")));
        text
    })
}

fn cameras(count: usize) -> String {
    if count == 1 { "1 camera".to_owned() } else { format!("{count} cameras") }
}

/// What the pods of a place can do, beside what they do.
fn room(place: &Place, pods: &[Value]) -> String {
    let sum = |field: &str| pods.iter().filter_map(|pod| pod["pod"][field].as_f64()).sum::<f64>();
    match pods.len() {
        0 => format!("no pod of {place} lives: nobody runs them there yet"),
        count => format!(
            "{place}: {count} pod{} live{}, {:.1} of {:.1} frames/s are wanted of them",
            if count == 1 { "" } else { "s" },
            if count == 1 { "s" } else { "" },
            sum("wanted_fps"),
            sum("capacity_fps")
        ),
    }
}
