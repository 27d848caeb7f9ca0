//! Locks and their kin.

use std::time::Duration;

use lineshaft::client::LockLost;
use lineshaft::{Client, Error, Lock, LockGuard, LockOwner};
use lineshaft_wire::message::{ListLocks, RefusalCode};
use tokio::task::{JoinHandle, spawn_local, yield_now};
use tokio::time::timeout;

use super::with_client;
use crate::bench::Server;

/// Tenfold of what anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn with_locks<F: Future<Output = ()>>(test: impl FnOnce(Client) -> F) {
    with_client(|client| async move { tokio::task::LocalSet::new().run_until(test(client)).await });
}

/// What a task came to that must end.
async fn ended<T>(task: JoinHandle<T>) -> T {
    timeout(PATIENCE, task).await.unwrap().unwrap()
}

/// Asks for it beside what goes on here.
fn asking(lock: Lock) -> JoinHandle<Result<LockGuard, Error>> {
    spawn_local(async move { lock.acquire().await })
}

/// Waits until so many wait for the lock of this name.
async fn waiters(client: &Client, key: &str, count: u32) {
    let wait = async {
        loop {
            let listed =
                client.raw().locks(ListLocks { limit: 100, ..ListLocks::default() }, None).await.unwrap();
            if listed.locks.iter().any(|lock| &*lock.key == key && lock.waiters == count) {
                return;
            }
            yield_now().await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap();
}

#[test]
fn a_lock_is_held_by_one_and_given_in_order_with_greater_fences() {
    with_locks(|client| async move {
        let first = client.lock("till").acquire().await.unwrap();
        let second = asking(client.lock("till"));
        waiters(&client, "till", 1).await;
        let third = asking(client.lock("till"));
        waiters(&client, "till", 2).await;
        assert!(client.lock("till").try_acquire().await.unwrap().is_none());
        let fence = first.fence();
        first.release().await.unwrap();
        let second = ended(second).await.unwrap();
        assert!(second.fence() > fence);
        assert!(!third.is_finished());
        let fence = second.fence();
        drop(second);
        assert!(ended(third).await.unwrap().fence() > fence);
    });
}

#[test]
fn who_is_dropped_while_it_waits_has_given_up() {
    with_locks(|client| async move {
        let held = client.lock("till").acquire().await.unwrap();
        let lock = client.lock("till");
        assert!(timeout(Duration::from_millis(20), lock.acquire()).await.is_err());
        let other = asking(client.lock("till"));
        waiters(&client, "till", 1).await;
        held.release().await.unwrap();
        ended(other).await.unwrap();
    });
}

#[test]
fn a_lock_that_was_taken_away_is_lost() {
    with_locks(|client| async move {
        let guard = client.lock("till").acquire().await.unwrap();
        guard.check().unwrap();
        let fence = guard.fence();
        assert_eq!(client.raw().break_locks(vec![fence], None).await.unwrap(), [fence]);
        // It hears of it with the answer to whatever it asks for next.
        client.lock("another").acquire().await.unwrap();
        let error = guard.check().unwrap_err();
        assert!(matches!(error, Error::LockLost { why: LockLost::Taken, fence: lost, .. } if lost == fence));
        let said = guard.release().await.unwrap_err();
        assert!(
            said.to_string().starts_with(&format!("lock \"till\" with fence {fence} is lost: ")),
            "{said}"
        );
        assert!(said.hint().unwrap().contains("refused by their fence"));
    });
}

#[test]
fn a_lock_outlives_a_restart_of_the_server() {
    let mut server = Server::start();
    let client: Client = server.client().into();
    super::block_on(async {
        let guard = client.lock("till").ttl(Duration::from_secs(60)).acquire().await.unwrap();
        server.restart();
        assert!(client.lock("till").try_acquire().await.unwrap().is_none());
        guard.release().await.unwrap();
        assert!(client.lock("till").try_acquire().await.unwrap().is_some());
    });
}

#[test]
fn owners_that_would_wait_for_each_other_are_told() {
    with_locks(|client| async move {
        let (one, other) = (LockOwner::new(), LockOwner::new());
        let a = client.lock("a").owner(&one).acquire().await.unwrap();
        let _b = client.lock("b").owner(&other).acquire().await.unwrap();
        let b = asking(client.lock("b").owner(&one));
        waiters(&client, "b", 1).await;
        let error = timeout(PATIENCE, client.lock("a").owner(&other).acquire()).await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Refused { code: RefusalCode::Deadlock, .. }), "{error}");
        assert!(error.to_string().contains("\"a\"") || error.to_string().contains("'a'"), "{error}");
        b.abort();
        drop(a);
    });
}

#[test]
fn semaphores_and_read_locks_have_several_holders() {
    with_locks(|client| async move {
        let printers = client.semaphore("printers", 2);
        let _both = (printers.acquire().await.unwrap(), printers.acquire().await.unwrap());
        assert!(printers.try_acquire().await.unwrap().is_none());

        let reading = (client.read_lock("stock").acquire().await, client.read_lock("stock").acquire().await);
        assert!(reading.0.is_ok() && reading.1.is_ok());
        let writer = asking(client.write_lock("stock"));
        waiters(&client, "stock", 1).await;
        assert!(client.read_lock("stock").try_acquire().await.unwrap().is_none(), "behind the writer");
        drop(reading);
        ended(writer).await.unwrap();

        let _leads = client.leader("report").acquire().await.unwrap();
        assert!(client.leader("report").try_acquire().await.unwrap().is_none());
    });
}

#[test]
fn those_who_wait_at_a_barrier_go_on_together() {
    with_locks(|client| async move {
        for _ in 0..2 {
            let barrier = client.barrier("loaded", 3);
            assert_eq!(barrier.parties(), 3);
            let wait = || {
                let barrier = barrier.clone();
                spawn_local(async move { barrier.wait().await })
            };
            let early = [wait(), wait()];
            waiters(&client, "loaded", 2).await;
            let mut places = vec![ended(wait()).await.unwrap()];
            for one in early {
                places.push(ended(one).await.unwrap());
            }
            places.sort_unstable();
            assert_eq!(places, [0, 1, 2]);
        }
    });
}

#[test]
fn a_limiter_lets_so_many_pass() {
    with_locks(|client| async move {
        let hourly = client.limiter("api", "2/h").unwrap();
        for _ in 0..2 {
            hourly.acquire().await.unwrap();
        }
        let wait = hourly.acquire_within(Duration::from_secs(1)).await.unwrap().unwrap_err();
        assert!((Duration::from_secs(1_700)..=Duration::from_secs(1_800)).contains(&wait), "{wait:?}");
        let often = client.limiter("often", "100/s").unwrap().burst(1);
        let began = std::time::Instant::now();
        for _ in 0..4 {
            often.acquire_within(PATIENCE).await.unwrap().unwrap();
        }
        assert!(began.elapsed() >= Duration::from_millis(29));
        assert!(matches!(client.limiter("api", "often").unwrap_err(), Error::BadOption { .. }));
    });
}

#[test]
fn what_cannot_be_asked_for_is_refused_by_its_name() {
    with_locks(|client| async move {
        let refused = [
            client.lock("").acquire().await,
            client.lock("line\nfeed").acquire().await,
            client.lock("till").ttl(Duration::from_millis(1)).acquire().await,
            client.semaphore("till", 0).acquire().await,
        ];
        for refusal in refused {
            let error = refusal.unwrap_err();
            assert!(matches!(error, Error::Refused { code: RefusalCode::BadRequest, .. }), "{error}");
        }
    });
}
