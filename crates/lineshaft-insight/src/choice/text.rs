//! What is known of implementations, for people.

use super::{Choice, Outline, Standing};

/// Lines about a function for one class of arguments, which reads `class`, if it has more than one:
///
/// ```text
/// orders.largest for arguments of class (7,): 300 calls
///   largest  does the work        1.09 us (1.09 us to 1.09 us), 294 calls
///   by_sort  slower               3.05 us (1.80 us to 13.3 us), 6 calls
/// ```
pub fn lines(function: &str, class: Option<&str>, names: &[String], choice: &Choice) -> Vec<String> {
    let wide = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let pinned = if choice.is_pinned() { ", pinned: another one gave other results" } else { "" };
    let class = class.map_or_else(String::new, |class| format!(" for arguments of class {class}"));
    let mut lines = vec![format!("{function}{class}: {}{pinned}", calls(choice.runs()))];
    for (name, outline) in names.iter().zip(choice.outlines()) {
        let line = format!("  {name:wide$}  {:19}  {}", standing(outline.standing), times(&outline));
        lines.push(line.trim_end().to_owned());
    }
    lines
}

const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Best => "does the work",
        Standing::Tried => "is compared",
        Standing::Slower => "slower",
        Standing::Banned => "left out, it failed",
    }
}

fn times(outline: &Outline) -> String {
    match outline.median_s {
        Some((median, low, high)) => {
            format!("{} ({} to {}), {}", took(median), took(low), took(high), calls(outline.runs))
        }
        None if outline.runs > 0 => calls(outline.runs),
        None => String::new(),
    }
}

fn calls(count: u64) -> String {
    if count == 1 { "1 call".to_owned() } else { format!("{} calls", grouped(count)) }
}

/// Digits in threes: `1,234,567`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How long something took, in seconds: three digits and a unit.
pub fn took(seconds: f64) -> String {
    let units = [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3_600.0)];
    match units.into_iter().rev().find(|(_, size)| seconds >= *size) {
        None => "0 us".to_owned(),
        Some((unit, size)) => match seconds / size {
            few @ 0.0..9.995 => format!("{few:.2} {unit}"),
            some @ 9.995..99.95 => format!("{some:.1} {unit}"),
            many => format!("{many:.0} {unit}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_shown_with_its_implementations() {
        let names = ["first".to_owned(), "by_sort".to_owned()];
        let mut choice = Choice::new(2);
        let pick = choice.pick(0, 0.5);
        choice.ran(pick, 0.5);
        assert_eq!(
            lines("shop.largest", Some("(7,)"), &names, &choice),
            [
                "shop.largest for arguments of class (7,): 1 call",
                "  first    is compared          500 ms (500 ms to 500 ms), 1 call",
                "  by_sort  is compared",
            ]
        );
        choice.pin();
        let shown = lines("largest", None, &names, &choice);
        assert_eq!(shown[0], "largest: 1 call, pinned: another one gave other results");
        assert_eq!(shown[2], "  by_sort  slower");
    }

    #[test]
    fn numbers_are_grouped_and_times_have_three_digits() {
        assert_eq!((calls(999), calls(1_234_567)), ("999 calls".into(), "1,234,567 calls".into()));
        for (value, text) in [(2.5, "2.50 s"), (0.0123, "12.3 ms"), (1.5e-4, "150 us"), (9e-9, "9.00 ns")] {
            assert_eq!(took(value), text);
        }
    }
}
