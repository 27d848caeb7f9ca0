//! Who drives, and when that changes.

use tokio::runtime::Builder;

use super::*;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);
/// The thread never drives for the reason that nobody else does: what happens, it was told.
const NEVER: Duration = Duration::from_secs(3_600);
/// It does soon.
const SOON: Duration = Duration::from_millis(50);

fn soon(time: Duration) -> Instant {
    Instant::now() + time
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = soon(LONG);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "never: {what}");
        thread::sleep(Duration::from_micros(200));
    }
}

/// A flag, and a task that sets it after `time`.
fn flag_after(io: &Io, time: Duration) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let for_task = Arc::clone(&flag);
    io.spawn(async move {
        tokio::time::sleep(time).await;
        for_task.store(true, SeqCst);
    });
    flag
}

fn is_set(flag: &AtomicBool) -> Option<()> {
    flag.load(SeqCst).then_some(())
}

/// A thread that has begun, and given way to a caller that is gone again.
fn standing_by() -> IoThread {
    let thread = IoThread::start(NEVER).unwrap();
    eventually("the thread drives", || (thread.0.driver.load(SeqCst) == THREAD).then_some(()));
    drop(seat(&thread.0));
    thread
}

/// The right to drive, once the thread has given way.
fn seat(io: &Io) -> Seat<'_> {
    eventually("the thread gives way", || {
        let _asked = Work::of_one(io);
        io.take_seat()
    })
}

#[test]
fn the_thread_drives_until_a_caller_wants_to() {
    let thread = IoThread::start(NEVER).unwrap();
    eventually("the thread drives", || (thread.0.driver.load(SeqCst) == THREAD).then_some(()));
    let flag = flag_after(&thread.0, Duration::ZERO);
    eventually("it runs tasks", || is_set(&flag));
    let seat = seat(&thread.0);
    assert!(thread.0.take_seat().is_none(), "one drives at a time");
    drop(seat);
}

#[test]
fn the_thread_keeps_driving_while_something_is_unanswered() {
    let thread = IoThread::start(NEVER).unwrap();
    let unanswered = Work::of_one(&thread.0);
    eventually("the thread drives", || (thread.0.driver.load(SeqCst) == THREAD).then_some(()));
    for _ in 0..20 {
        assert!(thread.0.take_seat().is_none());
        thread::sleep(Duration::from_micros(200));
    }
    drop(unanswered);
    seat(&thread.0);
}

#[test]
fn a_caller_drives_its_own_answer_and_what_others_wait_for() {
    let thread = IoThread::start(NEVER).unwrap();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let seat = seat(&thread.0);
    let others = flag_after(&thread.0, Duration::ZERO);
    thread.0.spawn(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        sender.send(7).unwrap();
    });
    assert_eq!(seat.drive(soon(LONG), receiver), Some(Ok(7)));
    assert!(others.load(SeqCst));
}

/// A caller that drove for longer than the thread stands by, which sleeps then, leaves what others wait for.
#[test]
fn the_thread_takes_over_from_a_caller_that_leaves_something_unanswered() {
    let thread = IoThread::start(SOON).unwrap();
    for patience in [Duration::from_micros(10), SOON + LATE] {
        let seat = seat(&thread.0);
        let _unanswered = Work::of_one(&thread.0);
        let flag = flag_after(&thread.0, patience + LATE);
        assert_eq!(seat.drive(soon(patience), std::future::pending::<()>()), None);
        eventually("what others wait for", || is_set(&flag));
    }
}

#[test]
fn the_thread_drives_again_when_callers_stay_away() {
    let thread = IoThread::start(SOON).unwrap();
    for patience in [Duration::from_micros(10), SOON + LATE] {
        let seat = seat(&thread.0);
        assert_eq!(seat.drive(soon(patience), std::future::pending::<()>()), None);
        let flag = flag_after(&thread.0, Duration::from_millis(5));
        eventually("a task that nobody waits for", || is_set(&flag));
    }
}

/// An idle thread that drove was woken by each caller, to send for it and to bring its answer, if the last caller was
/// more than a millisecond ago.
#[test]
fn a_caller_that_comes_after_a_pause_finds_the_seat_free() {
    let thread = standing_by();
    for pause in [4 * LATE, 50 * LATE] {
        thread::sleep(pause);
        assert!(thread.0.take_seat().is_some(), "after {pause:?}");
    }
}

#[test]
fn a_command_that_nobody_waits_for_is_seen_soon() {
    let thread = standing_by();
    let is_sent = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_sent);
    thread.0.add_command(move || flag.store(true, SeqCst));
    eventually("it is sent", || is_set(&is_sent));
    thread.0.remove_work();
}

/// A server that has closed its connection is noticed before the next request, whoever drove last.
#[test]
fn the_end_of_a_connection_is_heard_while_nobody_drives() {
    let thread = standing_by();
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    thread.0.hear_end_of(&near);
    thread::sleep(4 * LATE);
    assert_eq!(thread.0.driver.load(SeqCst), NOBODY);
    drop(far);
    eventually("the thread drives", || (thread.0.driver.load(SeqCst) == THREAD).then_some(()));
}

#[test]
fn whoever_does_not_drive_calls_the_thread() {
    let thread = IoThread::start(NEVER).unwrap();
    drop(seat(&thread.0));
    assert_eq!(thread.0.complete(async { 7 }), 7);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    drop(seat(&thread.0));
    thread.0.spawn(async { sender.send(7).unwrap() });
    assert_eq!(thread.0.complete(receiver), Ok(7));
}

/// `block_on` panics there.
#[test]
fn nobody_drives_from_within_another_runtime() {
    let thread = IoThread::start(NEVER).unwrap();
    drop(seat(&thread.0));
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for _ in 0..20 {
            assert!(thread.0.take_seat().is_none());
        }
    });
}

#[test]
fn the_thread_ends_whatever_it_is_about() {
    for is_driven in [false, true] {
        let thread = IoThread::start(SOON).unwrap();
        let io = Arc::clone(&thread.0);
        let seat = is_driven.then(|| {
            let seat = seat(&io);
            eventually("the thread sleeps", || is_set(&io.is_asleep));
            seat
        });
        drop(thread);
        eventually("the thread is gone", || (Arc::strong_count(&io) == 1).then_some(()));
        drop(seat);
    }
}

/// Callers come and go as they like, many at once, and each gets what it waits for.
#[test]
fn however_callers_and_the_thread_take_turns_everybody_is_served() {
    let thread = IoThread::start(SOON).unwrap();
    let io = &thread.0;
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || {
                for turn in 0..500_u64 {
                    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
                    let _unanswered = Work::of_one(io);
                    io.spawn(async move {
                        tokio::time::sleep(Duration::from_micros(turn % 7 * 100)).await;
                        sender.send(()).unwrap();
                    });
                    if (turn + number) % 3 == 0 {
                        thread::sleep(Duration::from_micros(turn % 5 * 300));
                    }
                    if let Some(seat) = io.take_seat() {
                        let patience = Duration::from_micros(turn % 11 * 100);
                        seat.drive(soon(patience), std::future::pending::<()>());
                    }
                    receiver.recv_timeout(LONG).expect("somebody drives");
                }
            });
        }
    });
}
