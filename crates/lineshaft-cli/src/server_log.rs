//! What a server logs: events of `tracing`, by `lineshaft-log`, to standard error or to files of bounded size.
//!
//! A server on demand has standard error on `output/server.log` of its home, which whoever starts it has opened. Records go
//! to that path by a handler that rotates it; after that standard error is put on the new file, so that what goes past
//! the log, such as the last words of a crash, is in it too. If the file is gone, the home may be about to go: a log that
//! was made anew would bring back its directory.

use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lineshaft::config::{LOG, Setting};
use lineshaft_ipc::crash;
use lineshaft_log::handler::{Colours, Compression, Console, File, FileOptions, Rotation};
use lineshaft_log::{
    Failure, Filter, Format, Gate, Handler, LevelNames, Limit, Open, Options, Pipeline, Record, Spec,
    WhenFull, log_panics, log_panics_alone, tracing_layer,
};
use rustix::stdio::{dup2_stderr, stderr};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::exit::{FAILED, Failure as Ended, USAGE};

/// How often one place of the source may log, so that what fails again and again fills no disk.
const LIMIT: Limit = Limit { count: 100, period: Duration::from_secs(1), burst: 500 };
/// So long the end of a process, and a crash, wait for what was logged.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// A file that somebody has removed is made anew after so long.
const GONE: Duration = Duration::from_secs(60);

/// What is logged, how and where to.
pub(crate) struct LogOptions {
    /// Directives.
    pub(crate) filter: String,
    /// Whether each record is an object of JSON.
    pub(crate) is_json: bool,
    /// A file in place of standard error.
    pub(crate) file: Option<PathBuf>,
    /// The file that standard error is on, if that is to be bounded.
    pub(crate) stderr_file: Option<PathBuf>,
    /// When a file is full, and how many full ones are kept.
    pub(crate) size_bytes: u64,
    pub(crate) keep: u32,
}

/// The log of a server; its records are written when this goes.
pub(crate) struct ServerLog(Arc<Pipeline>);

impl ServerLog {
    /// Begins to log what this process says by `tracing`, unless its host does so already.
    pub(crate) fn start(options: LogOptions) -> Result<Self, Ended> {
        let filter = filter_of(&options.filter, &LOG)?;
        let is_on_stderr = options.file.is_none();
        let (pipeline, is_ours) = begin(filter, options.handler())?;
        if is_ours {
            // The usual hook says a panic on standard error, where it is already.
            if is_on_stderr {
                log_panics_alone(pipeline.clone());
            } else {
                log_panics(pipeline.clone());
            }
            let last = pipeline.clone();
            // Where that cannot be, a crash is what it is elsewhere.
            let _ = crash::act_before(Some(Arc::new(move || {
                last.flush_healthy(PATIENCE);
            })));
        }
        Ok(Self(pipeline))
    }
}

/// Begins to log what this process says by `tracing`; and whether it is, which its host may do already.
pub(crate) fn begin(filter: Filter, handler: Spec) -> Result<(Arc<Pipeline>, bool), Ended> {
    let mut options = Options::new(Gate::new(filter, Some(LIMIT)), vec![handler]);
    // Neither engine nor supervisor waits for who reads a log.
    options.when_full = WhenFull::DropNew;
    let failed =
        |error: &dyn std::fmt::Display| Ended::new(FAILED, format!("the log cannot be written: {error}"));
    let (pipeline, _) = Pipeline::open(options).map_err(|error| failed(&error))?;
    pipeline.start().map_err(|error| failed(&error))?;
    let pipeline = Arc::new(pipeline);
    let layer = tracing_layer(pipeline.clone());
    let is_ours = tracing_subscriber::registry().with(layer).try_init().is_ok();
    Ok((pipeline, is_ours))
}

/// The filter that a setting says.
pub(crate) fn filter_of(directives: &str, setting: &Setting) -> Result<Filter, Ended> {
    Filter::parse(directives, &LevelNames::default()).map_err(|error| {
        Ended::new(USAGE, format!("the log filter does not read: {error}"))
            .hint(format!("accepted: {}", setting.kind.forms()))
    })
}

impl Drop for ServerLog {
    fn drop(&mut self) {
        self.0.flush_healthy(PATIENCE);
    }
}

impl LogOptions {
    fn handler(self) -> Spec {
        let path = self.file.clone().or_else(|| self.stderr_file.clone());
        let name = path.as_ref().map_or_else(|| "console".to_owned(), |path| path.display().to_string());
        let open: Open = Arc::new(move |levels| self.open(levels));
        Spec::new(&name, open)
    }

