//! Which implementation does the work, and what becomes of one that is wrong.

use std::future::{Future, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft::around::{Alternatives, Implementation, Standing};
use lineshaft::{Embedded, alternatives, logged};

use super::{block_on, heard, texts};

/// For what takes some milliseconds, on a machine that does ten other things.
const PATIENCE: Duration = Duration::from_secs(60);

const SLOW: Duration = Duration::from_millis(3);

/// How the implementations stand for the one class there is.
fn standings(known: &Alternatives) -> Vec<Standing> {
    let classes = known.implementations();
    assert_eq!(classes.len(), 1, "{classes:?}");
    classes.into_values().next().unwrap().iter().map(|one: &Implementation| one.standing).collect()
}

/// Has `call` called until something is so.
fn until(mut call: impl FnMut(), is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it never is so");
        call();
    }
}

fn is_pinned(known: &Alternatives) -> bool {
    known.explain().contains("pinned: another one gave other results")
}

#[test]
fn the_fastest_does_the_work() {
    fn quick(number: u64) -> u64 {
        number + 1
    }

    #[alternatives(quick, key = None)]
    fn slow(number: u64) -> u64 {
        sleep(SLOW);
        number + 1
    }

    assert!(slow_alternatives().explain().ends_with("slow: not called yet"));
    for number in 0..20 {
        assert_eq!(slow(number), number + 1);
    }
    assert_eq!(standings(slow_alternatives()), [Standing::Slower, Standing::Best]);
    let known = slow_alternatives().implementations();
    let calls: Vec<u64> = known["None"].iter().map(|one| one.calls).collect();
    assert_eq!((calls[0] + calls[1], known["None"][1].name.as_str()), (20, "quick"));
    assert!(
        known["None"][0]
            .median
            .is_some_and(|(median, low, high)| low >= SLOW && low <= median && median <= high)
    );
    let shown = slow_alternatives().explain();
    assert!(
        shown.contains("::slow: 20 calls\n  slow   slower") && shown.contains("\n  quick  does the work"),
        "{shown}"
    );
}

#[test]
fn each_class_of_arguments_has_its_own_choice() {
    fn linear(items: &[u8], _label: &str) -> &'static str {
        sleep(Duration::from_micros(100) * items.len() as u32);
        "linear"
    }

    #[alternatives(linear)]
    fn constant(items: &[u8], _label: &str) -> &'static str {
        sleep(Duration::from_millis(5));
        "constant"
    }

    let (few, many) = (vec![0; 2], vec![0; 300]);
    for _ in 0..10 {
        constant(&few, "x");
        constant(&many, "x");
    }
    assert_eq!((constant(&few, "x"), constant(&many, "x")), ("linear", "constant"));
    let classes: Vec<String> = constant_alternatives().implementations().into_keys().collect();
    assert_eq!(classes, ["(2, 1)", "(9, 1)"]);
}

#[test]
fn a_class_is_what_key_gives() {
    struct Order {
        tenant: &'static str,
    }

    fn other(_order: &Order, number: u64) -> u64 {
        number
    }

    #[alternatives(other, key = |order, number| (order.tenant, *number > 5))]
    fn by_closure(order: &Order, number: u64) -> u64 {
        let _ = order;
        number
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "a key takes references")]
    fn size_of(order: &Order, number: &u64) -> u64 {
        order.tenant.len() as u64 + number
    }

    #[alternatives(other, key = size_of)]
    fn by_function(order: &Order, number: u64) -> u64 {
        let _ = order;
        number
    }

    for number in [1, 9] {
        by_closure(&Order { tenant: "acme" }, number);
        by_function(&Order { tenant: "acme" }, number);
    }
    let classes = |known: &Alternatives| known.implementations().into_keys().collect::<Vec<_>>();
    assert_eq!(classes(by_closure_alternatives()), ["('acme', False)", "('acme', True)"]);
    assert_eq!(classes(by_function_alternatives()), ["13", "5"]);
}

