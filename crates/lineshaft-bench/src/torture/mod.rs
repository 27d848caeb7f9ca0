//! `lineshaft torture`: whether a home keeps its promises while its processes are killed at random.
//!
//! Clients write down what they are told, bodies write down what they do, both in files outside of the home; at the end
//! this is compared with what the engine remembers. [`stage`] has the processes and what is done to them, [`client`]
//! makes the jobs, [`child`] runs them, [`record`] and [`place`] are what is written, [`history`] reads the engine's side,
//! [`verdict`] compares. Where a small file system may be mounted ([`disk`]), the last quarter of the time goes to a home on
//! it, which is full now and then.

mod child;
mod client;
mod disk;
mod history;
mod place;
mod record;
mod report;
mod stage;
mod verdict;

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft::ServerCommand;
use lineshaft_wire::message::QueueReport;

use self::disk::SmallDisk;
use self::place::Place;
use self::report::Round;
use self::stage::Stage;
use crate::cleanup::Cleanup;
use crate::error::{Error, Result};
use crate::room::{Room, free_bytes};
use crate::server::{Server, Starter};

pub use self::child::{be_child, work};
pub use self::client::be_client;
pub use self::disk::enter;
pub use self::report::Report;
pub use self::stage::{Deeds, Victim};
pub use self::verdict::{Promise, Violation};

/// What is written at most, whatever a minute costs on a fast machine.
const ROOM_BYTES: u64 = 1 << 30;
/// The part of the time that goes to the small disk.
const SMALL_PART: f64 = 0.25;
/// Before the first act.
const BEGINNING: Duration = Duration::from_millis(300);
const LOOK: Duration = Duration::from_millis(5);
/// Between two lines that say how far it is.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Between two looks at how many jobs have ended.
const COUNT_EVERY: Duration = Duration::from_millis(200);
/// Jobs that do not end for so long, with everything at work, will not.
const PATIENCE: Duration = Duration::from_secs(90);

/// How to torture.
#[derive(Clone, Debug)]
pub struct Options {
    /// For how long.
    pub span: Duration,
    /// What decides who is killed when. The machine decides the rest, so that no two runs are the same.
    pub seed: u64,
    /// What is killed.
    pub victims: Vec<Victim>,
    /// Where to write; a directory of the run's own is made in it, and removed at the end unless a promise was broken.
    pub directory: PathBuf,
    /// Whether this process may mount a small file system: see [`enter`].
    pub may_mount: bool,
    /// The `lineshaft` command, which serves and works.
    pub command: ServerCommand,
}

/// A seed that nobody chose.
pub fn any_seed() -> u64 {
    fastrand::u64(..u64::from(u32::MAX))
}

/// Tortures, and tells how far it is. A broken promise is in the report; an error says that nobody knows.
pub fn run(options: Options, cleanup: &Cleanup, tell: &mut dyn FnMut(&str)) -> Result<Report, Error> {
    introduce(&options, tell)?;
    let mut room = Room::new("lineshaft-torture", &options.directory, ROOM_BYTES, cleanup)?;
    cleanup.ends_by_itself();
    let mut random = fastrand::Rng::with_seed(options.seed);
    let starter = Starter { command: options.command.clone(), cleanup: cleanup.clone() };
    let mut report = Report { seed: options.seed, ..Report::default() };
    for (span, is_small) in rounds(&options) {
        if cleanup.interrupted().is_some() {
            break;
        }
        let home = room.home();
        let disk = if is_small { Some(SmallDisk::mount(&home)?) } else { None };
        if is_small {
            tell("a home on a disk of 64 MiB, which is full now and then …");
        }
        let place = Place::make(home)?;
        let stage = Stage::new(starter.clone(), place.clone(), disk, random.fork())?;
        match one_round((&options, span), cleanup, stage, &place, &mut random, tell) {
            Ok(round) => report.add(round),
            Err(error) => {
                tell(&format!("everything is left in {}", room.keep().display()));
                return Err(error);
            }
        }
    }
    if !report.violations.is_empty() {
        report.kept = Some(room.keep());
    }
    Ok(report)
}

/// For how long, and whether on a small disk.
fn rounds(options: &Options) -> Vec<(Duration, bool)> {
    if options.may_mount {
        let part = |part| options.span.mul_f64(part);
        vec![(part(1.0 - SMALL_PART), false), (part(SMALL_PART), true)]
    } else {
        vec![(options.span, false)]
    }
}

/// On one home.
fn one_round(
    (options, span): (&Options, Duration),
    cleanup: &Cleanup,
    mut stage: Stage,
    place: &Place,
    random: &mut fastrand::Rng,
    tell: &mut dyn FnMut(&str),
) -> Result<Round> {
    let took = play((options, span), cleanup, &mut stage, place, random, tell);
    let round = took.and_then(|took| {
        tell("reading the history …");
        judge(took, &stage, place)
    });
    stage.stop(!round.as_ref().is_ok_and(|round| round.verdict.violations.is_empty()))?;
    round
}

