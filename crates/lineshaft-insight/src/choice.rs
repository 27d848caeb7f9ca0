//! Which of several implementations of a function is the fastest, found out while they do the work.
//!
//! First there is a *trial*: each runs three times, whoever is clearly slower than the best is out, then the slower half
//! of the rest (sequential halving: Karnin, Koren and Somekh, "Almost optimal exploration in multi-armed bandits", ICML
//! 2013), until one is left or four runs for each are spent. From then on the best does the work, and now and then
//! another one is looked at again. There is a new trial when the best has become slower than it was, or another one
//! faster than it; who was far slower is not in it.

mod samples;
pub mod shared;
pub mod text;

use serde::{Deserialize, Serialize};

use samples::{Bounds, Samples};

/// Runs of each implementation that is left, in each round of a trial.
const ROUND_RUNS: usize = 3;
/// Runs that a trial takes at most, for each implementation there is.
const TRIAL_RUNS: usize = 4;
/// Who takes so many times as long as the slowest run of the best is out of a trial before its round is over: after one
/// run, which may have been slow for being the first, and after more.
const HOPELESS: (f32, f32) = (10.0, 3.0);
/// How often another one is looked at again.
const RETESTS: f64 = 0.01;
/// The part of all time that this may take: while looks and the trials after the first one have taken more, there are none.
const RETEST_TIME: f64 = 0.05;
/// A look at another one is given up when it takes so many times as long as the slowest run of the best that is kept.
const GIVE_UP: f64 = 3.0;
/// Looks in a row that are needed to believe that another one is faster.
const LOOKS: usize = 3;
/// The best is compared with itself after so many runs, by as many as `RECENT`.
const COMPARED_EVERY: u64 = 8;
const RECENT: usize = 15;
/// How much slower it has to have become, as a logarithm: a tenth.
const DRIFT: f32 = 0.095;

/// The choice among implementations of one function for one class of arguments. Implementations are counted from 0, and
/// number 0 is the one that is right by definition.
///
/// ```
/// use lineshaft_insight::Choice;
///
/// let (mut choice, seconds) = (Choice::new(3), [0.3, 0.1, 0.2]);
/// for _ in 0..12 {
///     let pick = choice.pick(0, 0.5);
///     choice.ran(pick, seconds[pick.number]);
/// }
/// assert_eq!(choice.best(), Some(1));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    variants: Vec<Variant>,
    phase: Phase,
    is_pinned: bool,
    runs: u64,
    /// Seconds of all runs, and of those that were looks at others or in a trial that was not the first one.
    spent_s: f64,
    looked_s: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Variant {
    samples: Samples,
    runs: u64,
    banned_until_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Phase {
    Trial {
        /// Who is still in it, with the runs that were begun.
        left: Vec<(usize, usize)>,
        /// Runs that each of them is to have.
        quota: usize,
        /// Runs that are left to it.
        rest: usize,
        /// Whether nothing was known before.
        is_first: bool,
    },
    Settled {
        best: usize,
        /// How fast it was when it was chosen.
        before: Option<(f32, f32)>,
        /// The next other one to look at.
        next: usize,
        /// Who was seen to be faster, and what it took since.
        suspect: Option<(usize, Samples)>,
    },
}

/// Who is to run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pick {
    /// The implementation.
    pub number: usize,
    /// What for.
    pub purpose: Purpose,
    /// After so many seconds it is not worth waiting for, if it can be stopped.
    pub limit_s: Option<f64>,
}

/// Why an implementation runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// It is the best one known.
    Best,
    /// All are compared.
    Trial,
    /// It was slower, and may have changed.
    Look,
}

/// What a run has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// The trial is over.
    Chosen(usize),
    /// The best one has become slower: a new trial.
    Slower(usize),
    /// This one has become faster than the best: a new trial.
    Faster(usize),
}

/// What is known of one implementation.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// How it stands.
    pub standing: Standing,
    /// Runs in all.
    pub runs: u64,
    /// The median of its last runs, in seconds, and what that lies between.
    pub median_s: Option<(f64, f64, f64)>,
}

/// How an implementation stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It does the work.
    Best,
    /// It is being compared.
    Tried,
    /// It was slower.
    Slower,
    /// It failed, and is left out for a while.
    Banned,
}

impl Standing {
    /// As a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Tried => "tried",
            Self::Slower => "slower",
            Self::Banned => "banned",
        }
    }
}

/// What was given to [`Choice::from_bytes`] is no choice among as many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unreadable;

