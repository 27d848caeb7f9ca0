//! The pool of processes of Rust, beside threads of rayon: `cargo bench -p lineshaft --bench pool`. Each figure is the
//! median of the rounds, with the least and the greatest beside it; they take turns. Words behind `--` choose figures whose
//! names have one of them.
//! `python benches/parallel pool` has the same of Python.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::env;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use lineshaft::Pool;
use lineshaft::value::Bytes;
use rayon::prelude::*;

const ROUNDS: usize = 5;
const WORKERS: usize = 2;
const ITEMS: i64 = 2_000_000;
const SINGLE_ITEMS: i64 = 50_000;
const ARRAYS: usize = 1_000;
const ARRAY_BYTES: usize = 1_000_000;

#[lineshaft::task]
fn add_one(number: i64) -> i64 {
    number + 1
}

#[lineshaft::task]
fn last_byte(array: Bytes) -> u8 {
    array[array.len() - 1]
}

fn main() {
    lineshaft::pool::init();
    let pool = Pool::new(WORKERS).expect("a pool");
    let single = Pool::builder().workers(WORKERS).share_items(1).build().expect("a pool");
    let threads = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build().expect("threads");
    for pool in [&pool, &single] {
        assert_eq!(pool.map(add_one::call, 0..1_000).expect("results").len(), 1_000);
    }
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{WORKERS} workers, load {}", load.split(' ').next().unwrap_or("unknown"));
    let array = Bytes::from(vec![7; ARRAY_BYTES]);
    let figures: [(&str, f64, &dyn Fn()); 5] = [
        ("x + 1, M items/s", ITEMS as f64 / 1e6, &|| add(&pool, ITEMS)),
        ("x + 1 one by one, k items/s", SINGLE_ITEMS as f64 / 1e3, &|| add(&single, SINGLE_ITEMS)),
        ("x + 1 on threads of rayon, M items/s", ITEMS as f64 / 1e6, &|| add_on(&threads, ITEMS)),
        ("arrays of 1 MB/s", ARRAYS as f64, &|| {
            let arrays = (0..ARRAYS).map(|_| array.clone());
            black_box(pool.map(last_byte::call, arrays).expect("results"));
        }),
        ("starts of a pool, with a result, /s", 1.0, &|| {
            let pool = Pool::new(WORKERS).expect("a pool");
            pool.map(add_one::call, 0..2).expect("results");
        }),
    ];
    let mut rates = vec![Vec::new(); figures.len()];
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let figures = figures.into_iter().filter(|(name, ..)| is_chosen(name, &words)).collect::<Vec<_>>();
    for _ in 0..ROUNDS {
        for ((_, count, run), rates) in figures.iter().zip(&mut rates) {
            rates.push(count / time(run).as_secs_f64());
        }
    }
    for ((name, ..), mut rates) in figures.iter().zip(rates) {
        rates.sort_by(f64::total_cmp);
        let (least, median, most) = (rates[0], rates[ROUNDS / 2], rates[ROUNDS - 1]);
        println!("{name:<40} {median:>10.2}  ({least:.2} to {most:.2})");
    }
}

fn is_chosen(name: &str, words: &[String]) -> bool {
    words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
}

fn add(pool: &Pool, items: i64) {
    let sums = pool.map(add_one::call, 0..items).expect("results");
    assert_eq!(sums.last(), Some(&items));
}

fn add_on(threads: &rayon::ThreadPool, items: i64) {
    let add_one = |number| black_box(number) + 1;
    let sums: Vec<i64> = threads.install(|| (0..items).into_par_iter().map(add_one).collect());
    assert_eq!(sums.last(), Some(&items));
}

fn time(run: &dyn Fn()) -> Duration {
    let began = Instant::now();
    run();
    began.elapsed()
}
