//! What a record has to pass at whoever logs it: the filter, its share, and the rate of its place.

use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use lineshaft_structures::Rate;
use rustc_hash::FxHashMap;

use crate::filter::{Filter, Verdict};
use crate::level::Level;
use crate::record::Fields;
use crate::ring::Ring;

/// How often one place of the source may log: `count` in `period`, up to `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Records in each period.
    pub count: u32,
    /// The period.
    pub period: Duration,
    /// Records at once after a quiet time.
    pub burst: u32,
}

/// Passes the records that are wanted.
#[derive(Debug)]
pub struct Gate {
    filter: Filter,
    limit: Option<Limit>,
    sites: Mutex<Sites>,
}

#[derive(Debug, Default)]
struct Sites {
    by_hash: FxHashMap<u64, Site>,
    limited: u64,
    sampled: u64,
    /// Whether it was not said yet of a site that it was held back.
    is_due: bool,
    /// Whose writer says it; it may sleep when that begins.
    said_by: Weak<Ring>,
}

#[derive(Debug)]
struct Site {
    rate: Option<Rate>,
    /// What was held back since the last record that passed, which the next one says.
    held_back: u64,
    /// How many of these no report has said, and how many those were at the last look.
    unsaid: u64,
    unsaid_before: u64,
    /// Whether a report was made of it since it was quiet.
    is_said: bool,
    /// Where it is, once it was held back.
    named: Option<Box<Named>>,
    /// Records that a share was for.
    seen: u64,
}

/// A site as reports name it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Named {
    logger: Box<str>,
    place: Option<(Box<str>, u32)>,
}

/// A record that is not made yet.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its level.
    pub level: Level,
    /// The logger.
    pub logger: &'a str,
    /// A hash of the site that logs it.
    pub site: u64,
    /// File and line, if they are known.
    pub place: Option<(&'a str, u32)>,
    /// When, by a clock that does not go back.
    pub now_ns: u64,
}

/// What was held back of one site.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeldBack {
    /// The logger; empty for all sites that there were too many of.
    pub logger: Box<str>,
    /// File and line, if they are known.
    pub place: Option<(Box<str>, u32)>,
    /// How many records.
    pub count: u64,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Passage {
    /// It passes; before it, so many of its place were held back.
    Passes {
        /// How many.
        held_back: u64,
    },
    /// It is not wanted, not in the share, or one too many.
    Stays,
}

/// Places that are told apart; when there are more, all begin anew.
const SITES_MAX: usize = 65_536;
/// So many of them are reported at once; the others are later, or together.
const REPORTS_MAX: usize = 256;
/// The longest name of a logger or file that is kept for reports; of a file its end is.
const NAME_BYTES_MAX: usize = 200;

impl Gate {
    /// One with this filter and, for each place, this limit.
    pub fn new(filter: Filter, limit: Option<Limit>) -> Self {
        Self { filter, limit, sites: Mutex::default() }
    }