impl Choice {
    /// A choice among `count` implementations, at least one, of which nothing is known.
    pub fn new(count: usize) -> Self {
        let count = count.max(1);
        let mut choice = Self {
            variants: vec![Variant::default(); count],
            phase: Phase::Trial { left: Vec::new(), quota: 0, rest: 0, is_first: true },
            is_pinned: false,
            runs: 0,
            spent_s: 0.0,
            looked_s: 0.0,
        };
        choice.begin_trial();
        choice
    }

    /// Who is to run now. `chance` is random, from 0 and below 1; `now_ms` is of a clock that the others use too.
    pub fn pick(&mut self, now_ms: u64, chance: f64) -> Pick {
        if self.is_pinned {
            return Pick::best(0);
        }
        self.lift_bans(now_ms);
        match &mut self.phase {
            Phase::Trial { left, quota, .. } => {
                let next =
                    left.iter_mut().min_by_key(|(_, begun)| *begun).filter(|(_, begun)| *begun < *quota);
                if let Some((number, begun)) = next {
                    *begun += 1;
                    return Pick { number: *number, purpose: Purpose::Trial, limit_s: None };
                }
                // All that is needed has begun, elsewhere.
                Pick::best(self.fastest_left())
            }
            Phase::Settled { best, .. } => {
                let best = *best;
                self.look(chance).unwrap_or(Pick::best(best))
            }
        }
    }

    /// It ran, for `seconds`; also if it was given up after as many.
    pub fn ran(&mut self, pick: Pick, seconds: f64) -> Option<Event> {
        let log_s = seconds.max(1e-9).ln() as f32;
        let variant = &mut self.variants[pick.number];
        variant.runs += 1;
        self.runs += 1;
        self.spent_s += seconds;
        let is_first = matches!(self.phase, Phase::Trial { is_first: true, .. });
        if pick.purpose != Purpose::Best && !is_first {
            self.looked_s += seconds;
        }
        if self.is_pinned || variant.banned_until_ms.is_some() {
            return None;
        }
        variant.samples.add(log_s);
        match &mut self.phase {
            Phase::Trial { rest, .. } => {
                *rest = rest.saturating_sub(1);
                self.go_on_with_trial()
            }
            Phase::Settled { best, .. } if *best == pick.number => self.compare_with_before(),
            Phase::Settled { .. } => self.compare_with_best(pick.number, log_s),
        }
    }

    /// It failed where number 0 did not: it is left out until `until_ms`.
    pub fn ban(&mut self, number: usize, until_ms: u64) {
        if number == 0 {
            return;
        }
        self.variants[number].banned_until_ms = Some(until_ms);
        self.variants[number].samples.clear();
        match &mut self.phase {
            Phase::Trial { left, .. } => {
                left.retain(|(other, _)| *other != number);
                self.go_on_with_trial();
            }
            Phase::Settled { best, .. } if *best == number => self.begin_trial(),
            Phase::Settled { suspect, .. } => {
                suspect.take_if(|(other, _)| *other == number);
            }
        }
    }

    /// A run of this pick has no time, since it was interrupted.
    pub fn gave_none(&mut self, pick: Pick) {
        if let Phase::Trial { left, .. } = &mut self.phase
            && let Some((_, begun)) = left.iter_mut().find(|(number, _)| *number == pick.number)
            && pick.purpose == Purpose::Trial
        {
            *begun = begun.saturating_sub(1);
        }
    }

    /// Number 0 does the work from now on, whatever the others take.
    pub fn pin(&mut self) {
        self.is_pinned = true;
    }

    /// Whether [`Self::pin`] was called.
    pub fn is_pinned(&self) -> bool {
        self.is_pinned
    }

    /// Who does the work; `None` during a trial.
    pub fn best(&self) -> Option<usize> {
        match &self.phase {
            _ if self.is_pinned => Some(0),
            Phase::Trial { .. } => None,
            Phase::Settled { best, .. } => Some(*best),
        }
    }

    /// Runs in all.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// What is known of each.
    pub fn outlines(&self) -> Vec<Outline> {
        let outline = |(number, variant): (usize, &Variant)| Outline {
            standing: self.standing(number),
            runs: variant.runs,
            median_s: variant.samples.bounds().map(|bounds| {
                (f64::from(bounds.median).exp(), f64::from(bounds.low).exp(), f64::from(bounds.high).exp())
            }),
        };
        self.variants.iter().enumerate().map(outline).collect()
    }