fn judge(took: Duration, stage: &Stage, place: &Place) -> Result<Round> {
    let client = stage.server().client()?;
    let ledger = place.read_ledger()?;
    let history = history::read(&client, ledger.acknowledged.keys().copied())?;
    let mut verdict = verdict::compare(&ledger, &place.read_effects()?, &history);
    let ends = stage.server_ends().iter().cloned();
    verdict.violations.extend(ends.map(|words| Violation { promise: Promise::Ended, job: None, words }));
    Ok(Round { took, deeds: stage.deeds().clone(), verdict })
}

fn introduce(options: &Options, tell: &mut dyn FnMut(&str)) -> Result<()> {
    let victims: Vec<&str> = options.victims.iter().map(|it| it.as_str()).collect();
    let (directory, free) = (options.directory.display(), free_bytes(&options.directory)? >> 20);
    tell(&format!(
        "seed {}: kills {} for {} s; writes up to {} MiB to {directory}, where {free} MiB are free",
        options.seed,
        victims.join(", "),
        options.span.as_secs(),
        ROOM_BYTES >> 20,
    ));
    Ok(())
}

/// What is killed is killed, and started again, from here.
fn play(
    (options, span): (&Options, Duration),
    cleanup: &Cleanup,
    stage: &mut Stage,
    place: &Place,
    random: &mut fastrand::Rng,
    tell: &mut dyn FnMut(&str),
) -> Result<Duration> {
    let mut run = Run { cleanup, stage, place, began: Instant::now(), told: Instant::now(), tell };
    run.torture((&options.victims, span), random)?;
    run.rest()?;
    Ok(run.began.elapsed())
}

/// What goes on while clients are at work.
struct Run<'a> {
    cleanup: &'a Cleanup,
    stage: &'a mut Stage,
    place: &'a Place,
    began: Instant,
    told: Instant,
    tell: &'a mut dyn FnMut(&str),
}

impl Run<'_> {
    /// Kills until the time is over, somebody stops it, or a client cannot go on.
    fn torture(&mut self, (victims, span): (&[Victim], Duration), random: &mut fastrand::Rng) -> Result<()> {
        let chances: Vec<Victim> =
            victims.iter().flat_map(|victim| std::iter::repeat_n(*victim, victim.share())).collect();
        let mut next = Instant::now() + BEGINNING;
        while self.began.elapsed() < span && self.cleanup.interrupted().is_none() {
            self.stage.look_after()?;
            if Instant::now() >= next
                && let Some(victim) = random.choice(&chances)
            {
                let rest = if self.stage.strike(*victim)? { victim.rest() } else { LOOK };
                next = Instant::now() + rest.mul_f64(random.f64());
            }
            self.tell_now_and_then()?;
            sleep(LOOK);
        }
        Ok(())
    }

    /// Kills no more, and waits until every job has ended, or none does for long.
    fn rest(&mut self) -> Result<()> {
        (self.tell)("nothing is killed any more; the ends of all jobs are waited for");
        self.stage.calm()?;
        let (mut most, mut since, mut looked) = (0, Instant::now(), Instant::now());
        while !self.stage.clients_have_ended() && since.elapsed() < PATIENCE {
            self.stage.look_after()?;
            if looked.elapsed() >= COUNT_EVERY {
                looked = Instant::now();
                let (_, ended) = self.place.progress()?;
                if ended > most {
                    (most, since) = (ended, Instant::now());
                }
            }
            self.tell_now_and_then()?;
            sleep(LOOK);
        }
        self.wait_for_the_unknown()
    }

    /// Jobs that nobody was told of, because their client was killed or impatient, end too.
    fn wait_for_the_unknown(&mut self) -> Result<()> {
        let client = self.stage.server().client()?;
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            let queues = Server::status(&client)?.queues;
            let left = |it: &QueueReport| it.scheduled + it.available + it.running + it.retryable;
            if queues.iter().map(left).sum::<u64>() == 0 {
                return Ok(());
            }
            self.stage.look_after()?;
            sleep(COUNT_EVERY);
        }
        Ok(())
    }

    fn tell_now_and_then(&mut self) -> Result<()> {
        if self.told.elapsed() < TELL_EVERY {
            return Ok(());
        }
        self.told = Instant::now();
        let (acknowledged, ended) = self.place.progress()?;
        (self.tell)(&format!(
            "{} s: {}; {acknowledged} jobs acknowledged, {ended} ended",
            self.began.elapsed().as_secs(),
            report::words_of(self.stage.deeds()),
        ));
        Ok(())
    }
}
