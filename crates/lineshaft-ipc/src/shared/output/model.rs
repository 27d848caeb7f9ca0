//! See [`crate::shared::model`].

use loom::sync::Arc;
use loom::thread;

use super::*;
use crate::shared::model::check;

fn output() -> Arc<Output> {
    let zero = || AtomicU64::new(0);
    Arc::new(Output {
        resets: zero(),
        claimed: zero(),
        total: zero(),
        head: std::array::from_fn(|_| AtomicU8::new(0)),
        tail: std::array::from_fn(|_| AtomicU8::new(0)),
        landing: Landing::default(),
    })
}

/// Bytes that count: a run of the output is one in which each is one more than the one before.
fn check_runs(read: &[u8]) {
    let (head, rest) = read.split_at(read.len().min(HEAD_BYTES));
    let gap_end = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let tail = &rest[gap_end..];
    assert!(head.first().is_none_or(|first| *first == 100), "{read:?}");
    for run in [head, tail] {
        assert!(run.windows(2).all(|pair| pair[1] == pair[0] + 1), "{read:?}");
    }
    assert!(
        gap_end > 0 || rest.first().is_none_or(|first| Some(*first) == head.last().map(|last| last + 1)),
        "{read:?}"
    );
}

/// The tail is written over while it is read.
#[test]
fn an_output_is_that_of_one_moment_while_the_child_prints() {
    check(2, || {
        let output = output();
        let first: Vec<u8> = (100..).take(HEAD_BYTES + TAIL_BYTES).collect();
        output.append(&first);
        let child = Arc::clone(&output);
        let child = thread::spawn(move || child.append(&[104, 105]));
        check_runs(&output.read());
        child.join().unwrap();
        check_runs(&output.read());
    });
}

#[test]
fn an_output_is_that_of_one_attempt_while_it_is_reset() {
    check(2, || {
        let output = output();
        output.append(&[100, 101, 102]);
        let child = Arc::clone(&output);
        let child = thread::spawn(move || {
            child.reset();
            child.append(&[200]);
        });
        let read = output.read();
        assert!([&[][..], &[200], &[100, 101, 102]].contains(&&read[..]), "{read:?}");
        child.join().unwrap();
        assert_eq!(output.read(), [200]);
    });
}
