//! How processes tell each other of choices: the names under which these are in a cache that all of them have, and what
//! each makes of what another one knows.
//!
//! Under [`INDEX`] is for each function, by the beginning of its keys, its name and those of its implementations. Under
//! that beginning is for each class of arguments, by its digest, how it reads. A class has two entries: the bytes of its
//! choice, and, once somebody was given another result, whose that was. The latter has a name of its own, so that it is
//! not forgotten for what somebody writes at the same time who has not heard of it.

use std::time::Duration;

use super::{Choice, Phase};

/// The key of what functions there are.
pub const INDEX: &str = "@alternatives";
/// The tag of all entries.
pub const TAG: &str = "alternatives";
/// How long entries are kept that nobody looks at.
pub const KEPT: Duration = Duration::from_secs(90 * 24 * 3_600);
/// How often it is looked whether somebody else knows more about a class.
pub const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long what was learned waits to be told, with what is learned meanwhile. Pins do not wait.
pub const TELL_AFTER: Duration = Duration::from_secs(1);
/// Functions at most that are listed, and classes of each.
pub const LISTED_MAX: usize = 1_000;
/// Classes of a function that are told apart in a process; what comes beyond is the class [`OTHERS`].
pub const CLASSES_MAX: usize = 1_000;
/// What is no class of its own any more.
pub const OTHERS: &str = "others";
/// How long an implementation is left out that failed.
pub const BAN: Duration = Duration::from_secs(3_600);
/// Letters of a function's name in its keys, and of a class as it is listed.
const NAME_MAX: usize = 120;
const SHOWN_MAX: usize = 200;

/// The keys of one function in the cache.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Keys {
    name: String,
    prefix: String,
}

impl Keys {
    /// Of the function `name`, with a digest of the names of its implementations: with others it is another function.
    pub fn new(name: &str, names_digest: &str) -> Self {
        let name: String = name.chars().take(NAME_MAX).collect();
        let prefix = format!("{INDEX}:{name}:{names_digest}");
        Self { name, prefix }
    }

    /// Of the function that is listed under `prefix`.
    pub fn listed(name: &str, prefix: &str) -> Self {
        Self { name: name.to_owned(), prefix: prefix.to_owned() }
    }

    /// The name under which it is listed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its classes are listed, and what it is listed under itself.
    pub fn classes(&self) -> &str {
        &self.prefix
    }

    /// Where the choice of a class is.
    pub fn choice(&self, class_digest: &str) -> String {
        format!("{}:{class_digest}", self.prefix)
    }

    /// Where it is said that another one of a class gave another result, and which.
    pub fn pin(&self, class_digest: &str) -> String {
        format!("{}:{class_digest}:pinned", self.prefix)
    }

    /// How a class is listed that reads so.
    pub fn shown(class: &str) -> String {
        class.chars().take(SHOWN_MAX).collect()
    }
}

/// What a process has made of what another one knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Learned {
    /// Nothing: it knows as much.
    Nothing,
    /// The first one does the work from now on.
    Pinned,
    /// This one does the work, which was not known here.
    Best(usize),
}

impl Choice {
    /// Takes over what another process knows about the same class: a pin always, and who is the fastest where that was
    /// never known here. What failed here stays left out, and is not the fastest. Among another number of implementations
    /// there is nothing to learn.
    pub fn learn(&mut self, theirs: &Self) -> Learned {
        if self.is_pinned || theirs.variants.len() != self.variants.len() {
            return Learned::Nothing;
        }
        if theirs.is_pinned {
            self.pin();
            return Learned::Pinned;
        }
        let bans: Vec<Option<u64>> = self.variants.iter().map(|variant| variant.banned_until_ms).collect();
        match theirs.best().filter(|best| self.knows_nothing() && bans[*best].is_none()) {
            None => Learned::Nothing,
            Some(best) => {
                *self = theirs.clone();
                for (number, until_ms) in bans.into_iter().enumerate() {
                    let until_ms = until_ms.max(self.variants[number].banned_until_ms);
                    until_ms.into_iter().for_each(|until_ms| self.ban(number, until_ms));
                }
                Learned::Best(best)
            }
        }
    }

