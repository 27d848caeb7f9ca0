//! `lineshaft dev`: a server and a worker that follows the code.
//!
//! At a change the new code is loaded first, by a worker of its own beside the old one. Only when it has loaded does
//! the old one finish what it began and go; as long as it does not load, the old one goes on. Everything that happens
//! comes as an [`Event`] to one loop. [`watch`] knows which files changed, [`generation`] one load of the code,
//! [`reports`] what its processes say.

mod generation;
mod reports;
mod wake;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use lineshaft::client::Client;
use lineshaft::config::{PYTHON, Settings};
use lineshaft::home::Home;
use lineshaft::worker::Options;
use lineshaft::{Target, launch};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::generation::{Code, Generation};
use self::reports::{Kind, Report};
use self::wake::Waker;
use self::watch::Watched;
use super::worker::{log, options, project_of};
use crate::args::Worker;
use crate::context::{Context, working_directory};
use crate::exit::{FAILED, Failure};
use crate::flags::Given;
use crate::python;

/// Pause between two looks at the files where the system does not tell of changes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A change is over when nothing more changed for so long: editors write several files, or one in several steps.
const QUIET: Duration = Duration::from_millis(80);
/// A change that does not end is acted upon after so long.
const QUIET_LATE: Duration = Duration::from_secs(1);
/// Pause between two looks whether the server is still there.
const SERVER_EVERY: Duration = Duration::from_secs(1);

/// What can happen.
enum Event {
    /// A child said something.
    Said(Report),
    /// A load is over, with all of its processes.
    Ended { number: u64, end: Result<(), Failure> },
    /// Something happened where the files are.
    Touched,
    /// Somebody wants an end.
    Signal,
}

pub(crate) fn run(worker: Worker, context: &mut Context) -> Result<(), Failure> {
    let (tell, events) = channel();
    follow_signals(&tell)?;
    let project = project_of(&worker.target)?;
    let settings = Settings::find(&project)?;
    let flags = worker.flags.0;
    options(&settings, &flags)?;
    let _log = log(&settings, &flags)?;
    let interpreter = python::interpreter(settings.get(&PYTHON, flags.get(&PYTHON))?, context)?;
    let directory = Scratch::new()?;
    let address = directory.0.join("socket");
    reports::listen(&address, &tell)?;
    let home = context.given_home().map(|_| context.home()).transpose()?;
    let mut dev = Dev {
        code: Code { interpreter, target: worker.target, address },
        flags,
        project,
        home,
        client: None,
        waker: Waker::new(&tell),
        tell,
        context,
        watched: Watched::default(),
        made_of: BTreeMap::new(),
        last_number: 0,
        loading: None,
        current: None,
        leaving: Vec::new(),
        trouble: None,
        change: None,
        stopping: false,
        signals: 0,
        server_at: Instant::now() + SERVER_EVERY,
    };
    dev.begin();
    dev.follow(&events)
}

/// A private directory that goes with the program.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        use std::os::unix::fs::DirBuilderExt;
        let name = format!(
            "lineshaft-dev-{}-{:x}",
            std::process::id(),
            SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos())
        );
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            Failure::new(FAILED, format!("cannot make the directory {}: {error}", path.display()))
        })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn follow_signals(tell: &Sender<Event>) -> Result<(), Failure> {
    let signals = Signals::new([SIGINT, SIGTERM]);
    let mut signals =
        signals.map_err(|error| Failure::new(FAILED, format!("cannot handle signals: {error}")))?;
    let tell = tell.clone();
    thread::spawn(move || signals.forever().try_for_each(|_| tell.send(Event::Signal)));
    Ok(())
}

/// Files that changed, not acted upon yet.
struct Change {
    files: BTreeSet<PathBuf>,
    first: Instant,
    last: Instant,
}

struct Dev<'a> {
    code: Code,
    flags: Given,
    project: PathBuf,
    /// Unknown until the app was loaded once, unless it is given.
    home: Option<Home>,
    /// Keeps a server on demand, also while no worker runs.
    client: Option<Client>,
    waker: Waker,
    tell: Sender<Event>,
    context: &'a mut Context,
    watched: Watched,
    /// Files of each load, by its number.
    made_of: BTreeMap<u64, BTreeSet<PathBuf>>,
    last_number: u64,
    loading: Option<Generation>,
    current: Option<Generation>,
    leaving: Vec<Generation>,
    /// Why the newest code does not run; said once.
    trouble: Option<String>,
    change: Option<Change>,
    /// Somebody wanted an end.
    stopping: bool,
    /// How often somebody pressed Ctrl-C, or sent SIGTERM.
    signals: u32,
    server_at: Instant,
}

