//! What a worker's supervisor says by `tracing`, on standard error beside what it says to people.

use std::sync::Arc;

use lineshaft::config::WORKER_LOG;
use lineshaft::worker::supervisor::TOLD;
use lineshaft_log::handler::Console;
use lineshaft_log::{Format, Handler, LevelNames, Open, Pipeline, Record, Spec};

use crate::exit::Failure as Ended;
use crate::server_log::{PATIENCE, begin, filter_of};

/// The log of a worker; its records are written when this goes.
pub(crate) struct WorkerLog(Arc<Pipeline>);

impl WorkerLog {
    /// Begins to say what events of `tracing` these directives are for, unless the host of this process does so already.
    pub(crate) fn start(directives: &str) -> Result<Self, Ended> {
        filter_of(directives, &WORKER_LOG)?;
        // People were told of that already.
        let filter = filter_of(&format!("{directives},{TOLD}=off"), &WORKER_LOG)?;
        let open: Open = Arc::new(|levels| Ok(Box::new(console(levels)) as Box<dyn Handler>));
        Ok(Self(begin(filter, Spec::new("console", open))?.0))
    }
}

impl Drop for WorkerLog {
    fn drop(&mut self) {
        self.0.flush_healthy(PATIENCE);
    }
}

fn console(levels: &Arc<LevelNames>) -> Console {
    let names = levels.clone();
    let format = Format::function(move |record| Ok(Some(words_of(record, &names))));
    let zone = format.usual_zone();
    Console::new(format, zone, levels)
}

/// As the command line says what people may want to know.
fn words_of(record: &Record, levels: &LevelNames) -> String {
    let fields: Vec<String> = record.fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let fields = if fields.is_empty() { String::new() } else { format!(" ({})", fields.join(", ")) };
    format!("{}: {}{fields}", levels.shown(record.level), record.message)
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::{Command, Stdio};

    use super::*;

    const DIRECTIVES: &str = "LINESHAFT_TEST_DIRECTIVES";

    #[test]
    #[ignore = "run by the one below, in a process of its own"]
    fn speaks() {
        let log = WorkerLog::start(&env::var(DIRECTIVES).unwrap_or_default());
        tracing::warn!(target: "lineshaft::worker::supervisor::process", child = 3, "a child was reaped");
        tracing::error!(target: TOLD, "the server is away");
        tracing::error!(error = "no\x1b", "a report cannot be sent");
        tracing::info!("a child is replaced");
        drop(log.expect("a log"));
    }

    /// They went nowhere.
    #[test]
    fn a_supervisor_says_its_warnings_as_other_words() {
        let said = |directives: &str| {
            let mut command = Command::new(env::current_exe().unwrap());
            command.args(["--exact", "worker_log::tests::speaks", "--ignored", "--nocapture"]);
            let output = command.env(DIRECTIVES, directives).stdout(Stdio::null()).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stderr).unwrap()
        };
        let (warning, error) =
            ("warning: a child was reaped (child=3)", "error: a report cannot be sent (error=no\\x1b)");
        assert_eq!(said("warning").lines().collect::<Vec<_>>(), [warning, error]);
        assert_eq!(said("info").lines().collect::<Vec<_>>(), [warning, error, "info: a child is replaced"]);
        assert_eq!(said("error").lines().collect::<Vec<_>>(), [error]);
        assert_eq!(said("off"), "");
        let refused = WorkerLog::start("warning,").map(drop).unwrap_err();
        assert_eq!(refused.code, crate::exit::USAGE);
    }
}
