//! The app whose tasks the figures run, in Python.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// The app and the programs, by the names that they have in the directory of a run.
const FILES: &[(&str, &str)] = &[
    ("bench_app.py", include_str!("../python/bench_app.py")),
    ("bench_cold.py", include_str!("../python/bench_cold.py")),
    ("bench_enqueue.py", include_str!("../python/bench_enqueue.py")),
    ("bench_latency.py", include_str!("../python/bench_latency.py")),
];

/// What a worker is told to run.
pub(crate) const TARGET: &str = "bench_app.py";

/// Writes the app and the programs that use it.
pub(crate) fn write(directory: &Path) -> Result<()> {
    for (name, text) in FILES {
        let path = directory.join(name);
        fs::write(&path, text).map_err(Error::io(format!("write {}", path.display())))?;
    }
    Ok(())
}