impl Dev<'_> {
    fn follow(&mut self, events: &Receiver<Event>) -> Result<(), Failure> {
        loop {
            match events.recv_timeout(self.patience()) {
                Ok(Event::Said(report)) => self.hear(report),
                Ok(Event::Ended { number, end }) => self.ended(number, end)?,
                Ok(Event::Signal) => self.stop(),
                Ok(Event::Touched) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if self.stopping {
                if self.loading.is_none() && self.current.is_none() && self.leaving.is_empty() {
                    return Ok(());
                }
                continue;
            }
            self.look();
            self.act();
            self.keep_server();
        }
    }

    fn patience(&self) -> Duration {
        if self.change.is_some() { QUIET } else { LOOK_EVERY }
    }

    fn say(&mut self, words: &str) {
        self.context.output.say(format!("dev: {words}"));
    }

    // ---- Changes.

    fn look(&mut self) {
        let changed = self.watched.changed();
        self.note(changed);
    }

    fn note(&mut self, files: Vec<PathBuf>) {
        if files.is_empty() {
            return;
        }
        let now = Instant::now();
        let change =
            self.change.get_or_insert_with(|| Change { files: BTreeSet::new(), first: now, last: now });
        change.files.extend(files);
        change.last = now;
    }

    fn act(&mut self) {
        let over =
            |change: &mut Change| change.last.elapsed() >= QUIET || change.first.elapsed() >= QUIET_LATE;
        let Some(change) = self.change.take_if(over) else { return };
        self.say(&format!("{}, loading the new code", described(&change.files)));
        self.begin();
    }

    // ---- Loads.

    /// Loads the code as it is now; what is being loaded is old already.
    fn begin(&mut self) {
        if let Some(outdated) = self.loading.take() {
            outdated.kill();
            self.leaving.push(outdated);
        }
        self.last_number += 1;
        match self.load() {
            Ok(generation) => self.loading = Some(generation),
            Err(failure) => self.broken(&failure.words(), &[]),
        }
    }

    fn load(&mut self) -> Result<Generation, Failure> {
        let settings = Settings::find(&self.project);
        let files: Vec<PathBuf> = match &settings {
            Ok(settings) => settings.files().map(Path::to_owned).collect(),
            Err(lineshaft::Error::Config { path, .. }) => vec![path.clone()],
            Err(_) => Vec::new(),
        };
        self.made_of.entry(self.last_number).or_default().extend(files.iter().cloned());
        self.watched.add(&files, SystemTime::now());
        let settings = settings?;
        let Some(home) = self.home.clone() else { return self.code.look(self.last_number, &self.tell) };
        self.serve(&home)?;
        let flags = &self.flags;
        let options = |command| {
            let target = Target::home(home.path());
            options(&settings, flags).map(|options| Options { target, command, ..options })
        };
        self.code.work(self.last_number, options, &self.tell)
    }

    fn hear(&mut self, report: Report) {
        let Report { number, kind, files } = report;
        let all = [&self.loading, &self.current].into_iter().flatten().chain(&self.leaving);
        let Some(since) = all.into_iter().find(|one| one.number == number).map(|one| one.since) else {
            return;
        };
        self.made_of.entry(number).or_default().extend(files.iter().cloned());
        let changed = self.watched.add(&files, since);
        self.note(changed);
        let is_newest = self.loading.as_ref().is_some_and(|loading| loading.number == number);
        match kind {
            Kind::Loaded { url, tasks, warnings } if is_newest => self.loaded(&url, tasks, &warnings),
            Kind::Failed { error, directories } if is_newest => {
                if let Some(broken) = self.loading.take() {
                    broken.kill();
                    self.leaving.push(broken);
                }
                self.broken(&error, &directories);
            }
            _ => {}
        }
        self.waker.watch(&self.watched.places());
    }

    fn loaded(&mut self, url: &str, tasks: u64, warnings: &[String]) {
        let given = self.context.given_home().is_some();
        let elsewhere = !given && self.home.as_ref().is_none_or(|home| home.path() != Path::new(url));
        if elsewhere {
            // The same code again, as a worker of the home that is now known.
            self.home = Some(Home::new(url));
            self.client = None;
            return self.begin();
        }
        let Some(new) = self.loading.take() else { return };
        self.trouble = None;
        self.watched.look_at_files_only();
        let made_of = self.made_of.remove(&new.number).unwrap_or_default();
        self.watched.keep(&made_of);
        self.made_of = [(new.number, made_of)].into();
        for words in warnings {
            self.context.output.warn(words);
        }
        let words = format!(
            "{} is loaded: {}, {}; watching {}",
            self.code.target,
            counted(tasks as usize, "task"),
            counted(new.processes(), "process"),
            counted(self.watched.count(), "file"),
        );
        self.say(&words);
        if let Some(old) = self.current.replace(new) {
            old.stop();
            self.leaving.push(old);
        }
    }

    /// The new code does not run; what runs goes on until the next change.
    fn broken(&mut self, error: &str, directories: &[PathBuf]) {
        self.watched.look_in(directories);
        self.waker.watch(&self.watched.places());
        if self.trouble.as_deref() == Some(error) {
            return;
        }
        self.trouble = Some(error.to_owned());
        let rest = if self.current.is_some() { "; the old code goes on" } else { "" };
        self.say(&format!(
            "{} does not load{rest}\n{error}\ndev: waiting for the next change",
            self.code.target
        ));
    }

    fn ended(&mut self, number: u64, end: Result<(), Failure>) -> Result<(), Failure> {
        let is = |generation: &mut Generation| generation.number == number;
        self.leaving.retain_mut(|leaving| !is(leaving));
        if self.current.take_if(is).is_some() {
            // A worker that nobody asked to end cannot go on.
            return if self.stopping { Ok(()) } else { end };
        }
        if self.loading.take_if(is).is_some()
            && let (Err(failure), false) = (end, self.stopping)
        {
            self.broken(&failure.words(), &[]);
        }
        Ok(())
    }

    // ---- The server.

    fn serve(&mut self, home: &Home) -> Result<(), Failure> {
        if let Some(warning) = launch::ensure_server(home, &self.context.server_command()?)? {
            self.context.output.warn(&warning);
        }
        if self.client.is_none() {
            let client = self.context.client_of(home)?;
            let pid = client.welcome().map_or(0, |welcome| welcome.pid);
            self.client = Some(client);
            self.say(&format!("the server of {} is process {pid}", home.path().display()));
        }
        Ok(())
    }

    /// A server that went away is started again.
    fn keep_server(&mut self) {
        let Some(home) = self.home.clone().filter(|_| Instant::now() >= self.server_at) else { return };
        self.server_at = Instant::now() + SERVER_EVERY;
        if self.client.is_none() || launch::is_answering(&home) {
            return;
        }
        self.client = None;
        if let Err(failure) = self.serve(&home) {
            self.context.output.complain(&failure);
        }
    }

    // ---- The end.

    /// The first signal lets what runs end; a second one kills it.
    fn stop(&mut self) {
        self.signals += 1;
        let all = [&self.loading, &self.current].into_iter().flatten().chain(&self.leaving);
        if self.signals > 1 {
            all.for_each(Generation::kill);
            return;
        }
        all.for_each(Generation::stop);
        if !std::mem::replace(&mut self.stopping, true) {
            self.say("stopping; what runs may finish, Ctrl-C again kills it");
        }
    }
}

fn described(files: &BTreeSet<PathBuf>) -> String {
    let cwd = working_directory().unwrap_or_default();
    let first = files.first().map(|file| file.strip_prefix(&cwd).unwrap_or(file).display().to_string());
    match (first, files.len()) {
        (Some(first), 2..) => format!("{first} and {} changed", counted(files.len() - 1, "other file")),
        (first, _) => format!("{} changed", first.unwrap_or_default()),
    }
}

fn counted(count: usize, what: &str) -> String {
    match (count, what) {
        (1, what) => format!("1 {what}"),
        (_, "process") => format!("{count} processes"),
        _ => format!("{count} {what}s"),
    }
}
