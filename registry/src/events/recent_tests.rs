use super::*;
use crate::events::outbox::End;

fn watcher(query: &str) -> Watcher {
    let filter = Filter::read(&crate::api::query::Query::read(query).unwrap_or_default()).unwrap_or_default();
    Watcher { filter: Arc::new(filter), outbox: Outbox::new(Default::default()) }
}

/// All that lies in an outbox: an event's camera and offset, `live`, and the place behind each.
fn taken(watcher: &Watcher) -> Vec<(String, Vec<i64>)> {
    let mut taken = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let Ok(runtime) = runtime else { return taken };
    while !watcher.outbox.is_empty() {
        match runtime.block_on(watcher.outbox.next()) {
            Ok(Told::Happened { happened, cursor }) => {
                taken.push((happened.event.id.clone(), cursor::positions(&cursor).unwrap_or_default()));
            }
            Ok(Told::Live { cursor }) => {
                taken.push(("live".to_owned(), cursor::positions(&cursor).unwrap_or_default()));
            }
            Ok(Told::Cut) | Err(End::Slow | End::Unavailable(_)) => {}
        }
    }
    taken
}

fn names(watcher: &Watcher) -> Vec<String> {
    taken(watcher).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_watcher_goes_on_exactly_where_it_was_whatever_it_saw_in_between() {
    let mut state = State::default();
    let mut first = watcher("");
    assert_eq!(state.join(None, &first), Joined::Closed);
    state.open(&[10, 20]);
    assert_eq!(state.join(None, &first), Joined::Yes);
    for place in [(0, 10), (1, 20), (0, 11), (1, 22), (0, 12)] {
        state.tell(Happened::at(["a", "b"][place.0], place));
    }
    let all = taken(&first);
    let wanted = ["live", "a/10", "b/20", "a/11", "b/22", "a/12"];
    assert_eq!(all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), wanted);
    // From each place on, what comes behind it, once.
    for (i, (_, place)) in all.iter().enumerate() {
        let again = watcher("");
        assert_eq!(state.join(Some(place), &again), Joined::Yes);
        assert_eq!(names(&again), [&wanted[i + 1..], &["live"]].concat());
    }
    // A place that nobody gave here, but an own reader reached.
    let other = watcher("camera=a");
    assert_eq!(state.join(Some(&[11, 23]), &other), Joined::Yes);
    assert_eq!(
        taken(&other),
        [("a/11", [12, 23]), ("a/12", [13, 23]), ("live", [13, 23])]
            .map(|(name, place)| (name.to_owned(), place.to_vec()))
    );
    assert_eq!(state.join(Some(&[9, 20]), &other), Joined::Behind);
    assert_eq!(state.join(Some(&[14, 20]), &other), Joined::Ahead);
    assert_eq!(state.join(Some(&[10]), &other), Joined::Behind, "a topic of other partitions");
    first.outbox.leave();
    first = watcher("camera=b");
    state.join(None, &first);
    state.tell(Happened::at("a", (0, 13)));
    state.tell(Happened::at("b", (1, 23)));
    assert_eq!(names(&first), ["live", "b/23"]);
    for _ in 0..100 {
        let passing = watcher("");
        state.join(None, &passing);
        passing.outbox.leave();
    }
    assert!(
        state.watchers.len() < 20,
        "who left is forgotten, though nothing happens: {}",
        state.watchers.len()
    );
}

#[test]
fn what_stays_is_bounded_and_a_slow_watcher_disturbs_nobody() {
    let mut state = State::default();
    state.open(&[0, 0]);
    let (quick, slow) = (watcher(""), watcher(""));
    state.join(None, &quick);
    state.join(None, &slow);
    let mut told = 0;
    for n in 0..40_000 {
        state.tell(Happened::at("a", (n % 2, (n / 2) as i64)));
        if n % 100 == 99 {
            told += names(&quick).iter().filter(|name| *name != "live").count();
        }
    }
    assert_eq!(told, 40_000);
    assert!(slow.outbox.is_closed() && !quick.outbox.is_closed());
    assert_eq!(state.watchers.len(), 1);
    assert_eq!(state.recent.len(), RECENT);
    assert!(state.bytes <= RECENT_BYTES);
    let floor = 20_000 - (RECENT / 2) as i64;
    assert_eq!(state.floor, [floor; 2]);
    assert_eq!(state.join(Some(&[floor - 1, floor]), &quick), Joined::Behind);
    assert_eq!(state.join(Some(&[floor, 20_000]), &quick), Joined::Yes);
    assert_eq!(names(&quick).len(), RECENT / 2 + 1);
}