    /// Whether it has not been known yet who is the fastest; in a later trial somebody has just become too slow.
    fn knows_nothing(&self) -> bool {
        matches!(self.phase, Phase::Trial { is_first: true, .. })
    }

    /// Whether others are to be told of it again, who were told of so many runs: there are a tenth more.
    pub fn has_grown(&self, told_runs: u64) -> bool {
        self.runs > told_runs && self.runs.saturating_mul(10) >= told_runs.saturating_mul(11)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Standing};

    fn settled(count: usize) -> Choice {
        let mut choice = Choice::new(count);
        while choice.best().is_none() {
            let pick = choice.pick(0, 0.5);
            choice.ran(pick, (count - pick.number) as f64);
        }
        choice
    }

    #[test]
    fn who_knows_nothing_learns_who_is_the_fastest() {
        let (mut ours, theirs) = (Choice::new(3), settled(3));
        assert_eq!(ours.learn(&theirs), Learned::Best(2));
        assert_eq!(ours, theirs);
        assert_eq!(ours.learn(&theirs), Learned::Nothing);
    }

    #[test]
    fn who_has_measured_keeps_to_it_but_for_a_pin() {
        let (mut ours, mut theirs) = (settled(2), Choice::new(2));
        assert_eq!(ours.learn(&theirs), Learned::Nothing);
        theirs.pin();
        assert_eq!(ours.learn(&theirs), Learned::Pinned);
        assert_eq!((ours.best(), ours.learn(&settled(2))), (Some(0), Learned::Nothing));
    }

    /// Theirs took the place of all of ours.
    #[test]
    fn what_failed_here_stays_left_out() {
        let (mut ours, theirs) = (Choice::new(3), settled(3));
        ours.ban(1, 1_000);
        assert_eq!(ours.learn(&theirs), Learned::Best(2));
        assert_eq!(ours.outlines()[1].standing, Standing::Banned);
        let mut ours = Choice::new(3);
        ours.ban(2, 1_000);
        assert_eq!((ours.learn(&theirs), ours.best()), (Learned::Nothing, None));
    }

    /// Others who had not seen yet that their best had become slower put it back.
    #[test]
    fn who_has_just_left_the_best_goes_on_with_its_trial() {
        let theirs = settled(2);
        let mut ours = theirs.clone();
        let slower = |ours: &mut Choice| {
            let pick = ours.pick(0, 0.5);
            ours.ran(pick, if ours.runs() < 100 { 1.0 } else { 9.0 })
        };
        assert!((0..1_000).any(|_| slower(&mut ours) == Some(Event::Slower(1))));
        assert_eq!((ours.learn(&theirs), ours.best()), (Learned::Nothing, None));
    }

    #[test]
    fn a_choice_among_others_teaches_nothing() {
        let (mut ours, mut theirs) = (Choice::new(2), settled(3));
        assert_eq!(ours.learn(&theirs), Learned::Nothing);
        theirs.pin();
        assert_eq!(ours.learn(&theirs), Learned::Nothing);
        assert!(!ours.is_pinned());
    }

    #[test]
    fn others_are_told_of_a_tenth_more_runs() {
        let choice = settled(2);
        assert_eq!(choice.runs(), 6);
        assert_eq!([0, 5, 6, 7].map(|told_runs| choice.has_grown(told_runs)), [true, true, false, false]);
        assert!(!Choice::new(2).has_grown(0));
    }

    #[test]
    fn names_are_cut_where_a_letter_ends() {
        let keys = Keys::new(&"ü".repeat(200), "00");
        assert_eq!(keys.name().chars().count(), 120);
        assert_eq!(keys.choice("11"), format!("@alternatives:{}:00:11", "ü".repeat(120)));
        assert_eq!(keys.pin("11"), format!("{}:pinned", keys.choice("11")));
        assert_eq!(Keys::listed(keys.name(), keys.classes()), keys);
    }
}
