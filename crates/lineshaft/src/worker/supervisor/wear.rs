//! When a child is to be replaced: it is worn, or it makes no progress.

use std::fmt;
use std::time::{Duration, Instant};

use lineshaft_ipc::rss::Rss;
use lineshaft_ipc::shared::AttemptPage;

use super::memory::mebibytes;
use crate::duration::format_duration;
use crate::worker::Options;
use crate::worker::clock::monotonic_ms;

/// The part of its growth at which a child's successor is started, so that it is ready when the child may grow no more.
const SUCCESSOR_AT: f64 = 0.75;

/// Why a child is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Jobs(u64),
    Age(Duration),
    /// It has so many bytes more than at its beginning.
    Growth(u64),
    /// It has had a job and a slot for so long, and did not begin.
    Stalled(Duration),
    /// It has not renewed its leases for so long, though the server is there.
    Silent(Duration),
}

/// What a child that is replaced is still good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worn {
    pub(super) why: Why,
    /// It takes no more jobs already.
    pub(super) leaves: bool,
}

impl Why {
    /// Whether the child may be beyond hearing that it shall end.
    pub(super) const fn is_stuck(self) -> bool {
        matches!(self, Self::Stalled(_) | Self::Silent(_))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: &Duration| format_duration(Duration::from_secs(time.as_secs()));
        match self {
            Self::Jobs(1) => f.write_str("it has run 1 job"),
            Self::Jobs(count) => write!(f, "it has run {count} jobs"),
            Self::Age(age) => write!(f, "it is {} old", seconds(age)),
            Self::Growth(bytes) => write!(f, "it has grown by {}", mebibytes(*bytes)),
            Self::Stalled(time) => {
                write!(
                    f,
                    "it has not begun a job for {}, though it had one and a slot was free",
                    seconds(time)
                )
            }
            Self::Silent(time) => write!(f, "it has been silent for {}", seconds(time)),
        }
    }
}

/// Looks at one child.
#[derive(Debug)]
pub(super) struct Wear {
    rss: Option<Rss>,
    pid: u32,
    /// Since when it is ready for jobs.
    ready: Option<Instant>,
}

/// What is known of a child at this moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signs {
    /// Its last sign of a renewed lease, and since when the server could give one.
    pub(super) heard: Instant,
    pub(super) server: Option<Instant>,
    pub(super) lease: Duration,
}

impl Wear {
    pub(super) fn new(pid: u32) -> Self {
        Self { rss: None, pid, ready: None }
    }

    /// Why the child is to be replaced, if it is.
    pub(super) fn look(
        &mut self,
        options: &Options,
        page: &AttemptPage,
        signs: Signs,
        now: Instant,
    ) -> Option<Worn> {
        if page.beats() == 0 {
            return None;
        }
        let ready = *self.ready.get_or_insert(now);
        if let Some(grown) = page.worn() {
            return Some(Worn { why: Why::Growth(grown), leaves: true });
        }
        let why = self
            .by_use(options, page, now.saturating_duration_since(ready))
            .or_else(|| stalled(options.watchdog, page))
            .or_else(|| silent(options.watchdog, signs, now));
        why.map(|why| Worn { why, leaves: false })
    }

    fn by_use(&mut self, options: &Options, page: &AttemptPage, age: Duration) -> Option<Why> {
        let recycle = &options.recycle;
        if recycle.jobs.is_some_and(|most| page.begins() >= most) {
            return Some(Why::Jobs(page.begins()));
        }
        if recycle.age.is_some_and(|most| age >= most) {
            return Some(Why::Age(age));
        }
        let most = recycle.growth?;
        let grown = self.bytes()?.saturating_sub(page.baseline());
        (grown as f64 >= most as f64 * SUCCESSOR_AT).then_some(Why::Growth(grown))
    }

    fn bytes(&mut self) -> Option<u64> {
        if self.rss.is_none() {
            self.rss = Rss::of(self.pid).ok();
        }
        self.rss.as_ref()?.bytes()
    }
}

fn stalled(watchdog: Duration, page: &AttemptPage) -> Option<Why> {
    let waits = Duration::from_millis(monotonic_ms().saturating_sub(page.offered_ms()?));
    (!watchdog.is_zero() && waits >= watchdog).then_some(Why::Stalled(waits))
}

/// Renewals are due several times in a lease, whether or not something runs.
fn silent(watchdog: Duration, signs: Signs, now: Instant) -> Option<Why> {
    let since = signs.heard.max(signs.server?);
    let silent = now.saturating_duration_since(since);
    (!watchdog.is_zero() && silent >= signs.lease + watchdog).then_some(Why::Silent(silent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;
    use crate::worker::Recycle;

    fn look(recycle: Recycle, prepare: impl FnOnce(&AttemptPage)) -> Option<Worn> {
        let options = Options {
            recycle,
            watchdog: Duration::from_secs(1),
            ..Options::new(Target::home("/"), Vec::new())
        };
        let page = AttemptPage::create(1).unwrap();
        prepare(&page);
        let now = Instant::now();
        let signs = Signs { heard: now, server: None, lease: Duration::from_secs(15) };
        Wear::new(std::process::id()).look(&options, &page, signs, now)
    }

    #[test]
    fn a_child_is_worn_by_its_jobs_once_it_is_ready() {
        let recycle = Recycle { jobs: Some(2), ..Recycle::default() };
        let begin = |page: &AttemptPage| (0..2).for_each(|_| page.begin(0, 1, 0, [0; 4]));
        assert_eq!(look(recycle, begin), None, "it is not ready");
        let ready = |page: &AttemptPage| {
            page.beat();
            begin(page);
        };
        assert_eq!(look(recycle, ready), Some(Worn { why: Why::Jobs(2), leaves: false }));
        assert_eq!(look(Recycle::default(), ready), None);
    }

    #[test]
    fn a_child_that_takes_no_more_jobs_leaves() {
        let worn = |page: &AttemptPage| {
            page.beat();
            page.set_worn(5 << 20);
        };
        let found = look(Recycle::default(), worn).unwrap();
        assert_eq!((found.leaves, found.why.to_string().as_str()), (true, "it has grown by 5.0 MiB"));
    }

    #[test]
    fn a_child_with_a_job_and_a_slot_for_longer_than_the_watchdog_bears_is_stalled() {
        let offered = |ago: u64| {
            look(Recycle::default(), |page| {
                page.beat();
                page.set_offered(monotonic_ms() - ago);
            })
        };
        assert_eq!(offered(100), None);
        assert!(offered(1_500).is_some_and(|worn| worn.why.is_stuck()));
    }

    #[test]
    fn silence_counts_only_while_there_is_a_server() {
        let (long_ago, second) = (Instant::now(), Duration::from_secs(1));
        let now = long_ago + second * 100;
        let check = |heard: u64, server: Option<u64>, expected: bool| {
            let ago = |seconds: u64| long_ago + second * (100 - seconds as u32);
            let signs = Signs { heard: ago(heard), server: server.map(ago), lease: second * 15 };
            assert_eq!(silent(second * 10, signs, now).is_some(), expected, "{heard} {server:?}");
        };
        check(50, Some(60), true);
        check(50, None, false);
        check(50, Some(5), false);
        check(20, Some(60), false);
    }
}
