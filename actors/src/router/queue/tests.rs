//! What the queue promises, by examples and for any course of events.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Adds a job that has time enough.
fn push<J>(queue: &mut Queue<J>, job: J, class: Class, client: &str, now: Instant) {
    queue.push(job, class, &Arc::from(client), now, now + 60 * MINUTE);
}

fn popped<J>(queue: &mut Queue<J>, now: Instant) -> Vec<J> {
    std::iter::from_fn(|| queue.pop(now).map(|(job, _)| job)).collect()
}

#[test]
fn the_more_urgent_goes_first_and_equals_of_a_client_in_order_of_arrival() {
    let (mut queue, now) = (Queue::new(10), Instant::now());
    push(&mut queue, "background", Class::Background, "a", now);
    push(&mut queue, "first", Class::Batch, "a", now);
    push(&mut queue, "second", Class::Batch, "a", now);
    push(&mut queue, "interactive", Class::Interactive, "a", now);
    assert_eq!(popped(&mut queue, now), ["interactive", "first", "second", "background"]);
}

#[test]
fn a_person_finds_a_slot_whatever_programs_ask_for() {
    let (mut queue, now) = (Queue::new(4), Instant::now());
    for job in 0..10 {
        push(&mut queue, job, Class::Background, "a", now);
        push(&mut queue, 10 + job, Class::Batch, "a", now);
    }
    assert_eq!(popped(&mut queue, now), [10, 11, 12]);
    push(&mut queue, 99, Class::Interactive, "b", now);
    assert_eq!(popped(&mut queue, now), [99]);
}

#[test]
fn background_work_has_a_quarter_of_an_idle_machine() {
    let (mut queue, now) = (Queue::new(8), Instant::now());
    for job in 0..10 {
        push(&mut queue, job, Class::Background, "a", now);
    }
    assert_eq!(popped(&mut queue, now), [0, 1]);
    queue.release(Class::Background);
    assert_eq!(popped(&mut queue, now), [2]);
}

#[test]
fn background_work_that_has_waited_for_long_takes_its_turn_among_programs() {
    let (mut queue, now) = (Queue::new(1), Instant::now());
    push(&mut queue, "old", Class::Background, "a", now);
    push(&mut queue, "first", Class::Batch, "b", now);
    push(&mut queue, "second", Class::Batch, "b", now);
    let next = |queue: &mut Queue<_>, now| {
        let (job, class) = queue.pop(now).unwrap();
        queue.release(class);
        (job, class)
    };
    assert_eq!(next(&mut queue, now), ("first", Class::Batch));
    push(&mut queue, "third", Class::Batch, "b", now);
    assert_eq!(next(&mut queue, now + PATIENCE), ("second", Class::Batch));
    assert_eq!(next(&mut queue, now + PATIENCE), ("old", Class::Batch));
    assert_eq!(next(&mut queue, now + PATIENCE), ("third", Class::Batch));
}

#[test]
fn places_in_the_queue_are_counted_over_all_priorities() {
    let (mut queue, now) = (Queue::new(0), Instant::now());
    push(&mut queue, "last", Class::Background, "a", now);
    push(&mut queue, "third", Class::Batch, "b", now);
    push(&mut queue, "first", Class::Interactive, "a", now);
    push(&mut queue, "second", Class::Interactive, "a", now);
    let mut shown = Vec::new();
    queue.each_in_turn(|position, _, _, job| shown.push((position, *job)));
    assert_eq!(shown, [(1, "first"), (2, "second"), (3, "third"), (4, "last")]);
}

#[test]
fn what_nobody_waits_for_is_given_back() {
    let (mut queue, now) = (Queue::new(0), Instant::now());
    push(&mut queue, "gone", Class::Batch, "a", now);
    push(&mut queue, "here", Class::Batch, "a", now);
    assert_eq!(queue.expire(now, |job| *job == "gone"), ["gone"]);
    assert_eq!(queue.waiting(), 1);
}

