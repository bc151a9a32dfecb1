//! Consumers, the broker and the database die: nothing is to be seen of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::chance::{Chance, setting};
use crate::postgres::Postgres;
use crate::scene::*;

/// Consumers are killed, put to sleep past their session, the broker and the database are killed, while records come; events
/// and tables are those of consumers that nothing happened to, byte by byte.
#[test]
fn consumers_that_die_and_sleep_give_the_same_events_and_rows() {
    let _stage = stage();
    let seconds = setting("EVENT_SECONDS", 60);
    let records = copies(recorded(), 24);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let base_ms = now.as_millis() as i64 - 60_000;
    let Undisturbed { events: undisturbed, orders: undisturbed_orders, tables: undisturbed_tables } =
        undisturbed(&records, base_ms);
    assert!(undisturbed.len() > 24 * 100, "{}", undisturbed.len());

    let (mut broker, mut database) = (started(), Postgres::start());
    let bootstrap = broker.bootstrap.clone();
    let mut chance = Chance::by("EVENT_SEED");
    // The first three make events, the others rows.
    let made = |who: usize, database: &Postgres| match who {
        0..3 => consumer(&bootstrap, &[]),
        _ => store(&bootstrap, database, &[]),
    };
    let mut consumers: Vec<_> = (0..5).map(|who| made(who, &database)).collect();
    let over = Duration::from_secs(seconds);
    let begun = Instant::now();
    let (mut kills, mut sleeps, mut restarts, mut outages) = (0, 0, 0, 0);
    let mut added = Vec::new();
    std::thread::scope(|scope| {
        let playing = scope.spawn(|| play(&bootstrap, &records, over, base_ms));
        let mut asleep: Option<(usize, Instant)> = None;
        while begun.elapsed() < over || !playing.is_finished() {
            std::thread::sleep(Duration::from_millis(2000 + chance.below(3000) as u64));
            let done = begun.elapsed().as_secs_f64() / over.as_secs_f64();
            if let Some((who, since)) = asleep
                && since.elapsed() > Duration::from_secs(14)
            {
                println!("{:>5.1} s: consumer {who} wakes", begun.elapsed().as_secs_f64());
                consumers[who].signal("CONT");
                asleep = None;
            }
            if added.is_empty() && done > 0.8 {
                println!("{:>5.1} s: one more of each comes", begun.elapsed().as_secs_f64());
                added.extend([0, 3].map(|who| made(who, &database)));
            }
            let who = chance.below(consumers.len());
            let is_asleep = asleep.is_some_and(|(sleeper, _)| sleeper == who);
            if restarts == 0 && done > 0.5 {
                println!("{:>5.1} s: the broker is killed", begun.elapsed().as_secs_f64());
                broker.kill9();
                std::thread::sleep(Duration::from_secs(2));
                broker.start_again();
                restarts += 1;
            } else if outages == 0 && done > 0.3 {
                println!("{:>5.1} s: the database is killed", begun.elapsed().as_secs_f64());
                database.stop_at_once();
                std::thread::sleep(Duration::from_secs(3));
                database.start_again();
                outages += 1;
            } else if asleep.is_none() && sleeps < 2 && done > [0.1, 0.6][sleeps] {
                println!("{:>5.1} s: consumer {who} sleeps", begun.elapsed().as_secs_f64());
                consumers[who].signal("STOP");
                asleep = Some((who, Instant::now()));
                sleeps += 1;
            } else if !is_asleep {
                println!("{:>5.1} s: consumer {who} is killed", begun.elapsed().as_secs_f64());
                consumers[who].signal("KILL");
                consumers[who] = made(who, &database);
                kills += 1;
            }
        }
        if let Some((who, _)) = asleep {
            consumers[who].signal("CONT");
        }
    });
    assert!(
        kills >= 3 && sleeps >= 1 && restarts == 1 && outages == 1,
        "{kills} kills, {sleeps} sleeps, {restarts} restarts, {outages} outages"
    );
    wait_until_stored(&bootstrap);
    let disturbed = events(&bootstrap);
    assert_eq!(orders(&bootstrap), undisturbed_orders);
    let ids = |events: &BTreeMap<String, Value>| events.keys().cloned().collect::<BTreeSet<_>>();
    let (have, want) = (ids(&disturbed), ids(&undisturbed));
    let missing: Vec<_> = want.difference(&have).take(5).collect();
    let extra: Vec<_> = have.difference(&want).take(5).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:?}, extra {extra:?}");
    for (id, event) in &undisturbed {
        assert_eq!(&disturbed[id], event);
    }
    for (table, rows) in tables(&database) {
        let wanted = &undisturbed_tables[table];
        let other = rows.iter().zip(wanted).find(|(have, want)| have != want);
        assert_eq!(rows.len(), wanted.len(), "{table}");
        assert_eq!(other, None, "{table}");
        println!("{table}: {} rows alike", rows.len());
    }
    println!(
        "{} events of {} records alike, over {kills} kills, {sleeps} sleeps, a restart of the broker and one of the database",
        have.len(),
        records.len()
    );
}
