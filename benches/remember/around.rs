//! What attributes add to a call: `cargo bench -p lineshaft --bench around`. Each figure is the median of the rounds, with
//! the least and the greatest beside it; they take turns. Words behind `--` choose figures whose names have one of them.
//! `python benches/remember wrap` has the same of Python.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::collections::HashMap;
use std::env;
use std::fs;
use std::hint::black_box;
use std::sync::{LazyLock, Mutex};

use lineshaft::{alternatives, cached, logged, retry, timed};
use rustix::time::{ClockId, clock_gettime};
use tracing::{Event, Metadata, Subscriber, span};

const ROUNDS: usize = 7;
const CALLS: u64 = 1_000_000;
/// Arguments of cached calls: all of them are kept.
const KEYS: u64 = 1_000;

#[inline(never)]
fn plain(x: u64) -> Result<u64, String> {
    black_box(Ok(x + 1))
}

#[inline(never)]
#[logged]
fn said(x: u64) -> Result<u64, String> {
    black_box(Ok(x + 1))
}

#[inline(never)]
#[retry]
fn tried(x: u64) -> Result<u64, String> {
    black_box(Ok(x + 1))
}

#[inline(never)]
#[timed]
fn clocked(x: u64) -> Result<u64, String> {
    black_box(Ok(x + 1))
}

#[cached]
fn kept(x: u64) -> u64 {
    x + 1
}

#[cached(ttl = "1h")]
fn kept_for_an_hour(x: u64) -> u64 {
    x + 1
}

#[cached(ttl = "1h")]
fn kept_by_text(x: &str, y: u64) -> u64 {
    x.len() as u64 + y
}

#[inline(never)]
#[alternatives(plain, key = None)]
fn chosen(x: u64) -> Result<u64, String> {
    black_box(Ok(x + 1))
}

fn count(text: &str) -> usize {
    black_box(text.len())
}

#[inline(never)]
#[alternatives(count)]
fn chosen_by_size(text: &str) -> usize {
    black_box(text.len())
}

/// What is written by hand for it: no end of life, no bound, and two that miss both compute.
fn kept_by_hand(x: u64) -> u64 {
    static KEPT: LazyLock<Mutex<HashMap<u64, u64>>> = LazyLock::new(Mutex::default);
    *KEPT.lock().expect("nobody panics with it").entry(x).or_insert_with(|| x + 1)
}

async fn waited(x: u64) -> Result<u64, String> {
    black_box(std::future::ready(Ok(x + 1))).await
}

#[logged]
#[retry]
#[timed]
async fn waited_with_three(x: u64) -> Result<u64, String> {
    black_box(std::future::ready(Ok(x + 1))).await
}

#[cached(ttl = "1h")]
async fn waited_and_kept(x: u64) -> Result<u64, String> {
    black_box(std::future::ready(Ok(x + 1))).await
}

fn main() {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{CALLS} calls, load {}; nanoseconds of CPU of each",
        load.split(' ').next().unwrap_or("unknown")
    );
    tracing::subscriber::set_global_default(Deaf).expect("it is the first");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let figures: [(&str, &dyn Fn()); 13] = [
        ("plain", &|| calls(plain)),
        ("#[logged], heard by nobody", &|| calls(said)),
        ("#[retry], not needed", &|| calls(tried)),
        ("#[timed]", &|| calls(clocked)),
        ("#[alternatives(key = None)]", &|| calls(chosen)),
        ("#[alternatives] by the size of a text", &|| calls(|_| chosen_by_size("a text of usual length"))),
        ("#[cached], a hit", &|| calls(|x| kept(x % KEYS))),
        ("#[cached(ttl)], a hit", &|| calls(|x| kept_for_an_hour(x % KEYS))),
        ("#[cached(ttl)] by text and number, a hit", &|| {
            calls(|x| kept_by_text("a text of usual length", x % KEYS));
        }),
        ("Mutex<HashMap>, a hit", &|| calls(|x| kept_by_hand(x % KEYS))),
        ("async plain", &|| {
            runtime.block_on(async {
                for x in 0..CALLS {
                    let _ = waited(black_box(x)).await;
                }
            });
        }),
        ("async #[logged] #[retry] #[timed]", &|| {
            runtime.block_on(async {
                for x in 0..CALLS {
                    let _ = waited_with_three(black_box(x)).await;
                }
            });
        }),
        ("async #[cached(ttl)], a hit", &|| {
            runtime.block_on(async {
                for x in 0..CALLS {
                    let _ = waited_and_kept(black_box(x % KEYS)).await;
                }
            });
        }),
    ];
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let is_chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let figures: Vec<_> = figures.into_iter().filter(|(name, _)| is_chosen(name)).collect();
    let mut rounds = vec![Vec::new(); figures.len()];
    for _ in 0..ROUNDS {
        for ((_, run), rounds) in figures.iter().zip(&mut rounds) {
            rounds.push(time(run) / CALLS as f64);
        }
    }
    for ((name, _), mut rounds) in figures.iter().zip(rounds) {
        rounds.sort_by(f64::total_cmp);
        let (least, median, most) = (rounds[0], rounds[ROUNDS / 2], rounds[ROUNDS - 1]);
        println!("{name:<45} {median:>8.1}  ({least:.1} to {most:.1})");
    }
}

fn calls<T>(call: impl Fn(u64) -> T) {
    for x in 0..CALLS {
        black_box(call(black_box(x)));
    }
}

/// Of this thread alone: others may have the processor meanwhile.
fn time(run: &dyn Fn()) -> f64 {
    let nanoseconds = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let began = nanoseconds();
    run();
    nanoseconds() - began
}

/// A subscriber that wants warnings alone, as most programs have one.
struct Deaf;

impl Subscriber for Deaf {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
