//! Pools of processes: what calls give, and what is left when something is killed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, process, thread};

use lineshaft::pool::{Builder, Error};
use lineshaft::value::Bytes;
use lineshaft::{Call, Pool};
use lineshaft_ipc::Signal;
use lineshaft_ipc::process::{Pidfd, ProcessId};

use crate::bench::{LONG, eventually};

/// What workers run of this binary.
#[test]
fn worker() {
    lineshaft::pool::init();
}

fn builder() -> Builder {
    lineshaft::pool::init();
    Pool::builder().workers(2).args(["pool::worker", "--exact", "--nocapture", "--quiet"])
}

pub(crate) fn pool() -> Pool {
    builder().build().unwrap()
}

#[lineshaft::task]
fn add_one(number: i64) -> i64 {
    number + 1
}

#[lineshaft::task]
fn doubled(text: String, times: usize) -> (usize, String) {
    (text.len(), text.repeat(times))
}

#[lineshaft::task]
fn pid() -> u32 {
    process::id()
}

#[lineshaft::task]
fn parsed(text: String) -> Result<u32, std::num::ParseIntError> {
    assert!(text != "seven", "of {text} nothing is known");
    text.parse()
}

#[lineshaft::task]
async fn later(number: u32) -> u32 {
    tokio::time::sleep(Duration::from_millis(1)).await;
    number
}

#[lineshaft::task]
fn reversed(bytes: Bytes) -> Bytes {
    bytes.iter().rev().copied().collect::<Vec<u8>>().into()
}

/// Ends its process in this way at one of the items.
#[lineshaft::task]
fn dies(how: String, number: u32, at: u32) -> u32 {
    if number == at {
        match &*how {
            "exit" => process::exit(3),
            "abort" => process::abort(),
            _ => kill(process::id()),
        }
    }
    number
}

/// Dies unless it did before.
#[lineshaft::task]
fn dies_once(mark: PathBuf) -> bool {
    if fs::File::create_new(&mark).is_ok() {
        process::abort();
    }
    true
}

#[lineshaft::task]
fn grows(mebibytes: usize) -> usize {
    let memory = vec![1_u8; mebibytes << 20];
    if mebibytes > 100 {
        thread::sleep(LONG);
    }
    memory.iter().map(|byte| usize::from(*byte)).sum()
}

/// Says which process it is and what it has started, and stays.
#[lineshaft::task]
fn stays(place: PathBuf) {
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    let written = place.with_extension("new");
    fs::write(&written, format!("{} {}", process::id(), other.id())).unwrap();
    fs::rename(written, place).unwrap();
    other.wait().unwrap();
}

#[lineshaft::task]
fn nested(numbers: Vec<i64>) -> Vec<i64> {
    pool().map(add_one::call, numbers).unwrap()
}

/// The processes that [`stays`] told of.
fn told(place: &Path) -> Vec<u32> {
    eventually("it says who it is", || place.exists());
    fs::read_to_string(place).unwrap().split(' ').map(|pid| pid.parse().unwrap()).collect()
}

fn kill(pid: u32) {
    Pidfd::open(pid).unwrap().send_signal(Signal::KILL).unwrap();
}

fn lives(pid: u32) -> bool {
    ProcessId::of(pid).is_ok()
}

#[test]
fn results_are_those_of_a_plain_map_in_its_order() {
    for seed in 0..10 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let pool = builder().workers(chance.usize(1..4)).build().unwrap();
        for _ in 0..3 {
            let count = [3, 200, 5_000][chance.usize(..3)];
            let large = if chance.bool() { 40 } else { 20_000 };
            let items: Vec<(String, usize)> = (0..chance.usize(..=count))
                .map(|_| {
                    let length = if chance.u8(..) < 4 { large } else { 9 };
                    let letters = (0..chance.usize(..length)).map(|_| chance.alphanumeric());
                    (letters.collect(), chance.usize(..4))
                })
                .collect();
            let call = |(text, times): (String, usize)| doubled::call(text, times);
            let expected: Vec<_> = items.iter().cloned().map(|(text, times)| doubled(text, times)).collect();
            assert!(pool.map(call, items.clone()).unwrap() == expected, "map with seed {seed}");
            let lazily: Vec<_> = pool.imap(call, items.clone()).unwrap().map(Result::unwrap).collect();
            assert!(lazily == expected, "imap with seed {seed}");
            let mut found: Vec<_> = pool.imap_unordered(call, items).unwrap().collect();
            found.sort_by_key(|(item, _)| *item);
            assert!(found.iter().map(|(item, _)| *item).eq(0..expected.len()), "each once with seed {seed}");
            assert!(found.into_iter().map(|(_, it)| it.unwrap()).eq(expected), "unordered with seed {seed}");
        }
    }
}

#[test]
fn items_may_be_without_end_and_are_read_as_they_are_needed() {
    let pool = pool();
    let mut read = 0;
    let items = (0..).inspect(|_| read += 1);
    let first: Vec<i64> = pool.imap(add_one::call, items).unwrap().take(1_000).map(Result::unwrap).collect();
    assert!(first.into_iter().eq(1..=1_000));
    assert!((1_000..=2 << 20).contains(&read), "{read}");
    assert_eq!(pool.map(add_one::call, [1]).unwrap(), [2], "what was given up is in nobody's way");
}

