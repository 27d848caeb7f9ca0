//! What is said of a child that is dead: how its attempts ended, and why there is another one in its place.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use lineshaft_ipc::memory;
use lineshaft_ipc::process::Exit;
use lineshaft_ipc::shared::{Begun, StopReason};
use lineshaft_wire::message::{ChildEnded, End, OtherEnd};
use lineshaft_wire::{ErrorRecord, Measures};

use super::memory::Excess;
use super::process::Process;
use super::wear::Why;
use crate::worker::child::{Noted, end_after, wire_fence};
use crate::worker::clock::{monotonic_ms_of, unix_ms};

/// What there is to say of a SIGKILL that was not the worker's own.
const KERNEL_KILLS: &str = ", while the kernel was killing for want of memory";

/// A dead child, its group empty.
pub(super) struct LastWord<'a> {
    pub(super) process: &'a Process,
    pub(super) exit: Option<Exit>,
    /// The attempt for whose memory it was killed.
    pub(super) excess: Option<Excess>,
    /// Why it was to be replaced.
    pub(super) worn: Option<Why>,
    /// The worker was stopping.
    pub(super) drains: bool,
    /// How many processes the kernel had killed for want of memory when the child started.
    pub(super) kernel_kills: Option<u64>,
}

impl LastWord<'_> {
    /// For the server: how the child's attempts ended, and what they printed.
    pub(super) fn report(&self) -> (ChildEnded, Bytes) {
        let page = &self.process.page;
        let begun: Vec<Begun> = page.begun().collect();
        let (mut outputs, printed) = (Vec::new(), page.read_outputs(&begun));
        let ended = begun.iter().zip(&printed).filter_map(|(begun, printed)| {
            let end = self.end(begun, printed.len())?;
            outputs.extend_from_slice(printed);
            Some(end)
        });
        let begun: Vec<OtherEnd> = ended.collect();
        let newest = page.newest().map(wire_fence);
        let unbegun = page.unbegun().into_iter().map(wire_fence).collect();
        let report = ChildEnded { child: self.process.number, begun, newest, unbegun, why: self.why() };
        (report, outputs.into())
    }

    /// Why there is another child in its place.
    fn why(&self) -> Option<Arc<str>> {
        if self.drains {
            return None;
        }
        let words = match (self.worn, &self.excess) {
            (Some(why), _) => why.to_string(),
            (None, Some(excess)) => format!("an attempt {}", excess.words()),
            (None, None) => format!("it {}{}", describe(self.exit), self.kernel_words()),
        };
        Some(words.into())
    }

    /// The end of an attempt that the child left, which printed so many bytes.
    fn end(&self, begun: &Begun, printed: usize) -> Option<OtherEnd> {
        let Noted { job: Some(job), started_at, at_most_once, .. } = Noted::of(begun) else {
            let child = self.process.number;
            tracing::error!(child, "a dead child's page was overwritten; its attempt ends with its lease");
            return None;
        };
        let end = self.end_of(begun, at_most_once);
        let output_length = printed as u32;
        let (fence, finished_at) = (wire_fence(begun.fence), unix_ms());
        Some(OtherEnd {
            job,
            fence,
            started_at,
            finished_at,
            end,
            output_length,
            measures: self.measures(begun),
        })
    }

    /// What a dead process's attempt took, as far as that shows from outside: the peak since the app was loaded, where it
    /// ran alone. Its CPU time went together with that of those before.
    fn measures(&self, begun: &Begun) -> Measures {
        let page = &self.process.page;
        let ran_ms = monotonic_ms_of(Instant::now()).saturating_sub(begun.started_ms);
        let peak = self.exit.map(|exit| exit.rss_peak_bytes).filter(|peak| *peak > 0 && page.slots() == 1);
        Measures {
            ran_us: Some(ran_ms * 1_000),
            peak_growth_bytes: peak.map(|peak| peak.saturating_sub(page.baseline())),
            ..Measures::default()
        }
    }

    fn kernel_words(&self) -> &'static str {
        let is_foreign =
            !self.process.page.is_ending() && self.exit.is_some_and(|exit| exit.signal == Some(9));
        if is_foreign && memory::kills() > self.kernel_kills { KERNEL_KILLS } else { "" }
    }

    fn end_of(&self, begun: &Begun, at_most_once: bool) -> End {
        let exit = self.exit;
        let reason = self.process.page.stop_requested(begun.place, begun.fence);
        let excess = self.excess.filter(|excess| reason.is_none() && excess.fence == begun.fence);
        let message = excess.map_or_else(
            || format!("{}{}", message(reason, begun, exit), self.kernel_words()),
            |excess| format!("{}; the process {}", excess.words(), describe(exit)),
        );
        let peak = excess.map(|excess| excess.peak_bytes).or(exit.map(|exit| exit.rss_peak_bytes));
        let signal = exit.and_then(|exit| exit.signal);
        let error = ErrorRecord { message, signal, rss_peak_bytes: peak, ..ErrorRecord::default() };
        match reason {
            Some(reason) => end_after(reason, at_most_once, error),
            None if excess.is_none() && self.process.page.is_ending() => End::Released,
            None => End::Crashed { error },
        }
    }
}

fn message(reason: Option<StopReason>, begun: &Begun, exit: Option<Exit>) -> String {
    let how = describe(exit);
    match reason {
        None => format!("the process {how}"),
        Some(StopReason::TimedOut) => {
            format!("ran longer than its timeout of {} s; the process {how}", begun.timeout_ms as f64 / 1e3)
        }
        Some(StopReason::LeaseLost) => format!("its lease could not be renewed; the process {how}"),
        Some(StopReason::Shutdown) => format!("the worker stopped and its grace was over; the process {how}"),
        Some(_) => format!("it was cancelled; the process {how}"),
    }
}

/// The end of a process in words.
pub(super) fn describe(exit: Option<Exit>) -> String {
    match exit {
        Some(Exit { signal: Some(signal), .. }) => {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("an unnamed signal");
            format!("was killed by signal {signal} ({name})")
        }
        Some(Exit { code: Some(code), .. }) => format!("exited with status {code}"),
        _ => "ended".to_owned(),
    }
}
