//! What is said of a task's figures, and what is not.

use std::time::Duration;

use lineshaft_insight::Habits;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// 1,000 attempts of 20 ms that leave nothing to be said.
fn good() -> Habits {
    Habits {
        calls: 1_000,
        repeated: 100,
        attempts: 1_000,
        ran: ms(20_000),
        ran_half: ms(20),
        waited_half: ms(3),
        cpu: Some((ms(20_000), ms(18_000))),
        collected: ms(200),
        bytes: 1_000 * 5_000,
        awaits: false,
    }
}

#[test]
fn nothing_is_said_without_a_reason_or_without_figures() {
    assert_eq!(good().advice(), Vec::<String>::new());
    assert_eq!(Habits::default().advice(), Vec::<String>::new());
    let few =
        Habits { calls: 19, repeated: 19, attempts: 19, waited_half: ms(90_000), bytes: 1 << 40, ..good() };
    let few = Habits { cpu: Some((ms(20_000), ms(0))), collected: ms(20_000), ran_half: ms(0), ..few };
    assert_eq!(few.advice(), Vec::<String>::new());
}

#[test]
fn each_is_said_with_its_figures() {
    let check = |habits: Habits, words: &str| {
        let [said] = &habits.advice()[..] else { panic!("{words}: {:?}", habits.advice()) };
        assert!(said.starts_with(words), "{said}");
    };
    check(
        Habits { repeated: 710, ..good() },
        "71 % of 1000 calls repeat arguments of the hour before: cache=\"10m\" would answer such calls without an attempt, \
         and spare up to 14.2 s",
    );
    check(
        Habits { ran: ms(40), ran_half: Duration::from_micros(40), cpu: None, collected: ms(0), ..good() },
        "half of 1000 attempts ran 40.0 us at most",
    );
    check(
        Habits { cpu: Some((ms(20_000), ms(600))), ..good() },
        "attempts had a processor for 3 % of 20.0 s",
    );
    check(
        Habits { waited_half: ms(12_000), ..good() },
        "half of the jobs were ready for 12.0 s or more before attempts that run 20.0 ms",
    );
    check(
        Habits { collected: ms(1_600), ..good() },
        "8 % of the time of attempts, 1.60 s, went into garbage",
    );
    check(Habits { bytes: 1_000 * 12 * (1 << 20), ..good() }, "an attempt takes and gives 12.0 MiB");
}

#[test]
fn repeated_calls_of_what_takes_no_time_are_not_worth_keeping() {
    let quick =
        Habits { repeated: 990, attempts: 999, ran: ms(100), ran_half: Duration::from_micros(100), ..good() };
    assert_eq!(Habits { collected: ms(0), cpu: None, ..quick }.advice(), Vec::<String>::new());
}

/// It was told to use threads, or to become a coroutine.
#[test]
fn who_waits_in_a_loop_is_told_of_more_slots_alone() {
    let waiting = Habits { cpu: Some((ms(20_000), ms(600))), ..good() };
    let said = |awaits| Habits { awaits, ..waiting }.advice().concat();
    assert!(said(false).ends_with("as coroutines (--kind async) or in threads (--kind thread), many of them would wait at the same time."));
    assert!(said(true).ends_with(
        "with more slots in one loop (--kind async --slots), many of them would wait at the same time."
    ));
}
