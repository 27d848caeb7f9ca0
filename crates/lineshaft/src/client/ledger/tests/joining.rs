//! Enqueues that go as one request, and come back as many answers.

use lineshaft_wire::message::{Enqueue, Enqueued, JobGroup};
use serde_bytes::ByteBuf;

use super::*;

fn group(task: &str, jobs: usize) -> JobGroup {
    JobGroup::new(task, vec![3; jobs])
}

impl Bench {
    fn enqueue(&mut self, group: JobGroup) -> Reply {
        let payload = 3 * group.lengths.len();
        self.push(Enqueue { sequence: UNPLACED, groups: vec![group] }, payload)
    }

    /// Jobs of each request sent now, with its id.
    fn sent_jobs(&mut self) -> Vec<(u64, usize)> {
        struct Jobs(Vec<(u64, usize)>);
        impl Sink for Jobs {
            fn send(&mut self, id: u64, message: &Message, payload: &[Bytes]) -> Result<(), Error> {
                let Message::Enqueue(enqueue) = message else { panic!("{message:?}") };
                let lengths = &enqueue.groups[0].lengths;
                let bytes: usize = payload.iter().map(Bytes::len).sum();
                assert_eq!(lengths.iter().sum::<u32>() as usize, bytes);
                self.0.push((id, lengths.len()));
                Ok(())
            }
        }
        let mut sent = Jobs(Vec::new());
        self.ledger.admit(&mut sent);
        sent.0
    }

    fn made(&mut self, id: u64, jobs: u8, existing: &[u32]) {
        let ids: Vec<u8> = (0..jobs).flat_map(|job| [job; 16]).collect();
        let enqueued =
            Enqueued { ids: ByteBuf::from(ids), existing: existing.to_vec(), completed: Vec::new() };
        assert_eq!(self.ledger.answer(id, enqueued.into(), Bytes::new()), Effect::None);
    }
}

/// First bytes of the ids of an answer, and which of its jobs were there already.
fn ids(reply: &mut Reply) -> (Vec<u8>, Vec<u32>) {
    let Ok(Message::Enqueued(enqueued)) = outcome(reply) else { panic!("not enqueued") };
    (enqueued.ids.chunks(16).map(|id| id[0]).collect(), enqueued.existing)
}

#[test]
fn what_waits_together_goes_as_one_request_and_each_gets_its_own_jobs() {
    let mut bench = Bench::new();
    let mut replies = [1, 2, 1].map(|jobs| bench.enqueue(group("shop.send", jobs)));
    let [(id, 4)] = bench.sent_jobs()[..] else { panic!("not one request") };
    bench.made(id, 4, &[2]);
    let answers = replies.each_mut().map(ids);
    assert_eq!(answers, [(vec![0], vec![]), (vec![1, 2], vec![1]), (vec![3], vec![])]);
    let mut late = bench.enqueue(group("shop.send", 1));
    let [(id, 1)] = bench.sent_jobs()[..] else { panic!("not alone") };
    bench.made(id, 1, &[]);
    assert_eq!(ids(&mut late).0, [0]);
}

#[test]
fn only_jobs_of_one_kind_without_keys_are_joined_and_the_order_stays() {
    let mut bench = Bench::new();
    let keyed = JobGroup { idempotency_key: Some("k".into()), ..group("a", 1) };
    let urgent = JobGroup { priority: 1, ..group("a", 1) };
    let groups = [group("a", 1), group("a", 1), keyed.clone(), keyed, urgent, group("b", 1), group("a", 1)];
    let _replies = groups.map(|group| bench.enqueue(group));
    let jobs: Vec<usize> = bench.sent_jobs().into_iter().map(|(_, jobs)| jobs).collect();
    assert_eq!(jobs, [2, 1, 1, 1, 1, 1]);
}

#[test]
fn a_joined_request_has_a_greatest_size_and_a_deadline_near_everybodys_own() {
    let mut bench = Bench::new();
    let _many: Vec<_> = (0..1500).map(|_| bench.enqueue(group("a", 1))).collect();
    bench.now += SECOND / 2;
    let _later = bench.enqueue(group("a", 1));
    let jobs: Vec<usize> = bench.sent_jobs().into_iter().map(|(_, jobs)| jobs).collect();
    assert_eq!(jobs, [1024, 476, 1]);
}