#[test]
fn one_that_gives_an_error_is_left_out_and_the_first_answers() {
    static TRIED: AtomicU32 = AtomicU32::new(0);

    fn picky(text: String) -> Result<usize, std::num::ParseIntError> {
        TRIED.fetch_add(1, Relaxed);
        text.parse()
    }

    #[alternatives(picky, key = None, name = "shop.length")]
    fn length(text: String) -> Result<usize, std::num::ParseIntError> {
        Ok(text.len())
    }

    let said = texts(|| {
        for _ in 0..20 {
            assert_eq!(length("abc".into()), Ok(3));
        }
    });
    assert_eq!(TRIED.load(Relaxed), 1);
    assert_eq!(
        said,
        [
            "shop.length: picky gave an error, core::num::error::ParseIntError, where length did not; it is left out for an \
          hour for arguments of class None"
        ]
    );
    assert_eq!(standings(length_alternatives()), [Standing::Best, Standing::Banned]);
}

#[test]
fn an_error_of_the_function_s_own_leaves_nobody_out() {
    fn other(_text: &str) -> Result<(), &'static str> {
        Err("of the other")
    }

    #[alternatives(other, key = None)]
    fn first(_text: &str) -> Result<(), &'static str> {
        Err("of the first")
    }

    for _ in 0..10 {
        assert_eq!(first("x"), Err("of the first"));
    }
    assert!(!standings(first_alternatives()).contains(&Standing::Banned));
}

#[test]
fn one_that_panics_is_left_out_and_the_panic_is_the_caller_s() {
    fn broken(_number: u64) -> u64 {
        panic!("not today")
    }

    #[alternatives(broken, key = None)]
    fn sound(number: u64) -> u64 {
        number
    }

    let calls = (0..20).map(|number| catch_unwind(AssertUnwindSafe(|| sound(number))));
    let (mut panicked, mut answered) = (0, 0);
    for call in calls {
        if call.is_err() { panicked += 1 } else { answered += 1 }
    }
    assert_eq!((panicked, answered), (1, 19));
    assert_eq!(standings(sound_alternatives()), [Standing::Best, Standing::Banned]);
}

#[test]
fn a_panic_of_the_first_one_is_its_own() {
    fn other(number: u64) -> u64 {
        sleep(SLOW);
        number
    }

    #[alternatives(other, key = None)]
    fn first(number: u64) -> u64 {
        assert!(number > 0, "zero");
        number
    }

    first(1);
    until(
        || {
            first(1);
        },
        || standings(first_alternatives())[0] == Standing::Best,
    );
    assert!(catch_unwind(|| first(0)).is_err());
    assert_eq!(standings(first_alternatives()), [Standing::Best, Standing::Slower]);
}

#[test]
fn another_result_pins_the_first_one() {
    static TRIED: AtomicU32 = AtomicU32::new(0);

    fn wrong(number: u64) -> u64 {
        TRIED.fetch_add(1, Relaxed);
        number + 1
    }

    #[alternatives(wrong, key = None, verify = 1, name = "shop.right")]
    fn right(number: u64) -> u64 {
        sleep(SLOW);
        number
    }

    let (lines, ()) = heard(tracing::Level::ERROR, || {
        for number in 0..20 {
            assert_eq!(right(number), number);
        }
    });
    assert_eq!(TRIED.load(Relaxed), 1);
    let texts: Vec<&str> = lines.iter().map(|(_, _, text)| text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "shop.right: wrong gave another result than right for arguments of class None; from now on right does the work \
          there"
        ]
    );
    assert!(is_pinned(right_alternatives()));
}

#[test]
fn results_are_compared_by_equal_and_what_is_not_itself_with_nothing() {
    #[expect(clippy::unnecessary_wraps, reason = "it is as the first one is")]
    fn nearly(_text: &str) -> Result<f64, Opaque> {
        Ok(1.01)
    }

    /// An error that cannot be compared.
    struct Opaque;

    #[alternatives(nearly, key = None, verify = 1.0, equal = |one, other| (one - other).abs() < 0.1)]
    fn first(_text: &str) -> Result<f64, Opaque> {
        sleep(SLOW);
        Ok(1.0)
    }

    fn also_nan() -> Vec<f64> {
        vec![f64::NAN, 1.0]
    }

    #[alternatives(also_nan, verify = 1.0)]
    fn nan() -> Vec<f64> {
        sleep(SLOW);
        vec![f64::NAN, 1.0]
    }

    for _ in 0..20 {
        assert!(first("x").is_ok());
        assert_eq!(nan().len(), 2);
    }
    assert_eq!(standings(first_alternatives()), [Standing::Slower, Standing::Best]);
    assert_eq!(standings(nan_alternatives()), [Standing::Slower, Standing::Best]);
}

