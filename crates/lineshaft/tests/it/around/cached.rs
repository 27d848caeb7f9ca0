//! What `#[cached]` keeps, and that it is computed once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use lineshaft::cached;

use super::block_on;

/// Counts what is computed.
struct Count(AtomicU32);

impl Count {
    const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What `body` gives in so many threads that begin at once, for each its number.
fn at_once<R: Send + 'static>(threads: u32, body: fn(u32) -> R) -> Vec<thread::Result<R>> {
    let barrier = Arc::new(Barrier::new(threads as usize));
    let spawn = |number| {
        let barrier = Arc::clone(&barrier);
        thread::spawn(move || {
            barrier.wait();
            body(number)
        })
    };
    let threads: Vec<_> = (0..threads).map(spawn).collect();
    threads.into_iter().map(thread::JoinHandle::join).collect()
}

#[test]
fn equal_calls_are_computed_once() {
    static COMPUTED: Count = Count::new();

    #[cached]
    fn joined(left: &str, right: &[u8], times: usize) -> String {
        COMPUTED.next();
        format!("{left}{right:?}").repeat(times)
    }

    assert_eq!(joined("a", &[1], 2), "a[1]a[1]");
    assert_eq!(joined(&String::from("a"), &[1_u8][..], 2), "a[1]a[1]");
    assert_eq!(joined("a", &[1], 1), "a[1]");
    let info = joined_cache().info();
    assert_eq!((COMPUTED.get(), info.hits, info.misses, info.size, info.max), (2, 1, 2, 2, Some(10_000)));
    let key = ("a".to_owned(), vec![1], 2);
    assert_eq!(joined_cache().peek(&key).as_deref(), Some("a[1]a[1]"));
    assert!(joined_cache().invalidate(&key) && !joined_cache().invalidate(&key));
    assert_eq!(joined_cache().peek(&key), None);
    joined("a", &[1], 2);
    assert_eq!((COMPUTED.get(), joined_cache().info().invalidations), (3, 1));
    joined_cache().clear();
    assert_eq!((joined_cache().info().size, joined_cache().info().misses), (0, 0));
}

#[test]
fn a_function_may_call_itself() {
    #[cached(max = None)]
    fn fibonacci(n: u64) -> u64 {
        if n < 2 { n } else { fibonacci(n - 1) + fibonacci(n - 2) }
    }

    assert_eq!(fibonacci(90), 2_880_067_194_370_816_120);
    assert_eq!(fibonacci_cache().info().misses, 91);
    assert_eq!(fibonacci_cache().peek(&10), Some(55));
}

#[test]
fn threads_that_ask_at_once_have_it_computed_once() {
    static COMPUTED: Count = Count::new();

    #[cached]
    fn slow(key: u32) -> u32 {
        thread::sleep(Duration::from_millis(20));
        COMPUTED.next();
        key
    }

    let results = at_once(16, |number| slow(number % 2));
    assert_eq!(results.into_iter().map(Result::unwrap).sum::<u32>(), 8);
    assert_eq!(COMPUTED.get(), 2);
}

#[test]
fn after_a_panic_somebody_who_waits_computes() {
    static COMPUTED: Count = Count::new();

    #[cached]
    fn fragile() -> u32 {
        let number = COMPUTED.next();
        while fragile_cache().info().misses < 4 {
            thread::yield_now();
        }
        assert!(number > 1, "the first one panics");
        number
    }

    let results = at_once(4, |_| fragile());
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
    assert!(results.iter().flatten().all(|number| *number == 2));
    assert_eq!(COMPUTED.get(), 2);
}

#[test]
fn futures_that_ask_at_once_have_it_computed_once_also_after_one_is_dropped() {
    static COMPUTED: Count = Count::new();

    #[cached(ttl = "1h")]
    async fn slow(key: String) -> Result<usize, String> {
        COMPUTED.next();
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(key.len())
    }

    block_on(async {
        let others: Vec<_> = (0..100).map(|_| tokio::spawn(slow("four".into()))).collect();
        tokio::task::yield_now().await;
        let cut = tokio::time::timeout(Duration::from_millis(1), slow("four".into())).await;
        assert!(cut.is_err());
        for other in others {
            assert_eq!(other.await.unwrap(), Ok(4));
        }
        assert_eq!(COMPUTED.get(), 1);

        let first = tokio::spawn(slow("seven".into()));
        tokio::task::yield_now().await;
        let second = tokio::spawn(slow("seven".into()));
        tokio::task::yield_now().await;
        first.abort();
        assert_eq!(second.await.unwrap(), Ok(5));
        assert_eq!(COMPUTED.get(), 3);
    });
}

