//! What `#[retry]` tries again.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lineshaft::around::Retrying;
use lineshaft::retry;
use tracing::Level;

use super::{block_on, heard};

/// Fails as many times, then gives which call it was.
#[derive(Clone)]
struct Flaky(Arc<AtomicU32>, u32);

impl Flaky {
    fn new(failures: u32) -> Self {
        Self(Arc::default(), failures)
    }

    fn call(&self) -> Result<u32, io::Error> {
        let call = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        if call <= self.1 { Err(io::Error::other(format!("call {call}"))) } else { Ok(call) }
    }
}

#[retry(first = "1ms")]
fn three_more(flaky: Flaky) -> io::Result<u32> {
    flaky.call()
}

#[test]
fn what_fails_is_called_again_up_to_three_times() {
    assert_eq!(
        (0..4).map(|failures| three_more(Flaky::new(failures)).unwrap()).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    let flaky = Flaky::new(9);
    let (lines, result) = heard(Level::WARN, || three_more(flaky.clone()));
    assert_eq!((flaky.0.load(Ordering::Relaxed), result.unwrap_err().to_string().as_str()), (4, "call 4"));
    let (_, target, text) = &lines[0];
    assert_eq!(target, module_path!());
    assert!(text.starts_with("three_more: tried 4 times in ") && text.ends_with(": that is all"), "{text}");
}

fn is_worth_it(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}

#[test]
fn on_says_which_errors_are_tried_again() {
    #[retry(on = is_worth_it, first = "1ms")]
    fn by_path(calls: &mut u32, kind: io::ErrorKind) -> io::Result<()> {
        *calls += 1;
        Err(kind.into())
    }

    #[retry(on = |error| error.contains("soon"), after = "1ms", max = 1)]
    fn by_closure(calls: &mut u32, text: &str) -> Result<(), String> {
        *calls += 1;
        Err(text.to_owned())
    }

    let calls = |body: &dyn Fn(&mut u32) -> bool| {
        let mut calls = 0;
        assert!(body(&mut calls));
        calls
    };
    assert_eq!(calls(&|calls| by_path(calls, io::ErrorKind::TimedOut).is_err()), 4);
    assert_eq!(calls(&|calls| by_path(calls, io::ErrorKind::NotFound).is_err()), 1);
    assert_eq!(calls(&|calls| by_closure(calls, "soon").is_err()), 2);
    assert_eq!(calls(&|calls| by_closure(calls, "never").is_err()), 1);
}

#[test]
fn never_wins_over_on() {
    #[retry(on = is_worth_it, never = |error| error.get_ref().is_some(), first = "1ms")]
    fn fetch(calls: &mut u32, error: fn() -> io::Error) -> io::Result<()> {
        *calls += 1;
        Err(error())
    }

    #[retry(never = is_worth_it, first = "1ms", max = 2)]
    fn send(calls: &mut u32, kind: io::ErrorKind) -> io::Result<()> {
        *calls += 1;
        Err(kind.into())
    }

    let calls = |body: &dyn Fn(&mut u32) -> bool| {
        let mut calls = 0;
        assert!(body(&mut calls));
        calls
    };
    assert_eq!(calls(&|calls| fetch(calls, || io::ErrorKind::TimedOut.into()).is_err()), 4);
    assert_eq!(calls(&|calls| fetch(calls, || io::Error::new(io::ErrorKind::TimedOut, "late")).is_err()), 1);
    assert_eq!(calls(&|calls| send(calls, io::ErrorKind::TimedOut).is_err()), 1);
    assert_eq!(calls(&|calls| send(calls, io::ErrorKind::NotFound).is_err()), 3);
}

#[test]
fn a_result_may_be_tried_again_and_the_last_one_is_given() {
    #[retry(if_result = Option::is_none, after = "1ms")]
    fn found(at: u32, calls: &mut u32) -> Option<u32> {
        *calls += 1;
        (*calls >= at).then_some(*calls)
    }

    #[retry(if_result = |page: &String| page.is_empty(), never = is_worth_it, first = "1ms", max = 2)]
    async fn page(answers: &mut Vec<io::Result<&'static str>>) -> io::Result<String> {
        answers.remove(0).map(str::to_owned)
    }

    let mut calls = 0;
    assert_eq!(found(3, &mut calls), Some(3));
    let (lines, given) = heard(Level::WARN, || found(9, &mut 0));
    assert_eq!(given, None);
    assert!(lines[0].2.starts_with("found: tried 4 times in "), "{lines:?}");
    let failed = || Err(io::ErrorKind::NotFound.into());
    assert_eq!(block_on(page(&mut vec![Ok(""), failed(), Ok("page")])).unwrap(), "page");
    assert_eq!(block_on(page(&mut vec![Ok(""), failed(), Ok("")])).unwrap(), "");
    let refused = block_on(page(&mut vec![Ok(""), Err(io::ErrorKind::TimedOut.into()), Ok("page")]));
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[test]
fn a_coroutine_lets_others_run_while_it_waits() {
    #[retry(after = |attempt, _| Duration::from_millis(20 * u64::from(attempt)))]
    async fn patient(flaky: &Flaky) -> io::Result<u32> {
        tokio::task::yield_now().await;
        flaky.call()
    }

    let began = Instant::now();
    let flakies = [Flaky::new(2), Flaky::new(2)];
    let results = block_on(async { tokio::join!(patient(&flakies[0]), patient(&flakies[1])) });
    let took = began.elapsed();
    assert_eq!((results.0.unwrap(), results.1.unwrap()), (3, 3));
    assert!(took >= Duration::from_millis(60), "{took:?}");
}

#[test]
fn no_attempt_begins_after_the_deadline() {
    #[retry(max = None, after = "40ms", deadline = "100ms")]
    fn hurried(flaky: &Flaky) -> io::Result<u32> {
        flaky.call()
    }

    let flaky = Flaky::new(u32::MAX);
    let (lines, result) = heard(Level::WARN, || hurried(&flaky));
    assert!(result.is_err());
    let calls = flaky.0.load(Ordering::Relaxed);
    assert!((1..=3).contains(&calls), "{calls} calls");
    assert!(lines[0].2.ends_with("the next attempt would be after its deadline of 100 ms"), "{lines:?}");
}

#[test]
fn a_budget_that_is_used_up_ends_it_for_all_calls() {
    #[retry(max = None, after = 0, budget = "5/h")]
    fn bounded(flaky: &Flaky) -> io::Result<u32> {
        flaky.call()
    }

    #[retry(after = 0, max = 2_000, budget = None)]
    fn unbounded(flaky: &Flaky) -> io::Result<u32> {
        flaky.call()
    }

    let flaky = Flaky::new(u32::MAX);
    let (lines, result) = heard(Level::WARN, || (bounded(&flaky), bounded(&flaky)));
    assert!(result.0.is_err() && result.1.is_err());
    assert_eq!(flaky.0.load(Ordering::Relaxed), 7);
    let texts: Vec<_> = lines.iter().map(|(_, _, text)| text.as_str()).collect();
    assert!(texts.iter().all(|text| text.ends_with(": the retry budget is used up")), "{texts:?}");
    assert!(texts[1].starts_with("bounded: tried once in "), "{texts:?}");
    assert_eq!(unbounded(&Flaky::new(1_999)).unwrap(), 2_000);
}

static TOLD: Mutex<Vec<(u32, String, Duration)>> = Mutex::new(Vec::new());

fn note(retrying: &Retrying<'_, io::Error>) {
    assert_eq!(retrying.name, "told");
    TOLD.lock().unwrap().push((retrying.attempt, retrying.error.to_string(), retrying.pause));
}

#[test]
fn pauses_double_up_to_the_cap_and_are_told() {
    #[retry(max = 6, first = "1ms", cap = "4ms", before_pause = note)]
    fn told(flaky: &Flaky) -> io::Result<u32> {
        flaky.call()
    }

    assert_eq!(told(&Flaky::new(6)).unwrap(), 7);
    let told = std::mem::take(&mut *TOLD.lock().unwrap());
    let longest_ms = [1, 2, 4, 4, 4, 4];
    assert_eq!(told.len(), longest_ms.len());
    for (place, ((attempt, text, pause), ms)) in told.iter().zip(longest_ms).enumerate() {
        assert_eq!((*attempt as usize, text), (place + 1, &format!("call {}", place + 1)));
        assert!(*pause <= Duration::from_millis(ms), "{pause:?} of {ms} ms");
    }
}

struct Account {
    balance: i32,
    flaky: Flaky,
}

impl Account {
    #[retry(after = 0)]
    fn look(&self) -> Result<&i32, io::Error> {
        self.flaky.call()?;
        Ok(&self.balance)
    }

    #[retry(after = 0)]
    async fn add(
        &mut self,
        sums: Vec<i32>,
        mut more: i32,
    ) -> Result<i32, Box<dyn std::error::Error + Send + Sync>> {
        tokio::task::yield_now().await;
        more += 1;
        self.balance += sums.iter().sum::<i32>() + more;
        self.flaky.call()?;
        let nothing: Vec<i32> = sums;
        Ok(self.balance + nothing.len() as i32)
    }
}

fn is_sent<T: Send>(future: T) -> T {
    future
}

#[test]
fn methods_are_tried_again_and_keep_what_they_changed() {
    let mut account = Account { balance: 1, flaky: Flaky::new(2) };
    assert_eq!(*account.look().unwrap(), 1);
    account.flaky = Flaky::new(1);
    assert_eq!(block_on(is_sent(account.add(vec![1, 2], 3))).unwrap(), 1 + 7 + 7 + 2);
}
