//! `lineshaft serve`: the server of a home, in this process.

use std::io::Write;
use std::time::Duration;

use lineshaft::launch;
use lineshaft::talk::Talk;
use lineshaft_server::{Error, Retention, ServeOptions};
use tracing_subscriber::EnvFilter;

use crate::args::Serve;
use crate::context::{Context, working_directory};
use crate::exit::{DECLINED, FAILED, Failure, USAGE};
use crate::flags::Given;
use lineshaft::config::{
    CACHE_BYTES, DURABILITY, HISTORY_BYTES, HISTORY_DAYS, LISTEN, LOG, MEMORY_BYTES, Setting, Settings, Value,
};

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
    let talk = Talk::to_stderr();
    start_log(&text(&LOG)?.unwrap_or_default(), &talk)?;
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
    let served = lineshaft_server::serve(options);
    talk.finish();
    served.map_err(|error| failure(&error))
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

fn start_log(filter: &str, talk: &Talk) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::new(USAGE, format!("the log filter {filter:?} does not read: {error}"))
            .hint(format!("accepted: {}", LOG.kind.forms()))
    })?;
    // A host may have a subscriber already: then the log is its business.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer({
            let talk = talk.clone();
            move || talk.clone()
        })
        .with_ansi(false)
        .try_init();
    Ok(())
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