#[test]
fn what_cannot_be_cloned_is_moved_where_nothing_is_called_twice() {
    struct Single(u64);

    fn quick(single: Single) -> u64 {
        single.0
    }

    #[alternatives(quick, key = |single| single.0 > 3)]
    fn slow(single: Single) -> u64 {
        sleep(SLOW);
        single.0
    }

    for _ in 0..20 {
        assert_eq!(slow(Single(7)), 7);
    }
    assert_eq!(standings(slow_alternatives()), [Standing::Slower, Standing::Best]);
}

#[test]
fn methods_and_other_attributes() {
    struct Shelf {
        start: u64,
    }

    impl Shelf {
        fn by_sum(&self, items: &[u64]) -> u64 {
            self.start + items.iter().sum::<u64>()
        }

        #[logged]
        #[alternatives(Self::by_sum)]
        fn total(&self, items: &[u64]) -> u64 {
            sleep(SLOW);
            items.iter().fold(self.start, |sum, item| sum + item)
        }
    }

    for _ in 0..20 {
        assert_eq!(Shelf { start: 1 }.total(&[1, 2]), 4);
    }
    assert!(
        Shelf::total_alternatives().name().ends_with("::Shelf::total"),
        "{}",
        Shelf::total_alternatives().name()
    );
    assert_eq!(standings(Shelf::total_alternatives()), [Standing::Slower, Standing::Best]);
}

#[test]
fn threads_choose_together() {
    static CALLS: AtomicU32 = AtomicU32::new(0);

    fn quick() {
        CALLS.fetch_add(1, Relaxed);
    }

    #[alternatives(quick)]
    fn slow() {
        CALLS.fetch_add(1, Relaxed);
        sleep(SLOW);
    }

    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| slow()));
        }
    });
    let known = slow_alternatives().implementations();
    assert_eq!(known["()"].iter().map(|one| one.calls).sum::<u64>(), 400);
    assert_eq!((CALLS.load(Relaxed), known["()"][1].standing), (400, Standing::Best));
}

// ---- Futures.

#[test]
fn a_look_at_a_future_that_takes_too_long_is_dropped() {
    static IS_SLOW: AtomicBool = AtomicBool::new(false);
    static DROPPED: AtomicU32 = AtomicU32::new(0);

    struct Dropped;

    impl Drop for Dropped {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Relaxed);
        }
    }

    async fn other(text: String) -> Result<String, String> {
        if IS_SLOW.load(Relaxed) {
            let _dropped = Dropped;
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(format!("other {text}"))
    }

    #[alternatives(other, key = None)]
    async fn first(text: String) -> Result<String, String> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let text = if text.is_empty() { return Err("nothing".into()) } else { text };
        Ok(format!("first {text}"))
    }

    block_on(async {
        for _ in 0..10 {
            assert!(first("x".into()).await.is_ok());
        }
        assert_eq!(standings(first_alternatives()), [Standing::Best, Standing::Slower]);
        IS_SLOW.store(true, Relaxed);
        let began = Instant::now();
        while DROPPED.load(Relaxed) == 0 {
            assert_eq!(first("x".into()).await.as_deref(), Ok("first x"));
            assert!(began.elapsed() < PATIENCE, "nothing was dropped");
        }
        assert_eq!(first(String::new()).await, Err("nothing".into()));
    });
    assert_eq!(standings(first_alternatives()), [Standing::Best, Standing::Slower]);
}

#[test]
fn a_future_can_be_sent_and_dropped() {
    fn sent<T: Send>(future: T) -> T {
        future
    }

    async fn other(number: u64) -> u64 {
        std::future::pending::<()>().await;
        number
    }

    #[alternatives(other, key = None)]
    async fn first(number: u64) -> u64 {
        std::future::pending::<()>().await;
        number
    }

    block_on(async {
        for number in 0..4 {
            let call = sent(first(number));
            assert!(tokio::time::timeout(Duration::from_millis(1), call).await.is_err());
        }
    });
    let calls: Vec<u64> =
        first_alternatives().implementations()["None"].iter().map(|one| one.calls).collect();
    assert_eq!((calls, standings(first_alternatives())), (vec![0, 0], vec![Standing::Tried; 2]));
}

