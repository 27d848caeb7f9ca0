//! A home of before beside its later history: as after a restore, or when a machine that lies about its syncs dies. The
//! history beyond its journal goes, and what it had was never done.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use lineshaft_engine::{Outbox, Outgoing, Stepped};
use lineshaft_store::ArchivedJob;
use lineshaft_wire::JobId;
use lineshaft_wire::message::{Enqueue, JobGroup, Message, Sequence};

use super::asks::TASKS;
use super::ledger::Ledger;
use super::network::hello;
use super::server::Server;
use super::{SECOND, Time};
use crate::disk::{Loss, SimulatedDisk};

/// Jobs made in the home that was put back, in the places of those that never were.
const NEW_JOBS: usize = 16;

/// A home and what was known of it.
pub(super) struct Kept {
    disk: SimulatedDisk,
    ledger: Ledger,
}

impl Kept {
    /// When it is taken, in one run of three.
    pub(super) fn at(seed: u64) -> Option<Time> {
        let mut rng = fastrand::Rng::with_seed(!seed);
        (rng.u32(..3) == 0).then(|| rng.u64(..120 * SECOND))
    }

    pub(super) fn of(disk: &SimulatedDisk, ledger: &Ledger) -> Self {
        let disk = disk.power_loss(Loss::Everything);
        disk.spare();
        Self { disk, ledger: ledger.clone() }
    }

    /// The later history may have lost these, on a day that this home has not seen.
    pub(super) fn history_may_go(&mut self, today: u64, archived: &[ArchivedJob]) {
        self.ledger.history_may_go(today, archived);
    }

    /// It is put back beside the history of the server's home, whose jobs `later` knows.
    pub(super) fn check_put_back(self, server: &Server, later: &Ledger) -> Result<(), String> {
        self.disk.take_directory("archive", &server.disk);
        let opened = server.open_home(self.disk);
        let (mut engine, _) =
            opened.map_err(|error| format!("it does not open beside its later history: {error}"))?;
        let elsewhere = self.ledger.elsewhere(engine.state());
        let archived = engine.archived(&elsewhere).map_err(|error| format!("its history: {error}"))?;
        self.ledger
            .check(engine.state(), &archived)
            .map_err(|what| format!("beside its later history: {what}"))?;
        let here: Vec<JobId> =
            self.ledger.ids().filter(|job| engine.state().slot_of(*job).is_some()).collect();
        let twice = engine.archived(&here).map_err(|error| format!("its history: {error}"))?;
        if let Some(job) = twice.first() {
            let id = job.record.id;
            return Err(format!("{id} is in memory and in a history that was never made"));
        }
        // Some that were there had not left the engine.
        let is_gone = |job: &JobId| !self.ledger.knows(*job) && engine.state().slot_of(*job).is_none();
        let gone: Vec<JobId> = later.ids().filter(is_gone).collect();
        make_jobs(&mut engine)?;
        match gone.into_iter().find(|job| engine.state().slot_of(*job).is_some()) {
            Some(job) => Err(format!("{job} was never made in this history, and means another job")),
            None => Ok(()),
        }
    }
}

/// Whoever makes jobs hears nothing but whether they are there.
#[derive(Default)]
struct Answers(Mutex<Vec<Outgoing>>);

impl Outbox for Answers {
    fn deliver(&self, mut messages: Vec<Outgoing>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).append(&mut messages);
    }

    fn close(&self) {}
}

fn make_jobs(engine: &mut Stepped<SimulatedDisk>) -> Result<(), String> {
    let answers = Arc::new(Answers::default());
    let connection = engine.handle().connect(answers.clone());
    let sequence = Sequence { number: 1, lowest: 1 };
    let groups = vec![JobGroup::new(TASKS[0], vec![1; NEW_JOBS])];
    engine.handle().request(connection, 1, hello(None), Bytes::new());
    let jobs = Enqueue { sequence, groups }.into();
    engine.handle().request(connection, 2, jobs, vec![0; NEW_JOBS].into());
    engine.turn().map_err(|error| format!("beside its later history: {error}"))?;
    let answers = answers.0.lock().unwrap_or_else(PoisonError::into_inner);
    let is_made = |outgoing: &Outgoing| match &outgoing.message {
        Message::Enqueued(_) => true,
        // It may be full.
        Message::Refused(_) => outgoing.request_id == 2,
        _ => false,
    };
    if answers.iter().any(is_made) { Ok(()) } else { Err(format!("no jobs can be made: {answers:?}")) }
}