    fn open(&self, levels: &Arc<LevelNames>) -> Result<Box<dyn Handler>, lineshaft_log::Error> {
        if let Some(path) = &self.file {
            return Ok(Box::new(File::open(self.file_options(path), levels)?));
        }
        if let Some(path) = &self.stderr_file {
            let file = File::open(self.file_options(path), levels)?;
            let console = self.console(false, levels);
            return Ok(Box::new(BesideStderr { file, path: path.clone(), console, gone_since: None }));
        }
        Ok(Box::new(self.console(Colours::Terminal.are_shown(), levels)))
    }

    fn console(&self, has_colours: bool, levels: &Arc<LevelNames>) -> Console {
        let format = self.format(has_colours);
        let zone = format.usual_zone();
        Console::new(format, zone, levels)
    }

    fn format(&self, has_colours: bool) -> Format {
        if self.is_json { Format::Json } else { Format::Text { has_colours } }
    }

    fn file_options(&self, path: &Path) -> FileOptions {
        let format = self.format(false);
        let zone = format.usual_zone();
        let rotation = Rotation {
            size_bytes: Some(self.size_bytes),
            every: None,
            keep: self.keep,
            compression: Compression::None,
        };
        FileOptions { path: path.to_owned(), format, zone, mode: 0o600, rotation: Some(rotation) }
    }
}

/// Writes to the file that standard error is on, and keeps that there when another one is begun.
struct BesideStderr {
    file: File,
    path: PathBuf,
    /// What writes while there is no such file.
    console: Console,
    gone_since: Option<Instant>,
}

impl Handler for BesideStderr {
    fn handle(&mut self, records: &[&Record]) -> Result<(), Failure> {
        if self.shall_stay_gone() {
            return self.console.handle(records);
        }
        let handled = self.file.handle(records);
        // If it fails that stays where it is, which is a file that is not current.
        let _ = self.follow();
        handled
    }
}

impl BesideStderr {
    /// Whether somebody has removed the file, and may be removing the home. A server whose home is removed ends long before
    /// the file is made anew.
    fn shall_stay_gone(&mut self) -> bool {
        if self.path.exists() {
            self.gone_since = None;
            return false;
        }
        let since = *self.gone_since.get_or_insert_with(Instant::now);
        since.elapsed() < GONE || !self.path.parent().is_some_and(Path::is_dir)
    }

    fn follow(&self) -> std::io::Result<()> {
        let (is, found) = (rustix::fs::fstat(stderr())?, std::fs::metadata(&self.path)?);
        if (is.st_dev, is.st_ino) != (found.dev(), found.ino()) {
            let file = OpenOptions::new().append(true).mode(0o600).open(&self.path)?;
            dup2_stderr(&file)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::{env, fs, thread};

    use super::*;

    const LOG_FILE: &str = "LINESHAFT_TEST_LOG_FILE";
    const STDERR_FILE: &str = "LINESHAFT_TEST_STDERR_FILE";

    #[test]
    #[ignore = "run by the one below, in a process of its own"]
    fn panics() {
        let path = |variable: &str| env::var_os(variable).map(PathBuf::from);
        let log = ServerLog::start(LogOptions {
            filter: "info".to_owned(),
            is_json: false,
            file: path(LOG_FILE),
            stderr_file: path(STDERR_FILE),
            size_bytes: 1 << 20,
            keep: 1,
        });
        let engine = thread::Builder::new().name("engine".to_owned()).spawn(|| panic!("no {}", "way"));
        assert!(engine.unwrap().join().is_err());
        drop(log.expect("a log"));
    }

    /// The usual hook of panics said it on standard error too, where the log had it already.
    #[test]
    fn a_panic_is_written_once() {
        let directory = tempfile::tempdir().unwrap();
        let run = |variable: Option<&str>| {
            let paths = [directory.path().join("log"), directory.path().join("stderr")];
            paths.iter().for_each(|path| drop(fs::remove_file(path)));
            let [log, stderr] = paths;
            let mut command = Command::new(env::current_exe().unwrap());
            command.args(["--exact", "server_log::tests::panics", "--ignored", "--nocapture"]);
            command.stdout(Stdio::null()).stderr(fs::File::create(&stderr).unwrap());
            command.env_remove("RUST_BACKTRACE");
            command
                .envs(variable.map(|variable| (variable, if variable == LOG_FILE { &log } else { &stderr })));
            assert!(command.status().unwrap().success());
            [stderr, log].map(|path| fs::read_to_string(path).unwrap_or_default())
        };
        let count = |text: &str| (text.matches("no way").count(), text.matches("panicked at ").count());
        for (variable, in_log) in [(None, 0), (Some(STDERR_FILE), 0), (Some(LOG_FILE), 1)] {
            let [stderr, log] = run(variable);
            assert_eq!(count(&stderr), (1, 1), "{variable:?}: {stderr}");
            assert_eq!(count(&log), (in_log, in_log), "{variable:?}: {log}");
            assert!(stderr.contains("thread 'engine'") && stderr.contains("server_log.rs:"), "{stderr}");
        }
    }
}