/// What answered then was believed, even an error.
#[test]
fn what_answers_after_a_look_was_dropped_may_be_wrong_too() {
    static IS_SLOW: AtomicBool = AtomicBool::new(false);
    static IS_BROKEN: AtomicBool = AtomicBool::new(false);

    struct Dropped;

    impl Drop for Dropped {
        fn drop(&mut self) {
            IS_BROKEN.store(true, Relaxed);
        }
    }

    async fn looked_at(_panics: bool) -> Result<&'static str, String> {
        if IS_SLOW.load(Relaxed) {
            let _dropped = Dropped;
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok("looked at")
    }

    async fn best(panics: bool) -> Result<&'static str, String> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let is_broken = IS_BROKEN.load(Relaxed);
        assert!(!is_broken || !panics, "broken");
        if is_broken { Err("broken".into()) } else { Ok("best") }
    }

    #[alternatives(looked_at, best, key = |panics| *panics)]
    async fn first(panics: bool) -> Result<&'static str, String> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let _ = panics;
        Ok("first")
    }

    for (panics, class) in [(false, "False"), (true, "True")] {
        IS_BROKEN.store(false, Relaxed);
        let standing = || first_alternatives().implementations().get(class).map(|all| all[2].standing);
        let call = || {
            // Not while all are compared, which nobody gives up.
            IS_SLOW.store(standing() == Some(Standing::Best), Relaxed);
            match catch_unwind(|| block_on(first(panics))) {
                Ok(answer) => assert!(answer.is_ok(), "{answer:?}"),
                Err(_) => assert!(panics && IS_BROKEN.load(Relaxed)),
            }
        };
        until(call, || IS_BROKEN.load(Relaxed));
        assert_eq!(standing(), Some(Standing::Banned));
    }
}

/// It asked for the timer of tokio, and panicked, in one call of a hundred.
#[test]
fn a_look_at_a_future_outside_of_tokio_takes_what_it_takes() {
    static CALLS: AtomicU32 = AtomicU32::new(0);

    async fn other(number: u64) -> u64 {
        CALLS.fetch_add(1, Relaxed);
        sleep(Duration::from_micros(100));
        ready(number).await
    }

    #[alternatives(other, key = None)]
    async fn first(number: u64) -> u64 {
        sleep(Duration::from_micros(50));
        number
    }

    let call = || {
        let polled = pin!(first(5)).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(5));
    };
    call();
    until(call, || standings(first_alternatives()) == [Standing::Best, Standing::Slower]);
    let of_trial = CALLS.load(Relaxed);
    until(call, || CALLS.load(Relaxed) >= of_trial + 2);
}

// ---- Names.

/// They had one name, so that what was learned of one, and a pin, was the other's as well.
#[test]
fn functions_of_two_types_have_two_names() {
    struct Decimal;
    struct Hexadecimal;

    impl Decimal {
        fn by_std(text: &str) -> Option<u64> {
            text.parse().ok()
        }

        #[alternatives(Self::by_std)]
        fn parse(text: &str) -> Option<u64> {
            text.bytes().try_fold(0, |sum, byte| Some(sum * 10 + u64::from(byte.checked_sub(b'0')?)))
        }
    }

    impl Hexadecimal {
        fn by_std(text: &str) -> Option<u64> {
            u64::from_str_radix(text, 16).ok()
        }

        #[alternatives(Self::by_std)]
        fn parse(text: &str) -> Option<u64> {
            text.chars().try_fold(0, |sum, digit| Some(sum * 16 + u64::from(digit.to_digit(16)?)))
        }
    }

    assert_eq!((Decimal::parse("12"), Hexadecimal::parse("12")), (Some(12), Some(18)));
    let names = [Decimal::parse_alternatives().name(), Hexadecimal::parse_alternatives().name()];
    assert!(
        names[0].ends_with("::Decimal::parse") && names[1].ends_with("::Hexadecimal::parse"),
        "{names:?}"
    );
}

// ---- Together.

/// Two functions that others know by one name, as two programs would have them.
mod one {
    use super::{SLOW, alternatives, sleep};

    pub(super) fn wrong(number: u64) -> u64 {
        number + 1
    }