    /// One of the same kind, for which nothing was asked yet and whose lock nobody has.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::new(self.filter.clone(), self.limit)
    }

    /// What the filter says about a logger.
    pub fn verdict(&self, logger: &str) -> Verdict {
        self.filter.verdict(logger)
    }

    /// The least level that a logger of any name might be heard with.
    pub fn least(&self) -> Level {
        self.filter.least()
    }

    /// Whether it takes [`Self::pass`] to say whether a record of this level passes, and so the place it comes from.
    pub fn is_closer(&self, level: Level, verdict: &Verdict) -> bool {
        self.limit.is_some() || verdict.needs_fields || (verdict.share < 1.0 && level < Level::WARNING)
    }

    /// Asks for a record with these fields; `verdict` is that of its logger.
    pub fn pass(&self, asked: Asked<'_>, verdict: &Verdict, fields: &Fields) -> Passage {
        let Asked { level, logger, site, place, now_ns } = asked;
        let (wanted, share) = if verdict.needs_fields {
            self.filter.wanted(logger, fields)
        } else {
            (verdict.level, verdict.share)
        };
        if level < wanted {
            return Passage::Stays;
        }
        let is_sampled = share < 1.0 && level < Level::WARNING;
        if !is_sampled && self.limit.is_none() {
            return Passage::Passes { held_back: 0 };
        }
        let mut sites = self.sites();
        let site = sites.at(site, self.limit);
        if is_sampled {
            let before = site.seen;
            site.seen += 1;
            // Evenly: the whole numbers that share · n passes are those that are let through.
            let (share, before) = (f64::from(share), before as f64);
            if (share * (before + 1.0)).floor() <= (share * before).floor() {
                sites.sampled += 1;
                return Passage::Stays;
            }
        }
        let is_free = site.rate.as_mut().is_none_or(|rate| rate.take(now_ns).is_ok());
        if is_free {
            (site.unsaid, site.unsaid_before) = (0, 0);
            return Passage::Passes { held_back: std::mem::take(&mut site.held_back) };
        }
        site.held_back += 1;
        site.unsaid += 1;
        site.named.get_or_insert_with(|| Box::new(Named::new(logger, place)));
        sites.limited += 1;
        if !std::mem::replace(&mut sites.is_due, true) {
            let said_by = sites.said_by.upgrade();
            drop(sites);
            said_by.inspect(|ring| _ = ring.call());
        }
        Passage::Stays
    }

    /// How many records were held back for being too many, and how many were not in their share.
    pub fn counts(&self) -> (u64, u64) {
        let sites = self.sites();
        (sites.limited, sites.sampled)
    }

    /// Has the writer of this ring woken when there begins to be something for [`Self::take_held_back`] to say.
    pub(crate) fn is_said_by(&self, ring: Weak<Ring>) {
        self.sites().said_by = ring;
    }

    /// Whether there may be something for [`Self::take_held_back`] to say.
    pub fn is_due(&self) -> bool {
        self.sites().is_due
    }

    /// What was held back and is not said yet, by site: when it begins, and when the site is silent since the last look.
    /// All of it is said the `last` time. The next record that passes says it too.
    pub fn take_held_back(&self, last: bool) -> Vec<HeldBack> {
        let (mut found, mut rest, mut is_due) = (Vec::new(), 0, false);
        let mut sites = self.sites();
        if !sites.is_due {
            return found;
        }
        for site in sites.by_hash.values_mut() {
            let is_silent = site.unsaid == site.unsaid_before;
            if site.unsaid == 0 {
                site.is_said &= site.held_back > 0;
            } else if !last && ((site.is_said && !is_silent) || found.len() >= REPORTS_MAX) {
                site.unsaid_before = site.unsaid;
                is_due = true;
            } else {
                let count = std::mem::take(&mut site.unsaid);
                (site.unsaid_before, site.is_said, is_due) = (0, true, true);
                match &site.named {
                    Some(named) if found.len() < REPORTS_MAX => found.push(named.held_back(count)),
                    _ => rest += count,
                }
            }
        }
        sites.is_due = is_due;
        if rest > 0 {
            found.push(HeldBack { logger: "".into(), place: None, count: rest });
        }
        found
    }

    fn sites(&self) -> MutexGuard<'_, Sites> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Named {
    fn new(logger: &str, place: Option<(&str, u32)>) -> Self {
        let cut = logger.len().min(NAME_BYTES_MAX);
        let logger = (0..=cut).rev().find_map(|end| logger.get(..end)).unwrap_or_default();
        let end = |file: &str| {
            let cut = file.len().saturating_sub(NAME_BYTES_MAX);
            (cut..=file.len()).find_map(|start| file.get(start..)).unwrap_or_default().into()
        };
        Self { logger: logger.into(), place: place.map(|(file, line)| (end(file), line)) }
    }

    fn held_back(&self, count: u64) -> HeldBack {
        HeldBack { logger: self.logger.clone(), place: self.place.clone(), count }
    }
}

