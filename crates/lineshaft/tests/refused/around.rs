//! Attributes around functions that are refused.

use std::rc::Rc;

#[lineshaft::logged(levle = "info")]
fn nearly_an_option() {}

#[lineshaft::logged(level = "warning")]
fn no_level() {}

#[lineshaft::logged(redact = ["passwort"])]
fn no_argument(password: &str) {}

struct Opaque;

#[lineshaft::logged]
fn cannot_be_shown(opaque: Opaque) {}

#[lineshaft::logged]
fn cannot_be_shown_either() -> Opaque {
    Opaque
}

#[lineshaft::logged]
struct NoFunction;

#[lineshaft::timed]
const fn constant() {}

#[lineshaft::timed(slow = "1 minute")]
fn no_duration() {}

#[lineshaft::timed(report = |_, _| ())]
fn never_slow() {}

#[lineshaft::timed(slow = "1s", slow = "2s")]
fn twice() {}

trait Work {
    #[lineshaft::timed]
    fn work(&self);
}

#[lineshaft::retry]
fn cannot_fail() -> u8 {
    1
}

#[lineshaft::retry]
fn cannot_be_cloned(opaque: Opaque, text: &str) -> Result<(), String> {
    Ok(())
}

#[lineshaft::retry(delay = "1s")]
fn no_option() -> Result<(), String> {
    Ok(())
}

#[lineshaft::retry(first = "20s")]
fn longer_than_the_longest() -> Result<(), String> {
    Ok(())
}

#[lineshaft::retry(budget = "0/s")]
fn no_rate() -> Result<(), String> {
    Ok(())
}

#[lineshaft::retry(never = "timeout")]
fn a_text_for_what_is_never_retried() -> Result<(), String> {
    Ok(())
}

#[lineshaft::retry(never = |_| true, if_result = |_| true)]
fn no_errors_to_name() -> u8 {
    1
}

#[lineshaft::retry(if_result = |_| true, before_pause = |_| ())]
fn no_error_to_tell_of() -> Result<u8, String> {
    Ok(1)
}

#[lineshaft::retry(if_result = |_| true, after = |_, _| std::time::Duration::ZERO)]
fn no_error_to_wait_for() -> Result<u8, String> {
    Ok(1)
}

#[lineshaft::retry(if_result = true)]
fn a_truth_for_a_predicate() -> u8 {
    1
}

#[lineshaft::retry(on = "timeout")]
fn a_text_for_a_predicate() -> Result<(), String> {
    Ok(())
}

#[lineshaft::logged]
fn succeeds_with_what_cannot_be_shown() -> Result<Opaque, String> {
    Ok(Opaque)
}

#[lineshaft::retry(max = -1)]
fn no_number() -> Result<(), String> {
    Ok(())
}

impl Opaque {
    #[lineshaft::retry]
    fn used_up(self: Rc<Self>) -> Result<(), String> {
        Ok(())
    }
}

#[lineshaft::cached(tll = "5m")]
fn nearly_ttl() -> u8 {
    1
}

#[lineshaft::cached(policy = "fifo")]
fn no_policy() -> u8 {
    1
}

#[lineshaft::cached(ttl = 0)]
fn no_life() -> u8 {
    1
}

#[lineshaft::cached(negative = "10s")]
fn no_errors() -> u8 {
    1
}

#[lineshaft::cached(key = |user| user)]
fn a_key_without_type(user: u8) -> u8 {
    user
}

#[lineshaft::cached(key = |user| -> u8 { *user })]
fn a_key_of_other_arguments(user: u8, page: u8) -> u8 {
    user + page
}

#[lineshaft::cached(tags = [1])]
fn no_tags() -> u8 {
    1
}

#[lineshaft::cached]
fn generic<T: ToString>(thing: T) -> String {
    thing.to_string()
}

#[lineshaft::cached]
fn borrowed(text: &str) -> &str {
    text
}

#[lineshaft::cached]
fn changing(text: &mut String) -> u8 {
    text.push('!');
    1
}

#[lineshaft::cached]
fn no_key(price: f64) -> u8 {
    price as u8
}

#[lineshaft::cached]
fn not_kept(id: u8) -> Result<u8, std::io::Error> {
    Ok(id)
}

impl Opaque {
    #[lineshaft::cached]
    fn changes(&mut self) -> u8 {
        1
    }

    #[lineshaft::cached]
    fn has_no_key(&self) -> u8 {
        1
    }
}

fn main() {}
