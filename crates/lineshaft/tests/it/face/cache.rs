//! The engine's cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lineshaft::client::ClientOptions;
use lineshaft::{Cache, CacheEntry, Client, Error, Target};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::{block_on, with_client};
use crate::bench::Server;

/// Tenfold of what anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn with_cache<F: Future<Output = ()>>(test: impl FnOnce(Cache) -> F) {
    with_client(|client| async move { tokio::task::LocalSet::new().run_until(test(client.cache())).await });
}

async fn computed(entry: &CacheEntry, value: u32) -> u32 {
    let computed = entry.get_or_set(async || Ok::<_, Error>(value));
    timeout(PATIENCE, computed).await.unwrap().unwrap()
}

#[test]
fn what_is_stored_is_found_until_it_is_invalidated() {
    with_cache(|cache| async move {
        let entry = cache.entry("price:7").tag("prices");
        assert_eq!(entry.get::<u32>().await.unwrap(), None);
        entry.set(&42).await.unwrap();
        assert_eq!(entry.get::<u32>().await.unwrap(), Some(42));
        assert!(entry.invalidate().await.unwrap());
        assert!(!entry.invalidate().await.unwrap());
        assert_eq!(entry.get::<u32>().await.unwrap(), None);

        entry.set("text").await.unwrap();
        cache.invalidate_tags(["others"]).await.unwrap();
        assert_eq!(entry.get::<String>().await.unwrap().as_deref(), Some("text"));
        cache.invalidate_tags(["others", "prices"]).await.unwrap();
        assert_eq!(entry.get::<String>().await.unwrap(), None);

        entry.set(&[1, 2, 3]).await.unwrap();
        cache.clear().await.unwrap();
        assert_eq!(entry.get::<Vec<u8>>().await.unwrap(), None);
    });
}

#[test]
fn time_and_disuse_end_an_entry() {
    with_cache(|cache| async move {
        for entry in [
            cache.entry("ttl").ttl(Duration::from_millis(30)),
            cache.entry("idle").idle(Duration::from_millis(30)),
        ] {
            entry.set(&1).await.unwrap();
            tokio::time::sleep(Duration::from_millis(60)).await;
            assert_eq!(entry.get::<u32>().await.unwrap(), None);
        }
    });
}

#[test]
fn what_depends_on_another_goes_with_it() {
    with_cache(|cache| async move {
        let (rate, price) = (cache.entry("rate"), cache.entry("price").depends_on("rate"));
        rate.set(&2).await.unwrap();
        assert_eq!(computed(&price, 4).await, 4);
        rate.set(&3).await.unwrap();
        assert_eq!(computed(&price, 6).await, 6);
        rate.invalidate().await.unwrap();
        assert_eq!(price.get::<u32>().await.unwrap(), None);
    });
}

#[test]
fn a_value_of_another_type_is_told_and_computed_anew() {
    with_cache(|cache| async move {
        let entry = cache.entry("price");
        entry.set("a text").await.unwrap();
        let error = entry.get::<u32>().await.unwrap_err();
        assert!(error.to_string().starts_with("entry \"price\" of the cache: "), "{error}");
        assert_eq!(computed(&entry, 7).await, 7);
        assert_eq!(entry.get::<u32>().await.unwrap(), Some(7));
    });
}