#[test]
fn what_waits_past_its_deadline_is_given_back() {
    let (mut queue, now) = (Queue::new(0), Instant::now());
    let client = Arc::from("a");
    queue.push("late", Class::Interactive, &client, now, now);
    queue.push("early", Class::Background, &client, now, now + MINUTE);
    assert_eq!(queue.expire(now, |_| false), ["late"]);
    assert_eq!(queue.waiting(), 1);
    assert_eq!(queue.clear(), ["early"]);
}

#[derive(Debug, Clone)]
enum Event {
    /// A client asks something.
    Push(usize, u8),
    /// A slot is filled, if one is free.
    Pop,
    /// A running job ends.
    Release,
    /// All waiting jobs of a client are dropped.
    Drop(u8),
    /// Time passes.
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..3_usize, 0..4_u8).prop_map(|(class, client)| Event::Push(class, client)),
        3 => Just(Event::Pop),
        3 => Just(Event::Release),
        1 => (0..4_u8).prop_map(Event::Drop),
        1 => (1..90_u64).prop_map(Event::Wait),
    ];
    prop::collection::vec(event, 0..200)
}

proptest! {
    #[test]
    fn whatever_happens_no_slot_is_given_twice_and_nothing_is_lost(
        slots in 1..9_u32,
        events in events(),
    ) {
        let (mut queue, mut now) = (Queue::new(slots), Instant::now());
        let (mut waiting, mut running) = (HashSet::new(), Vec::new());
        for (number, event) in events.into_iter().enumerate() {
            match event {
                Event::Push(class, client) => {
                    push(&mut queue, (client, number), Class::ALL[class], &client.to_string(), now);
                    waiting.insert((client, number));
                }
                Event::Pop => {
                    if let Some((job, class)) = queue.pop(now) {
                        prop_assert!(waiting.remove(&job), "{job:?} was popped before");
                        running.push(class);
                    } else {
                        let full = running.len() == slots as usize;
                        let reserved = running.iter().all(|it| *it != Class::Interactive)
                            && running.len() + 1 >= slots as usize;
                        let background = running.contains(&Class::Background);
                        prop_assert!(waiting.is_empty() || full || reserved || background);
                    }
                }
                Event::Release => {
                    if let Some(class) = running.pop() {
                        queue.release(class);
                    }
                }
                Event::Drop(client) => {
                    for job in queue.expire(now, |(of, _)| *of == client) {
                        prop_assert!(waiting.remove(&job));
                    }
                    prop_assert!(waiting.iter().all(|(of, _)| *of != client));
                }
                Event::Wait(seconds) => now += Duration::from_secs(seconds),
            }
            let held = |least: Class| running.iter().filter(|it| **it >= least).count();
            for class in Class::ALL {
                prop_assert!(held(class) <= class.slots(slots) as usize);
            }
            prop_assert_eq!(queue.running() as usize, running.len());
            prop_assert_eq!(queue.waiting(), waiting.len());
        }
        prop_assert_eq!(queue.clear().into_iter().collect::<HashSet<_>>(), waiting);
    }

    #[test]
    fn nobody_waits_for_more_turns_than_there_are_clients(
        asked in prop::collection::vec(0..5_u8, 1..100),
    ) {
        let (mut queue, now) = (Queue::new(2), Instant::now());
        for (number, client) in asked.iter().enumerate() {
            push(&mut queue, (*client, number), Class::Batch, &client.to_string(), now);
        }
        let clients = asked.iter().collect::<HashSet<_>>().len();
        let mut last: HashMap<u8, (usize, usize)> = HashMap::new();
        for turn in 0..asked.len() {
            let ((client, number), class) = queue.pop(now).unwrap();
            queue.release(class);
            let before = last.insert(client, (turn, number));
            let since = before.map_or(turn + 1, |(before, _)| turn - before);
            prop_assert!(since <= clients, "{client} waited for {since} turns");
            prop_assert!(before.is_none_or(|(_, before)| before < number), "in order of arrival");
        }
    }
}
