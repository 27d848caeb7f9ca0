//! Durations for people.

use std::fmt;
use std::time::Duration;

/// Shows a duration with three digits and a unit: `2.31 s`, `12.1 ms`, `740 ns`.
pub struct Rough(pub Duration);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let units = [(1.0, "s"), (1e-3, "ms"), (1e-6, "us")];
        match units.into_iter().find(|(size, _)| seconds >= *size) {
            Some((size, unit)) => {
                let number = seconds / size;
                let digits = if number >= 99.95 { 0 } else { 1 + usize::from(number < 9.995) };
                write!(f, "{number:.digits$} {unit}")
            }
            None => write!(f, "{} ns", self.0.as_nanos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_three_digits() {
        let shown = [
            (0, "0 ns"),
            (740, "740 ns"),
            (1_000, "1.00 us"),
            (12_345, "12.3 us"),
            (99_960, "100 us"),
            (2_310_000_000, "2.31 s"),
            (3_600_000_000_000, "3600 s"),
        ];
        for (ns, text) in shown {
            assert_eq!(Rough(Duration::from_nanos(ns)).to_string(), text);
        }
    }
}
