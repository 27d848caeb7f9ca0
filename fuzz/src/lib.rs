//! What each decoder must do with bytes that nobody vouches for.
//!
//! A [`Target`] takes bytes, has a decoder of the product read them, and panics if the decoder breaks one of its
//! promises: it does not panic, stays within a bound of memory, and what it read can be written and read again as the
//! same. Those of files damage what the product wrote itself; there the promise is *the same content, or an error that
//! names the file*.
//!
//! The programs in `fuzz_targets/` call the targets under `libFuzzer` (`make fuzz`). `tests/` calls the same functions with
//! every input of `corpus/`, and with all of them cut and changed, in every run of the tests.

mod block;
mod cursor;
mod damage;
mod jobs;
mod journal;
mod logs;
mod memory;
mod text;
mod wire;

pub use block::forged_seed;
pub use cursor::unpack;
pub use logs::forged_logs_seed;
pub use memory::bounded;

/// A decoder, or one face of it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, that of its program and of its directory in `corpus/`.
    pub name: &'static str,
    /// Has the bytes read; whether they were taken for good. Panics if a promise was broken.
    pub check: fn(&[u8]) -> bool,
}

/// Every target.
pub const TARGETS: [Target; 12] = [
    Target { name: "frame", check: wire::frame },
    Target { name: "message", check: wire::message },
    Target { name: "value", check: wire::value },
    Target { name: "change", check: jobs::change },
    Target { name: "snapshot", check: jobs::snapshot },
    Target { name: "rules", check: jobs::rules },
    Target { name: "journal", check: journal::journal },
    Target { name: "block", check: block::block },
    Target { name: "logs", check: logs::logs },
    Target { name: "cursor", check: cursor::cursor },
    Target { name: "text", check: text::text },
    Target { name: "config", check: text::config },
];

/// Runs the target of that name.
///
/// # Panics
///
/// If a promise was broken, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("the target is in the list").check)(data);
}
