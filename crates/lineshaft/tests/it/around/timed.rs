//! What `#[timed]` counts.

use std::sync::Mutex;
use std::time::Duration;

use tracing::Level;

use super::{block_on, heard};

#[test]
fn calls_are_counted_with_their_times() {
    #[lineshaft::timed]
    fn nap(ms: u64) -> u64 {
        std::thread::sleep(Duration::from_millis(ms));
        ms
    }

    assert_eq!(nap_timing().to_string(), "no calls");
    let slept: u64 = [1, 2, 20].map(nap).iter().sum();
    let timing = nap_timing();
    assert_eq!(timing.count(), 3);
    assert!(timing.min() >= Duration::from_millis(1) && timing.max() >= Duration::from_millis(20));
    assert!(timing.total() >= Duration::from_millis(slept) && timing.mean() * 3 <= timing.total());
    assert!(timing.quantile(0.5) < timing.quantile(1.0));
    timing.reset();
    assert_eq!(timing.count(), 0);
}

#[test]
fn a_call_that_fails_or_panics_counts_too() {
    #[lineshaft::timed]
    fn odd(x: u8) -> Result<u8, String> {
        assert!(x < 100, "too large");
        if x.is_multiple_of(2) {
            Err(format!("{x} is even"))?;
        }
        Ok(x)
    }

    assert!(odd(2).is_err() && odd(1).is_ok());
    assert!(std::panic::catch_unwind(|| odd(101)).is_err());
    assert_eq!(odd_timing().count(), 3);
}

#[test]
fn a_coroutine_is_timed_until_it_ends_or_is_dropped() {
    #[lineshaft::timed]
    async fn nap(ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    block_on(async {
        drop(nap(1));
        nap(10).await;
        let cut = tokio::time::timeout(Duration::from_millis(5), nap(10_000)).await;
        assert!(cut.is_err());
    });
    assert_eq!(nap_timing().count(), 2);
    assert!(nap_timing().min() >= Duration::from_millis(5));
}

static REPORTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn report(name: &str, took: Duration) {
    assert!(took >= Duration::from_millis(2));
    REPORTS.lock().unwrap().push(name.to_owned());
}

#[test]
fn slow_calls_are_reported() {
    #[lineshaft::timed(slow = "2ms")]
    fn warned(ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }

    #[lineshaft::timed(slow = "2ms", report = report)]
    fn reported(ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }

    let (lines, ()) = heard(Level::WARN, || {
        warned(0);
        warned(2);
        reported(2);
    });
    let (level, target, text) = &lines[0];
    assert_eq!((lines.len(), *level, target.as_str()), (1, Level::WARN, module_path!()));
    assert!(text.starts_with("warned took ") && text.ends_with(" ms"), "{text}");
    assert_eq!(*REPORTS.lock().unwrap(), ["reported"]);
}

struct Shop<T>(T);

impl<T: Clone> Shop<T> {
    #[lineshaft::timed]
    fn stock(&self) -> T {
        self.0.clone()
    }

    #[lineshaft::timed]
    fn open() -> u8 {
        1
    }
}

macro_rules! two_shops {
    ($one:ident, $other:ident) => {
        struct $one;
        struct $other;
        impl $one {
            #[lineshaft::timed]
            fn open() {}
        }
        impl $other {
            #[lineshaft::timed]
            fn open() {}
        }
    };
}

two_shops!(North, South);

#[test]
fn methods_have_their_timing_beside_them() {
    Shop(1).stock();
    Shop("text").stock();
    assert_eq!(Shop::<u8>::stock_timing().count(), 2);
    Shop::<u8>::open();
    assert_eq!(Shop::<u8>::open_timing().count(), 1);
    // They have one line, one module and one name.
    North::open();
    North::open();
    South::open();
    assert_eq!((North::open_timing().count(), South::open_timing().count()), (2, 1));
}
