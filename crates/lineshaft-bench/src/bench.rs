//! A run: the groups one after the other.

use std::path::{Path, PathBuf};
use std::time::Instant;

use lineshaft::ServerCommand;
use lineshaft_ipc::home_fs::{FileSystem, file_system_kind};

use crate::app;
use crate::cleanup::{Cleanup, remove};
use crate::error::{Error, Result};
use crate::groups::{GROUPS, Group};
use crate::processes;
use crate::report::Report;
use crate::room::{Room, free_bytes};
use crate::scale::Scale;
use crate::select::Selection;
use crate::server::{Server, Starter};
use crate::stats::percentile;

/// Processes that want to run, beyond which figures are those of a machine that does something else.
const LOAD_MAX: f64 = 0.5;

/// The interpreter that has the package, or why there is none.
pub type Python = Result<PathBuf, String>;

/// What to measure, where, and with what.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which figures.
    pub selection: Selection,
    /// Where to write, on the disk to be measured; a directory of the run's own is made in it and removed at the end.
    pub directory: PathBuf,
    /// Smaller numbers, for a look in between.
    pub quick: bool,
    /// Jobs of the soak. `None` is 200 million, or half a million in a quick run.
    pub soak_jobs: Option<u64>,
    /// The `lineshaft` command, which serves and works.
    pub command: ServerCommand,
    /// For the figures that are measured in Python.
    pub python: Python,
}

/// What the groups share.
pub(crate) struct Bench<'a> {
    pub(crate) room: Room,
    pub(crate) starter: Starter,
    pub(crate) scale: Scale,
    pub(crate) selection: Selection,
    pub(crate) report: Report,
    python: Python,
    tell: &'a mut dyn FnMut(&str),
}

/// Measures, and tells how far it is. What cannot be measured is among the failures of the report; an error says that
/// nothing could be.
pub fn run(options: Options, cleanup: &Cleanup, tell: &mut dyn FnMut(&str)) -> Result<Report, Error> {
    let mut scale = if options.quick { Scale::QUICK } else { Scale::FULL };
    scale.soak_jobs = options.soak_jobs.unwrap_or(scale.soak_jobs);
    let chosen: Vec<&dyn Group> =
        GROUPS.iter().copied().filter(|group| options.selection.has_any(group.keys())).collect();
    let needed_bytes = chosen.iter().map(|group| group.room_bytes(scale.is_quick)).max().unwrap_or_default();
    introduce(&options, needed_bytes, tell)?;
    let room = Room::new("lineshaft-bench", &options.directory, needed_bytes, cleanup)?;
    app::write(room.path())?;
    let mut bench = Bench {
        room,
        starter: Starter { command: options.command, cleanup: cleanup.clone() },
        scale,
        report: Report::new(options.selection.clone()),
        selection: options.selection,
        python: options.python,
        tell,
    };
    let began = Instant::now();
    for group in chosen {
        if cleanup.interrupted().is_none() {
            bench.measure(group);
        }
    }
    bench.tell(&format!("measured in {} s", began.elapsed().as_secs()));
    Ok(bench.report)
}

fn introduce(options: &Options, needed_bytes: u64, tell: &mut dyn FnMut(&str)) -> Result<()> {
    let (directory, free) = (options.directory.display(), free_bytes(&options.directory)?);
    let (needed, free) = (needed_bytes >> 20, free >> 20);
    tell(&format!(
        "writes up to {needed} MiB to {directory}, where {free} MiB are free, and removes them at the end"
    ));
    if let Ok(FileSystem::Memory) = file_system_kind(&options.directory) {
        tell(&format!(
            "{directory} is in memory: what is measured there is no disk; --dir names another place"
        ));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if let Some(load) = processes::load() {
        let busy = if load > LOAD_MAX { ": others use this machine, and the figures show it" } else { "" };
        tell(&format!("{cores} cores, load {load}{busy}"));
    }
    if options.quick {
        tell("a quick run: fewer rounds and smaller numbers than the figures are meant for");
    }
    if cfg!(debug_assertions) {
        tell("this build is not optimised: its figures mean little");
    }
    if let (true, Err(why)) = (options.selection.needs_python(), &options.python) {
        tell(&format!("without Python the figures measured in it are left out: {why}"));
    }
    Ok(())
}

impl Bench<'_> {
    fn measure(&mut self, group: &dyn Group) {
        self.tell(&format!("{} …", group.name()));
        let began = Instant::now();
        match group.measure(self) {
            Ok(()) => self.tell(&format!("{}: {:.0} s", group.name(), began.elapsed().as_secs_f64())),
            Err(error) => {
                let why = format!("{} could not be measured: {error}", group.name());
                self.tell(&why);
                self.report.fail(why);
            }
        }
    }

    pub(crate) fn cleanup(&self) -> &Cleanup {
        &self.starter.cleanup
    }

    pub(crate) fn tell(&mut self, words: &str) {
        (self.tell)(words);
    }

    /// Says which round it is.
    pub(crate) fn round(&mut self, group: &str, round: usize, of: usize) {
        self.tell(&format!("{group}: round {round} of {of}"));
    }

    /// Whether a figure is wanted and can be measured.
    pub(crate) fn wants(&self, key: &str) -> bool {
        let is_possible = self.python.is_ok() || !crate::figure::figure_of(key).is_some_and(|it| it.python);
        self.selection.has(key) && is_possible
    }

    /// Whether one of these figures is wanted and can be measured.
    pub(crate) fn wants_any(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.wants(key))
    }

    /// One round of a figure, if it is wanted.
    pub(crate) fn add(&mut self, key: &'static str, value: f64) {
        if self.wants(key) {
            self.report.add(key, value);
        }
    }

    /// A percentile of many values as one round of a figure, if it is wanted.
    pub(crate) fn add_percentile(&mut self, key: &'static str, values: &[f64], share: f64) {
        if let Some(value) = percentile(values, share) {
            self.add(key, value);
        }
    }

    /// The interpreter.
    pub(crate) fn interpreter(&self) -> Result<&Path> {
        self.python.as_deref().map_err(|why| Error::Wrong(why.clone()))
    }
}

/// Homes and their servers.
impl Bench<'_> {
    /// A server on a fresh home.
    pub(crate) fn server(&mut self, options: &[&'static str]) -> Result<Server> {
        let home = self.room.home();
        Server::start(&self.starter, &home, options)
    }

    /// Ends a server and removes its home, so that the next figure finds the disk as this one did.
    #[expect(clippy::unused_self, reason = "its homes are the run's")]
    pub(crate) fn put_away(&self, server: Server) {
        let home = server.home().to_owned();
        server.stop();
        remove(&home);
    }
}
