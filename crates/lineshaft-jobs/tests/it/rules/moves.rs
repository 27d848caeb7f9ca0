//! Payloads that are copied and named anew: whose job changed meanwhile stay where they are.

use std::collections::BTreeSet;

use bytes::Bytes;
use lineshaft_jobs::{Change, Command, Copied, JobView, Place, State, Wanted};
use lineshaft_testkit::model::Told;
use lineshaft_wire::message::{Checkpoint, End, JobGroup, Rules};
use lineshaft_wire::{JobId, JobState};

use super::shop::{Shop, errored, group, with_rules};
use crate::machine::replay;

fn with_arguments(length: u32) -> JobGroup {
    JobGroup {
        lengths: vec![length],
        ..with_rules(Rules { max_attempts: 9, backoff_first_ms: 60_000, ..Rules::default() })
    }
}

fn everything(shop: &Shop) -> Wanted {
    let files = shop.machine.state.cold_files().map(|(file, _)| file).collect();
    Wanted { below_lsn: shop.machine.lsn() + 1, files }
}

impl Shop {
    fn view(&self, job: JobId) -> JobView {
        self.machine.state.view(self.machine.state.slot_of(job).expect("it is in memory"))
    }

    fn copy(&mut self) -> (u64, Vec<Copied>) {
        let wanted = everything(self);
        self.machine.copy(&wanted)
    }

    fn take_over(&mut self, file: u64, copied: Vec<Copied>) {
        assert_eq!(self.run(Command::Move { file, copied }), Ok(Told::Done));
    }

    /// The only job runs, leaves a checkpoint and is handed back.
    fn leave_and_hand_back(&mut self, text: &'static [u8]) {
        let (child, job, fence) = self.lease();
        let checkpoint = Checkpoint { job, fence, length: text.len() as u32 };
        self.run(Command::Checkpoint { child, checkpoint, value: Bytes::from_static(text) }).unwrap();
        self.end((child, job, fence), End::Released);
    }

    fn moved_everything(&mut self) -> u64 {
        let (file, copied) = self.copy();
        self.take_over(file, copied);
        file
    }
}

/// Arguments, checkpoint, errors and outputs of attempts: all of them go, and read as before.
#[test]
fn every_payload_of_a_waiting_job_moves_and_reads_as_before() {
    let mut shop = Shop::new();
    let job = shop.enqueue(with_arguments(50));
    shop.child(1, 1);
    let lease = shop.lease();
    let (child, _, fence) = lease;
    let value = Bytes::from_static(b"page 1");
    let checkpoint = Checkpoint { job, fence, length: 6 };
    shop.run(Command::Checkpoint { child, checkpoint, value }).unwrap();
    shop.end(lease, errored(&["x.Busy"]));
    assert_eq!(shop.machine.state.job_state(0), JobState::Retryable);
    let read = |shop: &Shop| {
        let view = shop.view(job);
        let places = [view.arguments, view.checkpoint, view.attempts[0].error];
        (view.record, places.map(|place| shop.machine.read(place)))
    };
    let before = read(&shop);
    let file = shop.moved_everything();
    assert_eq!(read(&shop), before);
    let view = shop.view(job);
    for place in [view.arguments, view.checkpoint, view.attempts[0].error] {
        assert!(place.is_cold() && place.lsn == file, "{place:?}");
    }
    assert_eq!(shop.machine.state.oldest_kept_lsn(), None);

    // And again, out of the cold file into another one.
    let second = shop.moved_everything();
    assert!(second > file);
    assert_eq!(read(&shop), before);
    assert_eq!(shop.machine.state.cold_files().map(|(file, _)| file).collect::<Vec<_>>(), [second]);
}

#[test]
fn a_job_that_ended_meanwhile_stays_and_so_does_its_successor_in_the_slot() {
    let mut shop = Shop::new();
    let job = shop.enqueue(with_arguments(5));
    let (file, copied) = shop.copy();
    shop.cancel(job).unwrap();
    let ended = shop.view(job).arguments;
    shop.take_over(file, copied.clone());
    assert_eq!(shop.view(job).arguments, ended, "the archive takes it from where it is");
    shop.run(Command::Archived { count: 1 }).unwrap();
    let successor = shop.enqueue(with_arguments(5));
    assert_eq!(successor.slot().map(|it| it.0), job.slot().map(|it| it.0), "the slot is used again");
    let place = shop.view(successor).arguments;
    // Even if the successor's payload lay at the very same place.
    let forged = copied.iter().map(|it| {
        let payload = lineshaft_jobs::Movable { from: place, ..it.payload.clone() };
        Copied { payload, ..*it }
    });
    let forged: Vec<Copied> = forged.collect();
    for copied in [copied, forged] {
        shop.take_over(file, copied);
        assert_eq!(shop.view(successor).arguments, place);
    }
    assert_eq!(shop.machine.state.cold_files().count(), 0);
}