#[test]
fn equal_questions_of_several_clients_are_computed_once() {
    let server = Server::start();
    let clients: Vec<Client> = (0..4).map(|_| server.client().into()).collect();
    let runs = Arc::new(AtomicU32::new(0));
    block_on(tokio::task::LocalSet::new().run_until(async {
        let asking: Vec<_> = (0..40)
            .map(|number| {
                let (entry, runs) =
                    (clients[number % clients.len()].cache().entry("answer"), Arc::clone(&runs));
                spawn_local(async move {
                    let compute = async || {
                        runs.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        Ok::<_, Error>(42_u32)
                    };
                    entry.get_or_set(compute).await
                })
            })
            .collect();
        for one in asking {
            assert_eq!(timeout(PATIENCE, one).await.unwrap().unwrap().unwrap(), 42);
        }
    }));
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[test]
fn an_error_is_given_to_who_computed_and_the_next_one_computes() {
    with_cache(|cache| async move {
        let entry = cache.entry("price");
        let failed = entry.get_or_set(async || Err::<u32, _>(Failed("no price".into()))).await;
        assert_eq!(failed.unwrap_err().0, "no price");
        assert_eq!(computed(&entry, 5).await, 5);
    });
}

#[derive(Debug)]
struct Failed(String);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

#[test]
fn what_is_invalidated_while_it_is_computed_is_given_and_not_kept() {
    with_cache(|cache| async move {
        let entry = cache.entry("price");
        let compute = async || {
            entry.invalidate().await?;
            Ok::<u32, Error>(1)
        };
        assert_eq!(timeout(PATIENCE, entry.get_or_set(compute)).await.unwrap().unwrap(), 1);
        assert_eq!(entry.get::<u32>().await.unwrap(), None);
    });
}

#[test]
fn who_asks_as_part_of_the_answer_computes_without_the_cache() {
    with_cache(|cache| async move {
        let entry = cache.entry("itself");
        let compute = async || Ok::<u32, Error>(1 + computed(&entry, 1).await);
        assert_eq!(timeout(PATIENCE, entry.get_or_set(compute)).await.unwrap().unwrap(), 2);

        // Two that compute each other at the same time.
        let (begun, cache) = (Arc::new((Notify::new(), Notify::new())), &cache);
        let crossed = |own: &'static str, other: &'static str, is_first: bool| {
            let (begun, cache) = (Arc::clone(&begun), cache.clone());
            async move {
                let compute = async || {
                    let (mine, yours) = if is_first { (&begun.0, &begun.1) } else { (&begun.1, &begun.0) };
                    mine.notify_one();
                    yours.notified().await;
                    Ok::<u32, Error>(1 + computed(&cache.entry(other), 10).await)
                };
                timeout(PATIENCE, cache.entry(own).get_or_set(compute)).await.unwrap().unwrap()
            }
        };
        let (one, other) = tokio::join!(crossed("one", "other", true), crossed("other", "one", false));
        // One of them computed what the other one would have, which then found it.
        assert!(one.min(other) == 11 && [11, 12].contains(&one.max(other)), "{one} {other}");
    });
}

#[test]
fn who_is_dropped_while_it_computes_leaves_it_to_the_next() {
    with_cache(|cache| async move {
        let entry = cache.entry("price");
        let never = entry.get_or_set(async || std::future::pending::<Result<u32, Error>>().await);
        assert!(timeout(Duration::from_millis(30), never).await.is_err());
        assert_eq!(computed(&entry, 3).await, 3);
    });
}

#[test]
fn a_key_that_cannot_be_is_refused_and_others_are_kept_all_the_same() {
    with_cache(|cache| async move {
        for wrong in ["k".repeat(260), "k".repeat(220), "line\nfeed".into(), String::new()] {
            let refused = cache.entry(wrong).get_or_set(async || Ok::<u32, Error>(1)).await.unwrap_err();
            assert!(matches!(refused, Error::Refused { .. }), "{refused}");
        }
        let entry = cache.entry("price");
        assert_eq!((computed(&entry, 1).await, computed(&entry, 2).await), (1, 1));
    });
}

#[test]
fn without_an_engine_each_computes() {
    let mut server = Server::start();
    let target = Target::home(server.home());
    let client: Client = lineshaft::client::Client::connect(target, ClientOptions::default()).unwrap().into();
    server.stop();
    block_on(async {
        let entry = client.cache().entry("price");
        let began = std::time::Instant::now();
        for value in 0..3 {
            assert_eq!(computed(&entry, value).await, value);
        }
        // The engine is asked once, for 10 s, and not again at once.
        assert!(began.elapsed() < PATIENCE);
    });
}