impl Sites {
    fn at(&mut self, hash: u64, limit: Option<Limit>) -> &mut Site {
        if self.by_hash.len() >= SITES_MAX && !self.by_hash.contains_key(&hash) {
            self.by_hash.clear();
        }
        self.by_hash.entry(hash).or_insert_with(|| Site {
            rate: limit.and_then(|limit| Rate::new(limit.count, limit.period, limit.burst)),
            held_back: 0,
            unsaid: 0,
            unsaid_before: 0,
            is_said: false,
            named: None,
            seen: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::LevelNames;

    fn gate(filter: &str, limit: Option<Limit>) -> Gate {
        Gate::new(Filter::parse(filter, &LevelNames::default()).expect("a filter"), limit)
    }

    fn passed(gate: &Gate, level: Level, site: u64, now_ns: u64) -> Option<u64> {
        let asked = Asked { level, logger: "app", site, place: Some(("a.py", site as u32)), now_ns };
        match gate.pass(asked, &gate.verdict("app"), &Vec::new()) {
            Passage::Passes { held_back } => Some(held_back),
            Passage::Stays => None,
        }
    }

    /// A forked process had gates whose locks a thread of its parent had.
    #[test]
    fn one_that_is_made_anew_waits_for_no_lock() {
        let limit = Limit { count: 1, period: Duration::from_secs(60), burst: 1 };
        let gate = gate("info", Some(limit));
        assert_eq!(passed(&gate, Level::INFO, 1, 0), Some(0));
        let _sites = gate.sites();
        let another = gate.anew();
        assert_eq!(passed(&another, Level::INFO, 1, 0), Some(0));
        assert_eq!(passed(&another, Level::INFO, 1, 0), None);
        assert_eq!(passed(&another, Level::DEBUG, 2, 0), None);
    }

    #[test]
    fn a_share_is_even_and_spares_what_matters() {
        let gate = gate("debug@0.25", None);
        let passes: Vec<bool> = (0..8).map(|_| passed(&gate, Level::INFO, 1, 0).is_some()).collect();
        assert_eq!(passes, [false, false, false, true, false, false, false, true]);
        assert!((0..8).all(|_| passed(&gate, Level::WARNING, 1, 0).is_some()));
        assert_eq!(gate.counts(), (0, 6));
    }

    #[test]
    fn each_place_has_a_rate_and_says_what_it_held_back() {
        let limit = Limit { count: 10, period: Duration::from_secs(1), burst: 2 };
        let gate = gate("info", Some(limit));
        let flood: Vec<Option<u64>> = (0..5).map(|_| passed(&gate, Level::INFO, 1, 0)).collect();
        assert_eq!(flood, [Some(0), Some(0), None, None, None]);
        assert_eq!(passed(&gate, Level::INFO, 2, 0), Some(0));
        assert_eq!(passed(&gate, Level::INFO, 1, 100_000_000), Some(3));
        assert_eq!(passed(&gate, Level::INFO, 1, 100_000_000), None);
        let held_back =
            |line, count| HeldBack { logger: "app".into(), place: Some(("a.py".into(), line)), count };
        assert_eq!(gate.take_held_back(false), [held_back(1, 1)]);
        assert_eq!((gate.take_held_back(false), gate.is_due()), (vec![], false));
        assert_eq!(gate.counts(), (4, 0));
        // The next record says it too: with limits of less than one in a second it did not.
        assert_eq!(passed(&gate, Level::INFO, 1, 900_000_000), Some(1));
    }

    #[test]
    fn a_flood_is_reported_by_place_when_it_begins_and_when_it_is_over() {
        let limit = Limit { count: 1, period: Duration::from_secs(60), burst: 1 };
        let gate = gate("info", Some(limit));
        let flood = |site, count| (0..count).for_each(|_| _ = passed(&gate, Level::INFO, site, 0));
        let said = |last| {
            let mut said: Vec<_> =
                gate.take_held_back(last).into_iter().map(|each| (each.place, each.count)).collect();
            said.sort();
            said
        };
        let place = |line| Some(("a.py".into(), line));
        flood(1, 5);
        flood(2, 11);
        assert_eq!(said(false), [(place(1), 4), (place(2), 10)]);
        flood(1, 5);
        assert_eq!(said(false), [], "it goes on");
        flood(1, 5);
        assert_eq!(said(false), []);
        assert_eq!(said(false), [(place(1), 10)], "it is silent");
        flood(2, 1);
        assert_eq!((said(true), gate.is_due()), (vec![(place(2), 1)], true));
        assert_eq!((said(false), gate.is_due()), (vec![], false));
        assert_eq!(passed(&gate, Level::INFO, 1, 60_000_000_000), Some(14));
    }

    #[test]
    fn of_many_places_the_others_are_reported_later_or_together() {
        let limit = Limit { count: 1, period: Duration::from_secs(60), burst: 1 };
        let gate = gate("info", Some(limit));
        (0..1_200).for_each(|number| _ = passed(&gate, Level::INFO, number / 2, 0));
        assert_eq!(gate.take_held_back(false).len(), REPORTS_MAX);
        let last = gate.take_held_back(true);
        assert_eq!((last.len(), last[REPORTS_MAX].count), (REPORTS_MAX + 1, 600 - 2 * REPORTS_MAX as u64));
        assert!(gate.take_held_back(true).is_empty());
    }
}