    #[alternatives(wrong, key = None, name = "shop.shared")]
    pub(super) fn right(number: u64) -> u64 {
        sleep(SLOW);
        number
    }
}

mod third {
    use super::{SLOW, alternatives, one::wrong, sleep};

    #[alternatives(wrong, key = None, name = "shop.shared")]
    pub(super) fn right(number: u64) -> u64 {
        sleep(SLOW);
        number
    }
}

mod another {
    use super::{SLOW, alternatives, one::wrong, sleep};

    #[alternatives(wrong, key = None, name = "shop.shared", verify = 1.0)]
    pub(super) fn right(number: u64) -> u64 {
        sleep(SLOW);
        number
    }
}

#[test]
fn programs_of_a_home_hear_what_others_learn_and_of_pins() {
    let often = Duration::from_millis(50);
    let directory = tempfile::tempdir().unwrap();
    let engine = block_on(Embedded::start(directory.path())).unwrap();
    one::right_alternatives().share_often(engine.client(), often, Duration::ZERO);
    one::right(5);
    until(
        || {
            one::right(5);
        },
        || standings(one::right_alternatives())[1] == Standing::Best,
    );
    assert_eq!(one::right(5), 6, "nobody has compared");
    another::right_alternatives().share_often(engine.client(), often, Duration::ZERO);
    another::right(5);
    until(
        || {
            another::right(5);
        },
        || is_pinned(another::right_alternatives()),
    );
    until(
        || {
            one::right(5);
        },
        || is_pinned(one::right_alternatives()),
    );
    assert_eq!((one::right(5), another::right(5)), (5, 5));
    // What went, as when the cache needs room, is written again by those who know of it.
    block_on(engine.client().cache().clear()).unwrap();
    third::right_alternatives().share_often(engine.client(), often, Duration::ZERO);
    until(
        || {
            one::right(5);
            third::right(5);
        },
        || is_pinned(third::right_alternatives()),
    );
    block_on(engine.stop()).unwrap();
    assert_eq!(one::right(5), 5, "without the engine each goes on");
}

mod learning {
    use super::{SLOW, alternatives, sleep};

    fn quick(number: u64) -> u64 {
        number
    }

    #[alternatives(quick, key = None, name = "shop.learning")]
    pub(super) fn slow(number: u64) -> u64 {
        sleep(SLOW);
        number
    }
}

mod finder {
    use super::{alternatives, one::wrong};

    #[alternatives(wrong, key = None, name = "shop.found", verify = 1.0)]
    pub(super) fn right(number: u64) -> u64 {
        number
    }
}

mod hearer {
    use super::{alternatives, one::wrong};

    #[alternatives(wrong, key = None, name = "shop.found")]
    pub(super) fn right(number: u64) -> u64 {
        number
    }
}

/// The one thread that tells waited for the lock for ever, and with it all that was told and heard of other functions.
#[test]
fn pins_are_told_though_somebody_keeps_the_lock_of_what_is_listed() {
    let often = Duration::from_millis(50);
    let directory = tempfile::tempdir().unwrap();
    let engine = block_on(Embedded::start(directory.path())).unwrap();
    let lock = || engine.client().lock("cache:@alternatives");
    let guard = block_on(lock().acquire()).unwrap();
    learning::slow_alternatives().share_often(engine.client(), often, Duration::ZERO);
    learning::slow(5);
    until(|| _ = learning::slow(5), || standings(learning::slow_alternatives())[1] == Standing::Best);

    finder::right_alternatives().share_often(engine.client(), often, Duration::ZERO);
    finder::right(5);
    until(|| _ = finder::right(5), || is_pinned(finder::right_alternatives()));
    hearer::right_alternatives().share_often(engine.client(), often, Duration::ZERO);
    hearer::right(5);
    until(
        || {
            hearer::right(5);
            sleep(SLOW);
        },
        || is_pinned(hearer::right_alternatives()),
    );

    // What was given up is not held later.
    block_on(guard.release()).unwrap();
    let began = Instant::now();
    while block_on(lock().try_acquire()).unwrap().is_none() {
        assert!(began.elapsed() < PATIENCE, "the lock is held by who has given it up");
        sleep(SLOW);
    }
    block_on(engine.stop()).unwrap();
}
