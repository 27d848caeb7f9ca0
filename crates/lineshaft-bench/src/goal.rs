//! What a figure should come to, on the disk at hand.

use crate::figure::number;

/// A bound on a figure. Those that depend on the disk name the key of a probe that was measured in the same minutes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// None: it is there to compare with.
    None,
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
    /// Less than so much.
    Below(f64),
    /// At least so many times the probe, or the cap if that is less.
    AtLeastProbe {
        /// How many times the probe.
        times: f64,
        /// Key of the probe.
        probe: &'static str,
        /// No more than this is asked for.
        cap: f64,
    },
    /// At most so much beyond so many times the probe.
    AtMostBesideProbe {
        /// What the engine may take itself.
        own: f64,
        /// How many times the probe.
        times: f64,
        /// Key of the probe.
        probe: &'static str,
    },
}

impl Goal {
    /// The key of the probe that it depends on.
    pub fn probe(self) -> Option<&'static str> {
        match self {
            Self::AtLeastProbe { probe, .. } | Self::AtMostBesideProbe { probe, .. } => Some(probe),
            _ => None,
        }
    }

    /// The bound, where its probe came to `probe`. `None` without a goal, or without the probe that it needs.
    pub fn bound(self, probe: Option<f64>) -> Option<f64> {
        match self {
            Self::None => None,
            Self::AtLeast(bound) | Self::AtMost(bound) | Self::Below(bound) => Some(bound),
            Self::AtLeastProbe { times, cap, .. } => probe.map(|probe| (times * probe).min(cap)),
            Self::AtMostBesideProbe { own, times, .. } => probe.map(|probe| own + times * probe),
        }
    }

    /// Whether `value` is as good as it should be; `None` where there is no bound.
    pub fn is_met(self, value: f64, probe: Option<f64>) -> Option<bool> {
        let bound = self.bound(probe)?;
        Some(match self {
            Self::AtLeast(_) | Self::AtLeastProbe { .. } => value >= bound,
            Self::Below(_) => value < bound,
            _ => value <= bound,
        })
    }

    /// In words, with the bound that the probe makes of it: `>= min(0.8 x probe, 10,000) = 5,120`.
    pub fn words(self, probe: Option<f64>) -> String {
        let equals = self.bound(probe).map(|bound| format!(" = {}", number(bound))).unwrap_or_default();
        match self {
            Self::None => String::new(),
            Self::AtLeast(bound) => format!(">= {}", number(bound)),
            Self::AtMost(bound) => format!("<= {}", number(bound)),
            Self::Below(bound) => format!("< {}", number(bound)),
            Self::AtLeastProbe { times, cap, .. } => {
                format!(">= min({times} x probe, {}){equals}", number(cap))
            }
            Self::AtMostBesideProbe { own, times: 1.0, .. } => format!("<= {} + probe{equals}", number(own)),
            Self::AtMostBesideProbe { own, times, .. } => {
                format!("<= {} + {times} x probe{equals}", number(own))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(goal: Goal, probe: Option<f64>, words: &str, met: &[(f64, Option<bool>)]) {
        assert_eq!(goal.words(probe), words);
        for (value, expected) in met {
            assert_eq!(goal.is_met(*value, probe), *expected, "{words}: {value}");
        }
    }

    #[test]
    fn bounds_of_their_own() {
        check(Goal::None, None, "", &[(1.0, None)]);
        check(Goal::AtLeast(25_000.0), None, ">= 25,000", &[(25_000.0, Some(true)), (24_999.0, Some(false))]);
        check(Goal::AtMost(0.25), None, "<= 0.25", &[(0.25, Some(true)), (0.26, Some(false))]);
        check(Goal::Below(4.0), None, "< 4", &[(3.9, Some(true)), (4.0, Some(false))]);
    }

    #[test]
    fn a_fast_disk_is_capped_and_a_slow_one_asks_for_less() {
        let goal = Goal::AtLeastProbe { times: 0.8, probe: "p", cap: 10_000.0 };
        let slow = ">= min(0.8 x probe, 10,000) = 800";
        check(goal, Some(1_000.0), slow, &[(800.0, Some(true)), (799.0, Some(false))]);
        let fast = ">= min(0.8 x probe, 10,000) = 10,000";
        check(goal, Some(50_000.0), fast, &[(10_000.0, Some(true)), (9_999.0, Some(false))]);
        check(goal, None, ">= min(0.8 x probe, 10,000)", &[(1e9, None)]);
    }

    #[test]
    fn a_latency_may_take_the_disk_s_time_beside_its_own() {
        let goal = Goal::AtMostBesideProbe { own: 600.0, times: 2.0, probe: "p" };
        let words = "<= 600 + 2 x probe = 900";
        check(goal, Some(150.0), words, &[(900.0, Some(true)), (901.0, Some(false))]);
        let once = Goal::AtMostBesideProbe { own: 300.0, times: 1.0, probe: "p" };
        check(once, Some(100.0), "<= 300 + probe = 400", &[]);
    }
}