    /// All of it, for [`Self::from_bytes`] of this version.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("numbers can be written")
    }

    /// What [`Self::to_bytes`] gave for a choice among `count`.
    pub fn from_bytes(bytes: &[u8], count: usize) -> Result<Self, Unreadable> {
        let choice: Self = postcard::from_bytes(bytes).map_err(|_| Unreadable)?;
        if choice.is_sound(count) { Ok(choice) } else { Err(Unreadable) }
    }

    fn is_sound(&self, count: usize) -> bool {
        let is_one = |number: &usize| *number < count;
        let numbers = match &self.phase {
            Phase::Trial { left, .. } => left.iter().all(|(number, _)| is_one(number)) && !left.is_empty(),
            Phase::Settled { best, next, suspect, .. } => {
                is_one(best) && is_one(next) && suspect.as_ref().is_none_or(|(number, _)| is_one(number))
            }
        };
        let samples = self.variants.iter().map(|variant| &variant.samples);
        numbers && count > 0 && self.variants.len() == count && samples.into_iter().all(Samples::is_sound)
    }

    fn standing(&self, number: usize) -> Standing {
        if self.variants[number].banned_until_ms.is_some() {
            return Standing::Banned;
        }
        match &self.phase {
            _ if self.is_pinned => {
                if number == 0 {
                    Standing::Best
                } else {
                    Standing::Slower
                }
            }
            Phase::Trial { left, .. } if left.iter().any(|(other, _)| *other == number) => Standing::Tried,
            Phase::Settled { best, .. } if *best == number => Standing::Best,
            _ => Standing::Slower,
        }
    }

    // ---- Trials.

    /// All begin anew that are not banned, and not known to be far slower than the best was last: such a one keeps its times
    /// and comes back when a look finds it faster.
    fn begin_trial(&mut self) {
        let is_first = matches!(self.phase, Phase::Trial { .. });
        let slowest = self.recent_of_best().map_or(f32::INFINITY, |recent| recent + HOPELESS.1.ln());
        let mut left = Vec::new();
        for (number, variant) in self.variants.iter_mut().enumerate() {
            if variant.banned_until_ms.is_none() && variant.recent().is_none_or(|recent| recent <= slowest) {
                variant.samples.clear();
                left.push((number, 0));
            }
        }
        let rest = TRIAL_RUNS * left.len();
        self.phase = Phase::Trial { left, quota: ROUND_RUNS, rest, is_first };
        if self.variants.len() == 1 {
            self.settle(0);
        }
    }

    /// What the best took last, or who is the fastest where that one is banned.
    fn recent_of_best(&self) -> Option<f32> {
        let of_best = self.best().and_then(|best| self.variants[best].recent());
        let those_left = self.variants.iter().filter(|variant| variant.banned_until_ms.is_none());
        of_best.or_else(|| those_left.filter_map(Variant::recent).min_by(f32::total_cmp))
    }

    fn go_on_with_trial(&mut self) -> Option<Event> {
        self.drop_hopeless();
        let Phase::Trial { left, quota, rest, .. } = &self.phase else { return None };
        let (quota, rest) = (*quota, *rest);
        if left.len() > 1 && left.iter().any(|(number, _)| self.variants[*number].samples.len() < quota) {
            return None;
        }
        let mut order: Vec<(usize, Bounds)> = left
            .iter()
            .filter_map(|(number, _)| Some((*number, self.variants[*number].samples.bounds()?)))
            .collect();
        order.sort_by(|one, other| one.1.median.total_cmp(&other.1.median));
        let Some((best, bounds)) = order.first().copied() else {
            // Nobody has run yet: there is one left, and no time of it.
            let only = left.first().map_or(0, |(number, _)| *number);
            return Some(self.settle(only));
        };
        let halved = if order.len() > 2 { order.len().div_ceil(2) } else { order.len() };
        order.truncate(halved);
        order.retain(|(_, other)| other.low <= bounds.high);
        let more = rest / order.len();
        if order.len() == 1 || more == 0 {
            return Some(self.settle(best));
        }
        if let Phase::Trial { left, quota, .. } = &mut self.phase {
            left.retain(|(number, _)| order.iter().any(|(other, _)| other == number));
            *quota += more.min(ROUND_RUNS);
        }
        None
    }

    /// Who is far slower than the best by its first runs is not run again.
    fn drop_hopeless(&mut self) {
        let Phase::Trial { left, .. } = &self.phase else { return };
        let slowest = |number: usize| self.variants[number].samples.greatest();
        let best = left.iter().filter_map(|(number, _)| slowest(*number)).min_by(f32::total_cmp);
        let Some(best) = best else { return };
        let is_hopeless = |number: usize| {
            let samples = &self.variants[number].samples;
            let times = if samples.len() == 1 { HOPELESS.0 } else { HOPELESS.1 };
            samples.bounds().is_some_and(|bounds| bounds.low > best + times.ln())
        };
        let hopeless: Vec<usize> =
            left.iter().map(|(number, _)| *number).filter(|one| is_hopeless(*one)).collect();
        if let Phase::Trial { left, .. } = &mut self.phase {
            left.retain(|(number, _)| !hopeless.contains(number));
        }
    }

    /// Who looks fastest of those in the trial.
    fn fastest_left(&self) -> usize {
        let Phase::Trial { left, .. } = &self.phase else { return 0 };
        let median =
            |number: usize| self.variants[number].samples.bounds().map_or(f32::INFINITY, |it| it.median);
        let numbers = left.iter().map(|(number, _)| *number);
        numbers.min_by(|one, other| median(*one).total_cmp(&median(*other))).unwrap_or(0)
    }

    fn settle(&mut self, best: usize) -> Event {
        self.phase = Phase::Settled { best, before: None, next: 0, suspect: None };
        Event::Chosen(best)
    }

    // ---- Afterwards.

    /// A look at another one, if it is time for one: at the next that there is time for.
    fn look(&mut self, chance: f64) -> Option<Pick> {
        let Phase::Settled { best, next, suspect, .. } = &self.phase else { return None };
        let slowest_s = f64::from(self.variants[*best].samples.greatest()?).exp();
        let number = match suspect {
            Some((number, _)) => *number,
            None if chance < RETESTS => {
                let others = (0..self.variants.len()).map(|step| (next + step) % self.variants.len());
                let mut others = others.filter(|other| other != best);
                others.find(|other| self.may_look_at(&self.variants[*other], slowest_s))?
            }
            None => return None,
        };
        let count = self.variants.len();
        if let Phase::Settled { next, .. } = &mut self.phase {
            *next = (number + 1) % count;
        }
        Some(Pick { number, purpose: Purpose::Look, limit_s: Some(GIVE_UP * slowest_s) })
    }

    /// Whether it is not left out and there is time for it, as it was last; of one of which nothing is known it is
    /// supposed that it takes what the best does.
    fn may_look_at(&self, other: &Variant, slowest_s: f64) -> bool {
        let expected_s = other.samples.bounds().map_or(slowest_s, |it| f64::from(it.median).exp());
        other.banned_until_ms.is_none() && self.looked_s + expected_s <= RETEST_TIME * self.spent_s
    }

    /// Whether the best one has become slower than it was when it was chosen.
    fn compare_with_before(&mut self) -> Option<Event> {
        let Phase::Settled { best, before, .. } = &mut self.phase else { return None };
        let variant = &self.variants[*best];
        if !variant.runs.is_multiple_of(COMPARED_EVERY) || variant.samples.len() < RECENT {
            return None;
        }
        let recent = variant.samples.bounds_of_last(RECENT)?;
        let Some((low, high)) = *before else {
            let all = variant.samples.bounds()?;
            *before = Some((all.low, all.high));
            return None;
        };
        if recent.high < low - DRIFT {
            // Faster than ever: that is the measure from now on.
            *before = Some((recent.low, recent.high));
        }
        if recent.low <= high + DRIFT {
            return None;
        }
        let slower = *best;
        self.begin_trial();
        Some(Event::Slower(slower))
    }

    /// Whether another one has become faster than the best.
    fn compare_with_best(&mut self, number: usize, log_s: f32) -> Option<Event> {
        let Phase::Settled { best, suspect, .. } = &mut self.phase else { return None };
        let of_best = self.variants[*best].samples.bounds()?;
        if log_s >= of_best.median {
            suspect.take_if(|(other, _)| *other == number);
            return None;
        }
        match suspect {
            Some((other, looks)) if *other == number => looks.add(log_s),
            _ => {
                let mut looks = Samples::default();
                looks.add(log_s);
                *suspect = Some((number, looks));
            }
        }
        let (_, looks) = suspect.as_ref()?;
        if looks.len() < LOOKS {
            return None;
        }
        let is_faster = looks.bounds().is_some_and(|bounds| bounds.median < of_best.low);
        let looks = suspect.take().map(|(_, looks)| looks).unwrap_or_default();
        if !is_faster {
            return None;
        }
        // What it took before counts no more, however slow it was.
        self.variants[number].samples = looks;
        self.begin_trial();
        Some(Event::Faster(number))
    }

    fn lift_bans(&mut self, now_ms: u64) {
        for number in 0..self.variants.len() {
            let variant = &mut self.variants[number];
            if variant.banned_until_ms.take_if(|until| *until <= now_ms).is_some()
                && let Phase::Trial { left, rest, .. } = &mut self.phase
            {
                left.push((number, 0));
                *rest += TRIAL_RUNS;
            }
        }
    }
}

impl Variant {
    /// The median of its last runs.
    fn recent(&self) -> Option<f32> {
        self.samples.bounds_of_last(RECENT).map(|bounds| bounds.median)
    }
}

impl Pick {
    fn best(number: usize) -> Self {
        Self { number, purpose: Purpose::Best, limit_s: None }
    }
}