#[test]
fn an_error_is_given_to_who_waited_and_kept_only_if_asked_for() {
    static FAILED: Count = Count::new();
    static REFUSED: Count = Count::new();

    #[cached]
    fn fails(x: u8) -> Result<u8, u32> {
        let number = FAILED.next();
        while fails_cache().info().misses < 4 {
            thread::yield_now();
        }
        if x > 0 { Err(number) } else { Ok(x) }
    }

    #[cached(negative = "1h", ttl = "1h")]
    fn refuses(x: u8) -> Result<u8, u32> {
        if x > 0 { Err(REFUSED.next()) } else { Ok(x) }
    }

    let results = at_once(4, |_| fails(1));
    assert!(results.into_iter().all(|result| result.unwrap() == Err(1)));
    assert_eq!(fails(1), Err(2));
    assert_eq!((refuses(1), refuses(1), refuses(0), REFUSED.get()), (Err(1), Err(1), Ok(0), 1));
}

#[test]
fn entries_live_as_long_as_they_may() {
    static COMPUTED: Count = Count::new();

    #[cached(ttl = "40ms")]
    fn aged(_key: u8) -> u32 {
        COMPUTED.next()
    }

    #[cached(idle = "250ms", max = 2, policy = "lru")]
    fn used(key: u8) -> u8 {
        key
    }

    assert_eq!(aged(1), 1);
    thread::sleep(Duration::from_millis(60));
    assert_eq!((aged(1), aged_cache().info().expirations), (2, 1));

    for key in [1, 2, 1, 3] {
        used(key);
    }
    assert_eq!(used_cache().info().evictions, 1);
    assert_eq!(used_cache().peek(&2), None);
    thread::sleep(Duration::from_millis(350));
    assert_eq!(used_cache().info().size, 0);
}

#[test]
fn tags_take_entries_together() {
    #[cached(tags = |user, _| [format!("user:{user}"), "users".into()])]
    fn profile(user: u64, field: &str) -> String {
        format!("{field} of {user}")
    }

    #[cached(tags = ["all"])]
    fn rates() -> Vec<f64> {
        vec![0.5]
    }

    profile(7, "name");
    profile(7, "mail");
    profile(8, "name");
    assert_eq!((profile_cache().tag_info("user:7").size, rates()), (2, vec![0.5]));
    assert!(profile_cache().invalidate_tag("user:7") && !profile_cache().invalidate_tag("user:9"));
    assert_eq!(profile_cache().info().size, 1);
    assert!(profile_cache().invalidate_tag("users") && rates_cache().invalidate_tag("all"));
    assert_eq!((profile_cache().info().size, rates_cache().peek(&())), (0, None));
}

#[test]
fn what_was_invalidated_while_it_was_computed_is_not_given_to_who_comes_later() {
    static COMPUTED: Count = Count::new();
    static GATE: Mutex<()> = Mutex::new(());

    #[cached(tags = ["all"])]
    fn slow(_key: u8) -> u32 {
        let number = COMPUTED.next();
        if number == 1 {
            drop(GATE.lock());
        }
        number
    }

    let clear = || {
        slow_cache().clear();
        false
    };
    let invalidations: [&dyn Fn() -> bool; 3] =
        [&|| slow_cache().invalidate(&1), &|| slow_cache().invalidate_tag("all"), &clear];
    for invalidate in invalidations {
        COMPUTED.0.store(0, Ordering::Relaxed);
        slow_cache().clear();
        let gate = GATE.lock().unwrap();
        thread::scope(|scope| {
            let first = scope.spawn(|| slow(1));
            while COMPUTED.get() == 0 {
                thread::yield_now();
            }
            let waiter = scope.spawn(|| slow(1));
            while slow_cache().info().misses < 2 {
                thread::yield_now();
            }
            // Nothing has been kept so far.
            assert!(!invalidate());
            assert_eq!(slow(1), 2);
            drop(gate);
            assert_eq!((first.join().unwrap(), waiter.join().unwrap()), (1, 1));
        });
        assert_eq!(slow(1), 2);
    }
}

#[derive(Clone)]
struct Request {
    user: u64,
    noise: f64,
}

