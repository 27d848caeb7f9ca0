//! `lineshaft serve`: the server of a home, in this process.

use std::io::Write;

use lineshaft::launch;
use lineshaft_server::{Error, ServeOptions};
use tracing_subscriber::EnvFilter;

use crate::args::{Durability, Serve};
use crate::context::Context;
use crate::exit::{DECLINED, FAILED, Failure, USAGE};

/// The variable that filters the log, in the form of `tracing`'s `EnvFilter`.
const LOG_VARIABLE: &str = "LINESHAFT_LOG";

const _: () = assert!(DECLINED == launch::EXIT_DECLINED, "starters wait for the winner by this code");

pub(crate) fn run(serve: Serve, context: &mut Context) -> Result<(), Failure> {
    if serve.on_demand {
        // A session of its own outlives the terminal of whoever started it; there already in one, it stays.
        let _ = rustix::process::setsid();
    }
    let home = context.home()?;
    start_log();
    if let Some(warning) = home.prepare()? {
        context.output.warn(&warning);
    }
    let options = ServeOptions {
        listen: serve.listen,
        on_demand: serve.on_demand,
        durability: durability(serve.durability),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ready: Box::new(announce),
        ..ServeOptions::new(home.path())
    };
    lineshaft_server::serve(options).map_err(|error| failure(&error))
}

fn announce(address: &str) {
    // A starter that has gone away meanwhile does not need to know.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "ready {address}").and_then(|()| out.flush());
}

fn durability(durability: Durability) -> lineshaft_store::Durability {
    match durability {
        Durability::Sync => lineshaft_store::Durability::Sync,
        Durability::Os => lineshaft_store::Durability::Os,
    }
}

fn start_log() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    // A host may have a subscriber already: then the log is its business.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
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
