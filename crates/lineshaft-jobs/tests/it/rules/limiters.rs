//! Limiters: so many turns at once after a quiet time, then one in each interval, in the order of coming.

use lineshaft_jobs::{Command, Limits};
use lineshaft_testkit::model::Told;
use lineshaft_wire::message::{Pass, Passed, RefusalCode};

use super::shop::Shop;

const MS: u64 = 1_000_000;

/// One turn every 100 ms, three at once.
fn pass(patience_ms: u64) -> Pass {
    Pass { key: "api".into(), interval_ns: 100 * MS, burst: 3, patience_ms }
}

impl Shop {
    fn pass_by(&mut self, pass: Pass) -> Result<Told, RefusalCode> {
        self.run(Command::Pass(pass))
    }

    /// How long it is until the next turn, milliseconds, which is taken.
    fn turn(&mut self, patience_ms: u64) -> u64 {
        match self.pass_by(pass(patience_ms)) {
            Ok(Told::Passed(Passed { wait_ns, taken: true })) => wait_ns / MS,
            other => panic!("a turn is free within {patience_ms} ms: {other:?}"),
        }
    }
}

#[test]
fn some_pass_at_once_and_then_one_in_each_interval() {
    let mut shop = Shop::new();
    let waits: Vec<u64> = (0..6).map(|_| shop.turn(1_000)).collect();
    assert_eq!(waits, [0, 0, 0, 100, 200, 300]);
    let refused = Passed { wait_ns: 400 * MS, taken: false };
    assert_eq!(shop.pass_by(pass(399)), Ok(Told::Passed(refused)));
    assert_eq!(shop.pass_by(pass(0)), Ok(Told::Passed(refused)), "who does not wait takes no turn");
    shop.pass(250);
    assert_eq!(shop.turn(150), 150);
    shop.pass(10_000);
    assert_eq!(
        (0..4).map(|_| shop.turn(1_000)).collect::<Vec<_>>(),
        [0, 0, 0, 100],
        "as new, and no more than that"
    );
}

#[test]
fn turns_that_were_taken_are_taken_after_a_restart() {
    let mut shop = Shop::new();
    (0..5).for_each(|_| _ = shop.turn(1_000));
    shop.restart();
    assert_eq!(shop.turn(1_000), 300);
    let state = shop.machine.state.snapshot();
    let read = lineshaft_jobs::State::from_snapshot(&state, shop.machine.limits).expect("a snapshot reads");
    shop.machine.restart_on(read);
    assert_eq!(shop.turn(1_000), 400);
}

#[test]
fn limiters_that_are_as_new_make_room_for_others() {
    let mut shop = Shop::with(Limits { limiters: 2, ..Limits::default() });
    let other = |key: &str| Pass { key: key.into(), ..pass(0) };
    shop.turn(0);
    assert!(shop.pass_by(other("mail")).is_ok());
    assert_eq!(shop.pass_by(other("sms")), Err(RefusalCode::QueueFull));
    shop.turn(0);
    shop.pass(1_000);
    shop.turn(0);
    assert!(shop.pass_by(other("sms")).is_ok(), "the others were forgotten with the turn before");
}

#[test]
fn rates_that_make_no_sense_are_refused() {
    let mut shop = Shop::new();
    for wrong in [
        Pass { interval_ns: 0, ..pass(0) },
        Pass { burst: 0, ..pass(0) },
        Pass { interval_ns: u64::MAX, ..pass(0) },
        Pass { interval_ns: 366 * 86_400_000 * MS, burst: 2, ..pass(0) },
        Pass { key: "".into(), ..pass(0) },
    ] {
        assert_eq!(shop.pass_by(wrong), Err(RefusalCode::BadRequest));
    }
}