#[test]
fn a_checkpoint_that_was_replaced_meanwhile_is_not_brought_back() {
    let mut shop = Shop::new();
    let job = shop.enqueue(with_arguments(5));
    shop.child(1, 1);
    shop.leave_and_hand_back(b"page 1");
    let (file, copied) = shop.copy();
    assert_eq!(copied.len(), 2);
    shop.machine.state.grant(1, 1, true);
    shop.leave_and_hand_back(b"page 2");
    shop.take_over(file, copied);
    let view = shop.view(job);
    assert!(view.arguments.is_cold());
    assert_eq!(shop.machine.read(view.checkpoint), "page 2");
    assert!(!view.checkpoint.is_cold());
}

/// The message with a lease names the arguments, and a slow worker may not have read it out yet.
#[test]
fn the_payloads_of_a_job_that_was_just_leased_stay_for_five_minutes() {
    let mut shop = Shop::new();
    let rules = Rules { timeout_ms: None, ..Rules::default() };
    let job = shop.enqueue(JobGroup { lengths: vec![5], rules: rules.into(), ..group() });
    let (file, copied) = shop.copy();
    assert_eq!(copied.len(), 1);
    let child = shop.child(1, 1);
    shop.lease();
    shop.take_over(file, copied);
    assert!(shop.view(job).arguments.is_in_commit(), "it was leased meanwhile");
    assert_eq!(shop.copy().1, []);
    for _ in 0..31 {
        shop.pass(10_000);
        shop.machine.state.renew(child, shop.machine.now.logical_ms);
    }
    shop.moved_everything();
    assert!(shop.view(job).arguments.is_cold());
}

#[test]
fn only_what_is_wanted_is_found() {
    let mut shop = Shop::new();
    let old = shop.enqueue(with_arguments(5));
    let below_lsn = shop.machine.lsn() + 1;
    let young = shop.enqueue(with_arguments(5));
    let (file, copied) = shop.machine.copy(&Wanted { below_lsn, files: BTreeSet::new() });
    shop.take_over(file, copied);
    assert!(shop.view(old).arguments.is_cold() && shop.view(young).arguments.is_in_commit());
    let other_file = Wanted { below_lsn: 0, files: BTreeSet::from([file + 1]) };
    assert_eq!(shop.machine.copy(&other_file).1, []);
    let this_file = Wanted { below_lsn: 0, files: BTreeSet::from([file]) };
    assert_eq!(shop.machine.copy(&this_file).1.len(), 1);
}

#[test]
fn a_move_without_any_job_left_is_no_change() {
    let mut shop = Shop::new();
    let job = shop.enqueue(with_arguments(5));
    let (file, copied) = shop.copy();
    shop.cancel(job).unwrap();
    let decision = shop.machine.state.decide(Command::Move { file, copied }, shop.machine.now).unwrap();
    assert!(decision.entries.is_empty());
}

#[test]
fn moved_places_survive_snapshot_and_replay() {
    let mut shop = Shop::new();
    let jobs: Vec<JobId> = (1..40).map(|length| shop.enqueue(with_arguments(length))).collect();
    shop.moved_everything();
    let places = |state: &State| -> Vec<Place> {
        jobs.iter().map(|job| state.view(state.slot_of(*job).unwrap()).arguments).collect()
    };
    let live = places(&shop.machine.state);
    assert!(live.iter().all(|place| place.is_cold()));
    let limits = shop.machine.limits;
    let loaded = State::from_snapshot(&shop.machine.state.snapshot(), limits).unwrap();
    assert_eq!(places(&loaded), live);
    assert!(loaded.cold_files().eq(shop.machine.state.cold_files()));
    assert_eq!(places(&replay(State::new(0, limits), &shop.machine.commits, 0)), live);
}

#[test]
fn a_moved_change_names_each_payload_once() {
    let mut shop = Shop::new();
    shop.enqueue(with_arguments(5));
    let (file, copied) = shop.copy();
    let decision = shop.machine.state.decide(Command::Move { file, copied }, shop.machine.now).unwrap();
    let [entry] = &decision.entries[..] else { panic!("one change: {decision:?}") };
    assert!(matches!(&entry.change, Change::Moved { moves, .. } if moves.len() == 1));
    assert!(entry.payload.is_empty());
}
