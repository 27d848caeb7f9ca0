//! `lineshaft serve`: the server of a home, in this process.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use lineshaft::launch;
use lineshaft_server::{Error, Retention, ServeOptions};

use crate::args::Serve;
use crate::context::{Context, working_directory};
use crate::exit::{DECLINED, FAILED, Failure, USAGE};
use crate::flags::Given;
use crate::server_log::{LogOptions, ServerLog};
use lineshaft::config::{
    CACHE_BYTES, DURABILITY, HISTORY_BYTES, HISTORY_DAYS, LISTEN, LOG, LOG_FILE, LOG_FILE_KEEP,
    LOG_FILE_SIZE, LOG_FORMAT, MEMORY_BYTES, Setting, Settings, Value,
};

/// What holds where the table says nothing else, which it does.
const LOG_FILE_BYTES: u64 = 10 << 20;
const LOG_FILES: u32 = 3;
const DAY: Duration = Duration::from_secs(86_400);

const _: () = assert!(DECLINED == launch::EXIT_DECLINED, "starters wait for the winner by this code");

pub(crate) fn run(serve: Serve, context: &mut Context) -> Result<(), Failure> {
    if serve.on_demand {
        // A session of its own outlives the terminal of whoever started it; there already in one, it stays.
        let _ = rustix::process::setsid();
    }
    let home = context.home()?;
    // A server that was started on demand stands in no directory of its user: its home lies in the project.
    let start = if serve.on_demand { home.path().to_owned() } else { working_directory()? };
    let settings = Settings::find(&start)?;
    let value = |setting: &Setting| -> Result<Option<Value>, Failure> {
        Ok(settings.get(setting, serve.flags.0.get(setting))?.value)
    };
    let text = |setting: &Setting| -> Result<Option<String>, Failure> {
        Ok(value(setting)?.and_then(Value::into_text))
    };
    // As long as this, so that what it says of its end is written before the process ends.
    let _log = ServerLog::start(LogOptions {
        filter: text(&LOG)?.unwrap_or_default(),
        is_json: text(&LOG_FORMAT)?.as_deref() == Some("json"),
        file: if serve.on_demand { None } else { text(&LOG_FILE)?.map(|path| start.join(path)) },
        stderr_file: serve.on_demand.then(|| home.log_file()).filter(|path| is_stderr(path)),
        size_bytes: value(&LOG_FILE_SIZE)?.and_then(Value::into_size).unwrap_or(LOG_FILE_BYTES),
        keep: value(&LOG_FILE_KEEP)?.and_then(Value::into_count).unwrap_or(LOG_FILES),
    })?;
    if let Some(warning) = home.prepare()? {
        context.output.warn(&warning);
    }
    let defaults = ServeOptions::new(home.path());
    // An interpreter's own file says nothing about the environment it serves from; this runs the same version again.
    let executable = context.host.python.as_ref().map(|python| format!("{} -m lineshaft", python.display()));
    let options = ServeOptions {
        executable: executable.unwrap_or(defaults.executable),
        listen: if serve.on_demand { None } else { text(&LISTEN)? },
        on_demand: serve.on_demand,
        durability: durability(text(&DURABILITY)?.as_deref()),
        retention: retention(&settings, &serve.flags.0)?,
        memory_bytes: value(&MEMORY_BYTES)?.and_then(Value::into_size),
        cache_bytes: value(&CACHE_BYTES)?.and_then(Value::into_size),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lease: serve.lease.unwrap_or(defaults.lease),
        ready: Box::new(announce),
        ..defaults
    };
    lineshaft_server::serve(options).map_err(|error| failure(&error))
}

fn announce(address: &str) {
    // A starter that has gone away meanwhile does not need to know.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "ready {address}").and_then(|()| out.flush());
}

fn durability(level: Option<&str>) -> lineshaft_store::Durability {
    match level {
        Some("os") => lineshaft_store::Durability::Os,
        _ => lineshaft_store::Durability::Sync,
    }
}

/// How long finished jobs are kept by these settings and flags.
pub(crate) fn retention(settings: &Settings, flags: &Given) -> Result<Retention, Failure> {
    let value = |setting: &Setting| Ok::<_, Failure>(settings.get(setting, flags.get(setting))?.value);
    let default = Retention::default();
    Ok(Retention {
        age: value(&HISTORY_DAYS)?.and_then(Value::into_count).map_or(default.age, |days| DAY * days),
        bytes: value(&HISTORY_BYTES)?.and_then(Value::into_size).unwrap_or(default.bytes),
    })
}

/// Whether standard error is this file, as whoever starts a server on demand has it.
fn is_stderr(path: &Path) -> bool {
    let is = rustix::fs::fstat(rustix::stdio::stderr());
    let found = std::fs::metadata(path);
    matches!((is, found), (Ok(is), Ok(found)) if (is.st_dev, is.st_ino) == (found.dev(), found.ino()))
}

fn failure(error: &Error) -> Failure {
    let message = error.to_string();
    let failure = match error {
        Error::AlreadyServed { pid, .. } => {
            let pid = pid.map_or_else(|| "PID".to_owned(), |pid| pid.to_string());
            Failure::new(DECLINED, message)
                .hint(format!("use that server, or `lineshaft stop` (or `kill {pid}`) it first"))
        }
        Error::Listen { .. } => {
            Failure::new(USAGE, message).hint("--listen takes HOST:PORT, such as 127.0.0.1:7070")
        }
        _ => Failure::new(FAILED, message),
    };
    failure.error(error.code())
}
