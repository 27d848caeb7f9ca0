//! How many calls of a task repeat arguments: of those that jobs were made for.

use bytes::Bytes;
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::message::{Enqueue, JobGroup, ListTasks, Message, Unique, UniqueWhile};

use crate::crashes::{CLIENT, World};
use crate::world::{Mailbox, group, hello, sequence};

/// One call was made: there are figures of tasks with attempts.
fn world() -> World {
    let mut world = World::open(SimulatedDisk::new()).unwrap();
    world.core.connected(CLIENT, Mailbox::new());
    world.ask(CLIENT, hello(), Bytes::new()).unwrap();
    enqueue(&mut world, 1, vec![group("shop.price", &[1])], b"z");
    world.attempt("shop.price");
    world
}

fn enqueue(world: &mut World, number: u64, groups: Vec<JobGroup>, arguments: &'static [u8]) {
    let request = Enqueue { sequence: sequence(number), groups };
    let answer = world.ask(CLIENT, request.into(), Bytes::from_static(arguments)).unwrap();
    assert!(matches!(answer, Message::Enqueued(_)), "{answer:?}");
}

fn counted(world: &mut World) -> (u64, u64) {
    let answer = world.ask(CLIENT, ListTasks { task: None }.into(), Bytes::new()).unwrap();
    let Message::Tasks(tasks) = answer else { panic!("{answer:?}") };
    (tasks.tasks[0].calls, tasks.tasks[0].repeated)
}

fn unique(key: &str, while_: UniqueWhile) -> JobGroup {
    let unique = Unique { key: key.into(), while_, period_ms: Some(60_000) };
    JobGroup { unique: Some(unique), ..group("shop.price", &[1]) }
}

/// They were counted, so that a task with `cache=` was advised to have it.
#[test]
fn calls_that_a_job_answered_that_was_there_are_not_counted() {
    let keyed = || JobGroup { idempotency_key: Some("k".into()), ..group("shop.price", &[1]) };
    for group in [|| unique("k", UniqueWhile::Cached), || unique("k", UniqueWhile::Unfinished), keyed] {
        let mut world = world();
        (2..=6).for_each(|number| enqueue(&mut world, number, vec![group()], b"a"));
        assert_eq!(counted(&mut world), (2, 0));
    }
}

#[test]
fn of_one_request_those_count_that_were_made() {
    let mut world = world();
    let cached = || unique("k", UniqueWhile::Cached);
    enqueue(&mut world, 2, vec![group("shop.price", &[1, 1]), cached(), group("shop.price", &[1])], b"abcd");
    assert_eq!(counted(&mut world), (5, 0));
    enqueue(&mut world, 3, vec![cached(), group("shop.price", &[1, 1])], b"cde");
    assert_eq!(counted(&mut world), (7, 1));
}