#[test]
fn a_key_of_ones_own_says_which_calls_are_equal() {
    #[cached(key = |request, page| -> (u64, u8) { (request.user, *page) })]
    fn page(request: &Request, page: u8) -> f64 {
        request.noise + f64::from(page)
    }

    // It calls its arguments as the function calls others.
    #[cached(key = |b: &u8, a| -> (u8, u8) { (*b, *a) })]
    fn minus(a: u8, b: u8) -> u8 {
        a - b
    }

    let request = |user, noise| Request { user, noise };
    assert_eq!(page(&request(1, 0.25), 1).to_bits(), page(&request(1, 9.0), 1).to_bits());
    assert_eq!(page_cache().peek(&(1, 1)), Some(1.25));
    assert_eq!(page_cache().peek(&(2, 1)), None);
    assert_eq!((minus(5, 2), minus_cache().peek(&(5, 2))), (3, Some(3)));
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Shop<T>(T);

impl<T: Clone + Eq + std::hash::Hash + Send + Sync + ToString + 'static> Shop<T> {
    #[cached(tags = |this, _| [this.0.to_string()])]
    fn price(&self, item: &str) -> T {
        assert!(!item.is_empty());
        self.0.clone()
    }

    #[cached(key = |_, (a, b)| -> u8 { a + b })]
    async fn sum(&self, (a, b): (u8, u8)) -> String {
        tokio::task::yield_now().await;
        format!("{}{a}{b}", self.0.to_string())
    }
}

#[test]
fn a_method_has_one_entry_for_each_of_its_objects() {
    let (cheap, dear) = (Shop(1), Shop(9));
    assert_eq!((cheap.price("tea"), dear.price("tea"), cheap.price("tea")), (1, 9, 1));
    assert_eq!(Shop("a".to_owned()).price("tea"), "a");
    assert_eq!((Shop::<i32>::price_cache().info().size, Shop::<String>::price_cache().info().size), (2, 1));
    assert!(Shop::<i32>::price_cache().invalidate_tag("9"));
    assert_eq!(Shop::<i32>::price_cache().peek(&(dear, "tea".to_owned())), None);
    assert_eq!(block_on(cheap.sum((1, 2))), "112");
    assert_eq!(block_on(cheap.sum((2, 1))), "112");
    assert_eq!(block_on(Shop("b").sum((2, 1))), "b21");
}

#[test]
fn what_would_wait_for_itself_computes() {
    static DEPTH: Count = Count::new();

    #[cached]
    fn round(key: u8) -> u32 {
        let depth = DEPTH.next();
        if depth < 3 { round(key) } else { depth }
    }

    #[cached]
    async fn turn(key: u8) -> u32 {
        tokio::task::yield_now().await;
        let depth = DEPTH.next();
        if depth < 6 { Box::pin(turn(key)).await } else { depth }
    }

    assert_eq!((round(1), round_cache().peek(&1)), (3, Some(3)));
    assert_eq!((block_on(turn(1)), turn_cache().peek(&1)), (6, Some(6)));
}

#[test]
fn threads_that_would_wait_for_each_other_compute() {
    static BOTH: Barrier = Barrier::new(2);
    static STARTED: Count = Count::new();

    // Each computes its own number and needs the other one, which is being computed then.
    #[cached]
    fn needs_other(number: u32) -> u32 {
        let started = STARTED.next();
        if started <= 2 {
            BOTH.wait();
        }
        if started > 3 { 0 } else { needs_other(1 - number) + 1 }
    }

    let results = at_once(2, needs_other);
    assert!(results.into_iter().all(|result| result.unwrap() > 0));
}

#[test]
fn futures_that_would_wait_for_each_other_compute() {
    static STARTED: Count = Count::new();

    #[cached]
    async fn needs_other(number: u32) -> u32 {
        let started = STARTED.next();
        tokio::task::yield_now().await;
        if started > 3 { 0 } else { Box::pin(needs_other(1 - number)).await + 1 }
    }

    let (one, other) = block_on(async { tokio::join!(needs_other(0), needs_other(1)) });
    assert!(one > 0 && other > 0);
}

#[test]
fn results_are_kept_with_other_attributes_around() {
    #[lineshaft::logged]
    #[cached]
    #[lineshaft::timed]
    fn doubled(x: u32) -> u32 {
        x * 2
    }

    let texts = super::texts(|| (doubled(2), doubled(2)));
    assert_eq!(texts.len(), 4);
    assert_eq!((doubled_timing().count(), doubled_cache().info().hits), (1, 1));
}
