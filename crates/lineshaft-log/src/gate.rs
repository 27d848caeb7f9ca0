//! What a record has to pass at whoever logs it: the filter, its share, and the rate of its place.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lineshaft_structures::Rate;
use rustc_hash::FxHashMap;

use crate::filter::{Filter, Verdict};
use crate::level::Level;
use crate::record::Fields;

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
}

#[derive(Debug)]
struct Site {
    rate: Option<Rate>,
    /// What was held back since the last record that passed.
    held_back: u64,
    /// Records that a share was for.
    seen: u64,
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

impl Gate {
    /// One with this filter and, for each place, this limit.
    pub fn new(filter: Filter, limit: Option<Limit>) -> Self {
        Self { filter, limit, sites: Mutex::default() }
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

    /// Asks for a record of this level, logged at the place that `site` is a hash of, at `now_ns` of a clock that does
    /// not go back.
    pub fn pass(
        &self,
        level: Level,
        logger: &str,
        verdict: &Verdict,
        fields: &Fields,
        site: u64,
        now_ns: u64,
    ) -> Passage {
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
            return Passage::Passes { held_back: std::mem::take(&mut site.held_back) };
        }
        site.held_back += 1;
        sites.limited += 1;
        Passage::Stays
    }

    /// How many records were held back for being too many, and how many were not in their share.
    pub fn counts(&self) -> (u64, u64) {
        let sites = self.sites();
        (sites.limited, sites.sampled)
    }

    /// How many were held back by places that have not logged since, which are told this once.
    pub fn take_held_back(&self) -> u64 {
        self.sites().by_hash.values_mut().map(|site| std::mem::take(&mut site.held_back)).sum()
    }

    fn sites(&self) -> MutexGuard<'_, Sites> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
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
        match gate.pass(level, "app", &gate.verdict("app"), &Vec::new(), site, now_ns) {
            Passage::Passes { held_back } => Some(held_back),
            Passage::Stays => None,
        }
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
        assert_eq!((gate.take_held_back(), gate.take_held_back()), (1, 0));
        assert_eq!(gate.counts(), (4, 0));
    }
}