#[test]
fn a_panic_or_an_error_is_of_its_item_and_the_worker_lives_on() {
    let pool = builder().workers(1).build().unwrap();
    let before = pool.submit(pid::call()).unwrap().wait().unwrap();
    let words = ["1", "seven", "x", "4"].map(String::from);
    let results: Vec<_> = pool.imap(parsed::call, words.clone()).unwrap().collect();
    assert!(matches!(results[..], [Ok(1), Err(_), Err(_), Ok(4)]), "{results:?}");
    let panic = results[1].as_ref().unwrap_err();
    assert_eq!(panic.to_string(), "panic: of seven nothing is known");
    assert!(panic.is_a("panic") && panic.traceback().unwrap().contains(file!()));
    let error = results[2].as_ref().unwrap_err();
    assert!(error.is_a("core.num.error.ParseIntError") || error.is_a("core.num.ParseIntError"), "{error}");
    let error = pool.map(parsed::call, words).unwrap_err();
    assert_eq!(error.to_string(), "item 1: panic: of seven nothing is known");
    assert_eq!(pool.submit(pid::call()).unwrap().wait().unwrap(), before);
}

#[test]
fn a_worker_that_dies_fails_its_item_alone_and_is_replaced() {
    for (how, code, signal) in [("exit", Some(3), None), ("abort", None, Some(6)), ("kill", None, Some(9))] {
        let pool = builder().share_items(1).build().unwrap();
        let before = pool.pids();
        let call = |number| dies::call(how.to_owned(), number, 5);
        let results: Vec<_> = pool.imap(call, 0..50).unwrap().collect();
        for (number, result) in results.iter().enumerate() {
            match result {
                Ok(value) => assert_eq!((*value as usize, number == 5), (number, false)),
                Err(Error::WorkerDied { code: its_code, signal: its_signal, .. }) => {
                    assert_eq!((number, *its_code, *its_signal), (5, code, signal));
                }
                Err(other) => panic!("{other}"),
            }
        }
        eventually("another one is there", || pool.pids().len() == 2 && pool.pids() != before);
    }
}

#[test]
fn an_item_whose_worker_died_is_done_again_if_that_is_wanted() {
    let place = tempfile::tempdir().unwrap();
    let marks = |name: &str| (0..3).map(|number| place.path().join(format!("{name}{number}"))).collect();
    let once: Vec<PathBuf> = marks("once");
    assert!(matches!(pool().map(dies_once::call, once), Err(Error::Item { .. })));
    let twice: Vec<PathBuf> = marks("twice");
    assert_eq!(builder().retries(1).build().unwrap().map(dies_once::call, twice).unwrap(), [true; 3]);
}

#[test]
fn dropped_it_ends_its_workers_and_what_they_have_started() {
    let place = tempfile::tempdir().unwrap();
    let shared = || fs::read_dir("/dev/shm").map_or(0, Iterator::count);
    let before = shared();
    let pool = pool();
    let call = pool.submit(stays::call(place.path().join("a"))).unwrap();
    let mut pids = told(&place.path().join("a"));
    pids.extend(pool.pids());
    assert!(pids.iter().all(|pid| lives(*pid)));
    drop(pool);
    assert!(!pids.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists() && is_child(*pid)), "reaped");
    eventually("none of them lives", || !pids.iter().any(|pid| lives(*pid)));
    assert!(matches!(call.wait(), Err(Error::Ended)));
    assert!(shared() <= before, "nothing is left in memory that has a name");
}

/// Whether a process is a child of this one, be it a zombie.
fn is_child(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
    parent == Some(&process::id().to_string())
}

/// A program that is killed.
#[test]
#[ignore = "a program that tests start"]
fn holder() {
    let place = PathBuf::from(std::env::var_os("LINESHAFT_TEST_PLACE").expect("started by a test"));
    let pool = pool();
    let call = pool.submit(stays::call(place)).unwrap();
    call.wait().unwrap();
}

/// This binary again, at the test of this name.
fn program(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--ignored"]).stdout(Stdio::null());
    command
}

#[test]
fn workers_end_with_a_program_that_is_killed() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a");
    let mut holder = program("pool::holder").env("LINESHAFT_TEST_PLACE", &file).spawn().unwrap();
    let pids = told(&file);
    holder.kill().unwrap();
    holder.wait().unwrap();
    eventually("the worker ends", || !lives(pids[0]));
    kill(pids[1]);
}

#[test]
fn a_worker_with_more_memory_than_it_may_is_killed() {
    let pool = builder().memory(100 << 20).build().unwrap();
    let results: Vec<_> = pool.imap(grows::call, [1, 400, 2]).unwrap().collect();
    assert_eq!(*results[0].as_ref().unwrap(), 1 << 20);
    assert_eq!(*results[2].as_ref().unwrap(), 2 << 20);
    let error = results[1].as_ref().unwrap_err();
    assert!(matches!(error, Error::WorkerDied { signal: Some(9), .. }), "{error}");
    assert!(error.to_string().contains("where 100 MiB are the most"), "{error}");
}

