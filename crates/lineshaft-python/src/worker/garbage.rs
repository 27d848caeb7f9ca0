//! Garbage collection between jobs instead of inside of them.
//!
//! What the app has made until it is loaded is never looked through again. In a process that runs one job at a time the
//! collector then waits for the end of a body, unless that makes much garbage itself or its task is slow: who runs for
//! long must not have to keep what it has thrown away. Between two jobs it works by the thresholds that it always had.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// By how much the first threshold is higher inside of a body.
const IN_BODY: u64 = 10;
/// Tasks whose attempts take longer are left to the collector.
const SLOW: Duration = Duration::from_millis(10);
/// A full collection waits for so many times as long as the last one took.
const FULL_PAUSE: u32 = 20;

type Thresholds = (u64, u64, u64);

/// The collector of this process.
pub(super) struct Garbage {
    get_count: Py<PyAny>,
    collect: Py<PyAny>,
    set_threshold: Py<PyAny>,
    normal: Thresholds,
    /// Thresholds are those of a body.
    held_back: bool,
    /// When the last full collection ended, and how long it took.
    full: (Instant, Duration),
}

/// Collects what loading the app has left, and spares the collector the rest from here on.
pub(super) fn freeze(py: Python<'_>) -> PyResult<()> {
    let gc = py.import("gc")?;
    gc.call_method0("collect")?;
    gc.call_method0("freeze").map(drop)
}

impl Garbage {
    /// `None` if the app has switched the collector off.
    pub(super) fn new(py: Python<'_>) -> PyResult<Option<Self>> {
        let gc = py.import("gc")?;
        let normal: Thresholds = gc.call_method0("get_threshold")?.extract()?;
        if normal.0 == 0 || !gc.call_method0("isenabled")?.extract::<bool>()? {
            return Ok(None);
        }
        let function = |name: &str| gc.getattr(name).map(Bound::unbind);
        Ok(Some(Self {
            get_count: function("get_count")?,
            collect: function("collect")?,
            set_threshold: function("set_threshold")?,
            normal,
            held_back: false,
            full: (Instant::now(), Duration::ZERO),
        }))
    }

    /// A body is over, which took so long; gives whether the next one of its task is quick.
    pub(super) fn after(&mut self, py: Python<'_>, took: Duration) -> PyResult<bool> {
        let (young, middle, old): Thresholds = self.get_count.bind(py).call0()?.extract()?;
        if young >= self.normal.0 {
            let now = Instant::now();
            let (full_at, full_took) = self.full;
            if old > self.normal.2 && now - full_at >= full_took * FULL_PAUSE {
                self.collect.bind(py).call0()?;
                let end = Instant::now();
                self.full = (end, end - now);
            } else {
                self.collect.bind(py).call1((u64::from(middle > self.normal.1),))?;
            }
        }
        Ok(took < SLOW)
    }

    /// A body begins whose task is quick, or is not.
    pub(super) fn before(&mut self, py: Python<'_>, is_quick: bool) -> PyResult<()> {
        if is_quick == self.held_back {
            return Ok(());
        }
        let (young, middle, old) = self.normal;
        let young = if is_quick { young.saturating_mul(IN_BODY) } else { young };
        self.set_threshold.bind(py).call1((young, middle, old))?;
        self.held_back = is_quick;
        Ok(())
    }
}
