//! Checkpoints, whose order holds however often they are sent again.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lineshaft_ipc::shared::StopReason;
use lineshaft_wire::message::{Finished, Message, RefusalCode};

use super::peer::{PATIENCE, Peer, World, counters, returned};
use crate::Reply;
use crate::worker::child::job::{Job, Next};

impl World {
    /// Takes the leased job up and leaves a checkpoint.
    fn checkpoint(&self) -> (Job, Reply<bool>) {
        let Next::Job(job) = self.shared.next(PATIENCE) else { panic!("no job came") };
        let reply = self.shared.leave_checkpoint(job.ticket(), b"page 7".to_vec());
        (job, reply)
    }
}

impl Peer {
    fn checkpoint(&mut self) -> (u64, (u64, u32)) {
        self.until(|message| match message {
            Message::Checkpoint(checkpoint) => Some((checkpoint.fence.counter, checkpoint.length)),
            _ => None,
        })
    }
}

#[test]
fn a_checkpoint_is_sent_again_over_a_new_connection_until_it_is_confirmed() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    let (job, mut reply) = world.checkpoint();
    assert_eq!(peer.checkpoint().1, (1, 6));
    drop(peer);
    let (mut peer, held) = world.attach(Duration::from_secs(60));
    assert_eq!(counters(&held), [1], "the attempt runs, and is listed once");
    let (request, _) = peer.checkpoint();
    assert!(reply.wait_timeout(Duration::ZERO).is_none(), "nobody confirmed it");
    peer.send(request, &Finished::default().into(), b"");
    assert!(matches!(reply.wait_timeout(PATIENCE), Some(Ok(true))));
    world.end(&job, returned(&job));
    let (request, _) = peer.finish();
    peer.send(request, &Finished::default().into(), b"");
    assert!(world.shared.settle(PATIENCE));
}

#[test]
fn an_attempt_whose_checkpoint_is_refused_is_asked_to_stop() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    let (job, mut reply) = world.checkpoint();
    let (request, _) = peer.checkpoint();
    // The signal that the only slot of a process hears of it by must not end this process.
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::default()).unwrap();
    peer.send(request, &Finished { refused: vec![(job.id, job.fence)] }.into(), b"");
    assert!(matches!(reply.wait_timeout(PATIENCE), Some(Ok(false))));
    let fence = crate::worker::child::queue::page_fence(job.fence);
    assert_eq!(world.shared.page.stop_requested(job.place, fence), Some(StopReason::LeaseLost));
}

#[test]
fn a_checkpoint_waits_for_room_on_the_disk_and_not_for_sense() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    let (job, mut reply) = world.checkpoint();
    let (request, _) = peer.checkpoint();
    peer.refuse(request, RefusalCode::StoreFull);
    let (request, _) = peer.checkpoint();
    assert!(reply.wait_timeout(Duration::ZERO).is_none());
    peer.send(request, &Finished::default().into(), b"");
    assert!(matches!(reply.wait_timeout(PATIENCE), Some(Ok(true))));
    let mut reply = world.shared.leave_checkpoint(job.ticket(), vec![1]);
    let (request, _) = peer.checkpoint();
    peer.refuse(request, RefusalCode::TooLarge);
    let Some(Err(error)) = reply.wait_timeout(PATIENCE) else { panic!("no answer") };
    assert_eq!(error.to_string(), "not like this");
}

/// On a full disk each was tried again by itself, so that an older one could replace a newer one.
#[test]
fn an_older_checkpoint_never_replaces_a_newer_one() {
    const LEFT: usize = 60;
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    let Next::Job(job) = world.shared.next(PATIENCE) else { panic!("no job came") };
    let hang_up = peer.stream.try_clone().unwrap();
    let server = thread::spawn(move || peer.serve_checkpoints_on_a_full_disk());
    let mut random = fastrand::Rng::with_seed(11);
    let leave = |length| {
        if random.u8(0..3) == 0 {
            thread::sleep(Duration::from_millis(random.u64(2..40)));
        }
        world.shared.leave_checkpoint(job.ticket(), vec![7; length])
    };
    let replies: Vec<_> = (1..=LEFT).map(leave).collect();
    for mut reply in replies {
        assert!(matches!(reply.wait_timeout(PATIENCE), Some(Ok(true))));
    }
    hang_up.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(server.join().unwrap(), LEFT);
}

/// It was sent again after the newer one.
#[test]
fn a_newer_checkpoint_takes_the_place_of_one_that_waits_for_room() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    let (job, mut older) = world.checkpoint();
    let (request, (_, length)) = peer.checkpoint();
    peer.refuse(request, RefusalCode::StoreFull);
    // It may be sent again meanwhile; mostly it waits.
    thread::sleep(Duration::from_millis(3));
    let mut newer = world.shared.leave_checkpoint(job.ticket(), vec![1]);
    loop {
        match peer.checkpoint() {
            (request, (1, 1)) => break peer.send(request, &Finished::default().into(), b""),
            (request, other) => {
                assert_eq!(other.1, length);
                peer.refuse(request, RefusalCode::StoreFull);
            }
        }
    }
    for reply in [&mut newer, &mut older] {
        assert!(matches!(reply.wait_timeout(PATIENCE), Some(Ok(true))));
    }
}

impl Peer {
    /// Keeps checkpoints in the order in which they come, if there happens to be room; its answers overtake each other.
    /// The length of the last one that it kept, which none may be shorter than.
    fn serve_checkpoints_on_a_full_disk(mut self) -> usize {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut kept, mut unanswered) = (0, Vec::new());
        loop {
            while !unanswered.is_empty() && (self.is_quiet() || random.bool()) {
                match unanswered.swap_remove(random.usize(..unanswered.len())) {
                    (request, true) => self.send(request, &Finished::default().into(), b""),
                    (request, false) => self.refuse(request, RefusalCode::StoreFull),
                }
            }
            let Some((request, message)) = self.next() else { return kept };
            if let Message::Checkpoint(checkpoint) = message {
                let has_room = random.bool();
                if has_room {
                    assert!(checkpoint.length as usize >= kept, "{} replaces {kept}", checkpoint.length);
                    kept = checkpoint.length as usize;
                }
                unanswered.push((request, has_room));
            }
        }
    }
}

#[test]
fn a_checkpoint_of_an_attempt_that_is_over_says_so() {
    let world = World::new();
    let (mut peer, _) = world.attach(Duration::from_secs(60));
    peer.lease(1..=1);
    let Next::Job(job) = world.shared.next(PATIENCE) else { panic!("no job came") };
    world.end(&job, returned(&job));
    let mut reply = world.shared.leave_checkpoint(job.ticket(), vec![1]);
    assert!(matches!(reply.wait_timeout(Duration::ZERO), Some(Ok(false))));
}