#[test]
fn a_call_that_waits_is_taken_back_and_one_that_runs_is_killed() {
    let place = tempfile::tempdir().unwrap();
    let pool = builder().workers(1).build().unwrap();
    let running = pool.submit(stays::call(place.path().join("a"))).unwrap();
    let waiting = pool.submit(add_one::call(1)).unwrap();
    let next = pool.submit(add_one::call(2)).unwrap();
    let pids = told(&place.path().join("a"));
    assert!(!running.cancel() && !running.is_finished());
    let running = running.wait_timeout(Duration::from_millis(1)).unwrap_err();
    assert!(waiting.cancel() && !waiting.cancel());
    assert!(matches!(waiting.wait(), Err(Error::Cancelled)));
    assert!(running.abort() && !running.abort());
    assert!(matches!(running.wait(), Err(Error::Cancelled)));
    eventually("nothing of it lives", || !pids.iter().any(|pid| lives(*pid)));
    assert_eq!(next.wait().unwrap(), 3, "the next worker does what waited behind it");
}

#[test]
fn large_payloads_cross_and_too_large_ones_are_refused() {
    let pool = pool();
    let bytes = |megabytes: usize| (0..megabytes << 20).map(|at| (at / 3) as u8).collect::<Vec<u8>>();
    let items: Vec<Vec<u8>> = [5, 20, 0, 1, 20].map(bytes).into();
    let call = |bytes: Vec<u8>| reversed::call(bytes.into());
    let results: Vec<_> = pool.imap(call, items.clone()).unwrap().map(Result::unwrap).collect();
    for (result, mut item) in results.into_iter().zip(items) {
        item.reverse();
        assert!(result == item, "{} bytes", item.len());
    }
    let error = pool.map(call, [bytes(1), bytes(65), bytes(1)]).unwrap_err();
    let Error::Item { index: 1, source } = error else { panic!("{error}") };
    assert!(matches!(*source, Error::Unencodable(_)), "{source}");
}

#[test]
fn coroutines_and_pools_within_workers_do_too() {
    let pool = pool();
    assert!(pool.map(later::call, 0..20).unwrap().into_iter().eq(0..20));
    let all = pool.map(nested::call, [vec![1, 2], vec![], vec![3]]).unwrap();
    assert_eq!(all, [vec![2, 3], vec![], vec![4]]);
}

#[test]
fn closed_it_does_what_was_submitted() {
    let pool = pool();
    let calls: Vec<_> = (0..100).map(|number| pool.submit(later::call(number)).unwrap()).collect();
    let pids = pool.pids();
    pool.close();
    assert!(!pids.iter().any(|pid| lives(*pid)));
    assert!(calls.into_iter().map(|call| call.wait().unwrap()).eq(0..100));
}

#[test]
fn threads_may_use_a_pool_together() {
    let pool = pool();
    thread::scope(|scope| {
        for first in [0, 1_000, 2_000] {
            let pool = &pool;
            scope.spawn(move || {
                let sums = pool.map(add_one::call, first..first + 3_000).unwrap();
                assert!(sums.into_iter().eq(first + 1..first + 3_001));
            });
        }
    });
}

#[test]
fn a_task_that_this_program_does_not_have_is_refused() {
    let error = pool().submit(Call::<u8>::new("shop.unknown")).unwrap_err();
    assert_eq!(error.to_string(), "call of shop.unknown: no task of this program has this name");
}

#[test]
fn workers_that_never_become_ready_break_the_pool() {
    let pool = builder().args(["no-such-test", "--exact", "--quiet"]).build().unwrap();
    let began = Instant::now();
    let error = pool.map(add_one::call, 0..10).unwrap_err();
    assert!(matches!(error, Error::Broken(_)), "{error}");
    assert!(error.hint().unwrap().contains("init()") && began.elapsed() < LONG);
    assert!(matches!(pool.submit(add_one::call(1)), Err(Error::Broken(_))));
}

/// A program that forgets something.
#[test]
#[ignore = "a program that tests start"]
fn forgetful() {
    assert!(matches!(Pool::new(1), Err(Error::NotInitialized)));
}

#[test]
fn without_init_no_worker_is_started() {
    assert!(program("pool::forgetful").status().unwrap().success());
}

/// The guide shows the example and what it prints.
#[test]
fn the_program_of_the_guide_prints_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let example = fs::read_to_string(root.join("examples/rust/isolated.rs")).unwrap();
    let code = &example[example.find("use lineshaft").unwrap()..];
    let guide = fs::read_to_string(root.join("docs/guides/rust.md")).unwrap();
    let (_, shown) =
        guide.split_once(&format!("```rust,no_run\n{code}```\n\n```text\n")).expect("the program");
    let (prints, _) = shown.split_once("```").unwrap();

    let program = std::env::current_exe().unwrap().parent().unwrap().join("../examples/isolated");
    assert!(program.exists(), "build it first: cargo build -p lineshaft --example isolated");
    let output = Command::new(program).stderr(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), prints);
}