#[test]
fn one_that_nobody_waits_for_is_left_out() {
    let mut bench = Bench::new();
    let first = bench.enqueue(group("a", 1));
    drop(bench.enqueue(group("a", 1)));
    let third = bench.enqueue(group("a", 1));
    assert_eq!(bench.sent_jobs().into_iter().map(|(_, jobs)| jobs).sum::<usize>(), 2);
    drop((first, third));
}

#[test]
fn everybodys_outcome_is_unknown_after_the_deadline_and_each_may_ask_for_its_own() {
    let mut bench = Bench::new();
    let mut replies = [bench.enqueue(group("a", 1)), bench.enqueue(group("a", 2))];
    let [(id, 3)] = bench.sent_jobs()[..] else { panic!("not one request") };
    bench.ledger.expire(bench.now + 2 * SECOND, None);
    let unknown = replies.each_mut().map(|reply| match outcome(reply) {
        Err(Error::OutcomeUnknown(unknown)) => unknown,
        other => panic!("{other:?}"),
    });
    let mut again = unknown.each_ref().map(|unknown| unknown.resend(Some(SECOND)));
    for _ in 0..again.len() {
        let Command::Resend { id, request, deadline, patience, caller } = next(&mut bench.receiver) else {
            panic!("something else was asked")
        };
        let sink = Some(&mut Sent::default());
        bench.ledger.unpark(id, Again { request, deadline, patience, caller }, sink);
    }
    bench.made(id, 3, &[]);
    assert_eq!(again.each_mut().map(|reply| ids(reply).0), [vec![0], vec![1, 2]]);
    let mut once_more = unknown[1].resend(Some(SECOND));
    let Command::Resend { id, request, deadline, patience, caller } = next(&mut bench.receiver) else {
        panic!("something else was asked")
    };
    bench.ledger.unpark(id, Again { request, deadline, patience, caller }, Some(&mut Sent::default()));
    assert_eq!(ids(&mut once_more).0, [1, 2]);
}

/// What is sent before the task looks goes together, but nothing overtakes a command of another kind.
#[test]
fn requests_join_on_their_way_to_the_task_and_the_order_stays() {
    let (sender, mut receiver) = unbounded_channel();
    let commands = Commands::new(io_thread::get().unwrap(), sender);
    let mut replies = Vec::new();
    let mut send = |jobs| {
        let slot = Arc::new(Slot::default());
        let now = Instant::now();
        let groups = vec![group("a", jobs)];
        let request = Request {
            message: Enqueue { sequence: UNPLACED, groups }.into(),
            payload: vec![Bytes::from(vec![0; 3 * jobs])],
            deadline: now + SECOND,
            patience: SECOND,
            callers: Arc::clone(&slot).into(),
        };
        commands.request(request).unwrap();
        replies.push(Reply::new(slot));
    };
    let jobs_of = |command| match command {
        Command::Request(batch) => match batch.take().map(|request| request.message) {
            Some(Message::Enqueue(enqueue)) => enqueue.groups[0].lengths.len(),
            other => panic!("{other:?}"),
        },
        _ => 0,
    };
    send(1);
    send(2);
    commands.send(Command::Forget { id: 0 }).unwrap();
    send(1);
    send(1);
    let mut taken = vec![jobs_of(next(&mut receiver))];
    taken.push(jobs_of(next(&mut receiver)));
    taken.push(jobs_of(next(&mut receiver)));
    send(4);
    taken.push(jobs_of(next(&mut receiver)));
    assert_eq!(taken, [3, 0, 2, 4], "the last one came too late for the batch before it");
    assert!(receiver.try_recv().is_err());
}

/// A batch that nobody will take must not swallow what comes later.
#[test]
fn nothing_joins_what_could_not_be_sent() {
    let (sender, receiver) = unbounded_channel();
    let commands = Commands::new(io_thread::get().unwrap(), sender);
    drop(receiver);
    for _ in 0..2 {
        let now = Instant::now();
        let request = Request {
            message: Enqueue { sequence: UNPLACED, groups: vec![group("a", 1)] }.into(),
            payload: vec![Bytes::from_static(b"abc")],
            deadline: now + SECOND,
            patience: SECOND,
            callers: Arc::new(Slot::default()).into(),
        };
        assert!(matches!(commands.request(request), Err(Error::Closed)));
    }
}
