//! How far a copy is, told on standard error, and at what pace it goes.

use std::thread;
use std::time::{Duration, Instant};

use lineshaft::client::Client;
use lineshaft_store::Error;
use lineshaft_store::backup::Watch;

use crate::context::Context;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::show::bytes;

/// How often people are told.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// How often the server hears that the copy goes on; it gives up after a minute.
const KEEP_EVERY: Duration = Duration::from_secs(10);
/// The longest sleep, so that the server hears in time.
const NAP: Duration = Duration::from_secs(1);
/// How long the server may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// A server that keeps the files of commit `lsn` for this process.
pub(super) struct Keeper {
    pub(super) client: Client,
    pub(super) lsn: u64,
    /// Its epoch when it began to.
    pub(super) epoch: Option<u64>,
}

impl Keeper {
    fn keep(&self, done: bool) -> Result<(), Error> {
        let kept = self.client.keep_files(self.lsn, done, Some(DEADLINE)).wait();
        kept.map_err(|error| {
            let why = if self.has_restarted() {
                "the server was restarted meanwhile, and does not hold the files any more".to_owned()
            } else {
                error.to_string()
            };
            Error::GivenUp { reason: format!("the backup was given up: {why}") }
        })
    }

    fn has_restarted(&self) -> bool {
        self.client.welcome().map(|welcome| welcome.epoch) != self.epoch
    }
}

/// Watches a copy.
pub(super) struct Progress<'a> {
    output: &'a mut Output,
    interrupt: Interrupt,
    verb: &'static str,
    bytes_per_second: Option<u64>,
    keeper: Option<Keeper>,
    began: Instant,
    told: Instant,
    kept: Instant,
    done_bytes: u64,
    all_bytes: u64,
}

impl<'a> Progress<'a> {
    /// Tells that bytes are `verb` ("copied"), at most so many a second.
    pub(super) fn new(
        context: &'a mut Context,
        verb: &'static str,
        bytes_per_second: Option<u64>,
        keeper: Option<Keeper>,
    ) -> Self {
        let now = Instant::now();
        Self {
            interrupt: context.interrupt.clone(),
            output: &mut context.output,
            verb,
            bytes_per_second,
            keeper,
            began: now,
            told: now,
            kept: now,
            done_bytes: 0,
            all_bytes: 0,
        }
    }

    fn keep(&mut self) -> Result<(), Error> {
        if self.kept.elapsed() >= KEEP_EVERY {
            self.kept = Instant::now();
            self.keeper.as_ref().map_or(Ok(()), |keeper| keeper.keep(false))?;
        }
        Ok(())
    }

    fn heed(&self) -> Result<(), Error> {
        if self.interrupt.came() {
            Err(Error::GivenUp { reason: "a signal came".to_owned() })
        } else {
            Ok(())
        }
    }

    fn tell(&mut self) {
        if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            let (done, all) = (bytes(self.done_bytes), bytes(self.all_bytes));
            self.output.say(format!("{} {done} of {all}", self.verb));
        }
    }

    /// Waits until what was copied is due.
    fn pace(&mut self) -> Result<(), Error> {
        let Some(rate) = self.bytes_per_second else { return Ok(()) };
        let due = Duration::from_secs_f64(self.done_bytes as f64 / rate as f64);
        loop {
            let ahead = due.saturating_sub(self.began.elapsed());
            if ahead.is_zero() {
                return Ok(());
            }
            thread::sleep(ahead.min(NAP));
            self.heed()?;
            self.keep()?;
            self.tell();
        }
    }
}

impl Watch for Progress<'_> {
    fn began(&mut self, _files: u64, bytes: u64) {
        (self.began, self.told) = (Instant::now(), Instant::now());
        (self.done_bytes, self.all_bytes) = (0, bytes);
    }

    fn advanced(&mut self, count: u64) -> Result<(), Error> {
        self.done_bytes += count;
        self.heed()?;
        self.keep()?;
        self.pace()?;
        self.tell();
        Ok(())
    }

    /// The server need not keep the files any more. Errors if it did not until now.
    fn copied(&mut self) -> Result<(), Error> {
        self.keeper.as_ref().map_or(Ok(()), |keeper| keeper.keep(true))
    }
}
