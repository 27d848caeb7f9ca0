//! The page between two real processes, and after the death of one.

use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use lineshaft_ipc::Error;
use lineshaft_ipc::fd::{adopt, inherit};
use lineshaft_ipc::shared::{
    AttemptPage, BEGUN_KEPT, Begun, Fence, Note, OUTPUT_BYTES_MAX, STOPS_KEPT, StopReason,
};

use crate::support::{Guard, child_value, eventually, this_binary};

fn fence(number: u64) -> Fence {
    Fence { epoch: number, counter: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
}

fn note(number: u64) -> Note {
    [number, !number, number << 1, 7]
}

/// This binary running the test `name`, which finds the page by the number it gets.
fn child_of(page: &AttemptPage, name: &str) -> Command {
    let mut command = this_binary(name, "");
    let number = inherit(&mut command, page.as_fd()).unwrap();
    command.env("LINESHAFT_IPC_TEST_CHILD", number.to_string());
    command
}

/// The page passed to this process, if it is a child.
fn inherited_page() -> Option<AttemptPage> {
    let number = child_value()?.parse().unwrap();
    Some(AttemptPage::from_fd(adopt(number).unwrap()).unwrap())
}

#[test]
fn an_attempt_is_begun_from_begin_to_end_and_remembered_after() {
    let page = AttemptPage::create().unwrap();
    assert_eq!((page.begun(), page.last_begun(), page.beats()), (None, None, 0));
    page.begin(fence(1), 1_000, 0, note(1));
    page.begin(fence(2), 1_005, 30_000, note(2));
    let second = Begun { fence: fence(2), started_ms: 1_005, timeout_ms: 30_000, count: 2, note: note(2) };
    assert_eq!(page.begun(), Some(second));
    page.end();
    assert_eq!((page.begun(), page.last_begun()), (None, Some(second)));
    assert_eq!([1, 2, 3].map(|number| page.has_begun(fence(number))), [true, true, false]);
}

#[test]
fn as_many_attempts_are_remembered_as_promised() {
    let page = AttemptPage::create().unwrap();
    let begun = BEGUN_KEPT as u64 * 2 + 5;
    (1..=begun).for_each(|number| page.begin(fence(number), number, 0, note(number)));
    let oldest = begun - BEGUN_KEPT as u64 + 1;
    assert!((oldest..=begun).all(|number| page.has_begun(fence(number))));
    assert!(!page.has_begun(fence(oldest - 1)) && !page.has_begun(fence(begun + 1)));
}

#[test]
fn a_stop_reaches_its_attempt_only_and_the_newest_reason_counts() {
    let page = AttemptPage::create().unwrap();
    page.request_stop(fence(7), StopReason::Cancelled);
    page.request_stop(fence(8), StopReason::Shutdown);
    page.request_stop(fence(7), StopReason::TimedOut);
    assert_eq!(page.stop_requested(fence(7)), Some(StopReason::TimedOut));
    assert_eq!(page.stop_requested(fence(8)), Some(StopReason::Shutdown));
    assert_eq!(page.stop_requested(Fence { counter: 0, ..fence(7) }), None);
    (0..STOPS_KEPT as u64 - 1)
        .for_each(|number| page.request_stop(fence(100 + number), StopReason::LeaseLost));
    assert_eq!(page.stop_requested(fence(7)), Some(StopReason::TimedOut));
    page.request_stop(fence(99), StopReason::LeaseLost);
    assert_eq!(page.stop_requested(fence(7)), None, "the oldest is forgotten");
}

#[test]
fn what_is_not_a_page_is_refused() {
    let file = tempfile::tempfile().unwrap();
    let refused = |file: &std::fs::File| AttemptPage::from_fd(file.try_clone().unwrap().into()).unwrap_err();
    assert!(refused(&file).to_string().contains("it has 0 bytes"), "{}", refused(&file));
    let size = std::fs::File::from(AttemptPage::create().unwrap().as_fd().try_clone_to_owned().unwrap());
    file.set_len(size.metadata().unwrap().len()).unwrap();
    assert!(refused(&file).to_string().contains("not sealed"), "{}", refused(&file));
}

#[test]
fn a_page_cannot_be_shrunk_under_its_readers() {
    let page = AttemptPage::create().unwrap();
    let file = std::fs::File::from(page.as_fd().try_clone_to_owned().unwrap());
    assert!(file.set_len(0).is_err() && file.set_len(1 << 30).is_err());
}

#[test]
fn a_page_of_another_layout_is_refused() {
    use std::os::unix::fs::FileExt;
    let page = AttemptPage::create().unwrap();
    let file = std::fs::File::from(page.as_fd().try_clone_to_owned().unwrap());
    file.write_at(&[0xff], 0).unwrap();
    assert!(matches!(AttemptPage::from_fd(file.into()), Err(Error::BadPage { .. })));
}

#[test]
fn a_page_full_of_rubbish_harms_no_reader() {
    use std::os::unix::fs::FileExt;
    let page = AttemptPage::create().unwrap();
    let file = std::fs::File::from(page.as_fd().try_clone_to_owned().unwrap());
    let length = file.metadata().unwrap().len() as usize;
    for byte in [0xff, 0x80, 0x01, 0x7f] {
        file.write_all_at(&vec![byte; length], 0).unwrap();
        let _ = (page.begun(), page.last_begun(), page.has_begun(fence(1)), page.stop_requested(fence(1)));
        assert!(page.read_output().len() <= OUTPUT_BYTES_MAX);
        page.begin(fence(2), 0, 0, note(2));
        page.end();
        page.append_output(b"x");
        page.reset_output();
        page.request_stop(fence(3), StopReason::Cancelled);
        page.beat();
    }
}

#[test]
fn a_child_marks_and_prints_and_is_asked_to_stop() {
    let page = AttemptPage::create().unwrap();
    let mut child = Guard(child_of(&page, "attempt_page::child_waits_for_a_stop").spawn().unwrap());
    eventually("the child is ready", || page.beats() > 0);
    eventually("the attempt begins", || page.begun().is_some());
    let expected = Begun { fence: fence(1), started_ms: 11, timeout_ms: 22, count: 1, note: note(1) };
    assert_eq!(page.begun(), Some(expected));
    page.request_stop(fence(2), StopReason::Cancelled);
    page.request_stop(fence(1), StopReason::TimedOut);
    assert!(child.0.wait().unwrap().success());
    assert_eq!((page.begun(), page.last_begun()), (None, Some(expected)));
    assert_eq!(page.read_output(), b"stopped: TimedOut, next: Cancelled");
}

#[test]
fn child_waits_for_a_stop() {
    let Some(page) = inherited_page() else { return };
    page.beat();
    page.append_output(b"of an attempt before");
    page.reset_output();
    page.begin(fence(1), 11, 22, note(1));
    let mut reason = None;
    eventually("the stop arrives", || {
        reason = page.stop_requested(fence(1));
        reason.is_some()
    });
    let next = page.stop_requested(fence(2)).unwrap();
    page.append_output(format!("stopped: {:?}, next: {next:?}", reason.unwrap()).as_bytes());
    page.end();
}

/// The child begins one attempt after the other as fast as it can and is killed at any instruction. Living or dead,
/// what the page says of it always belongs together.
#[test]
fn a_child_killed_while_writing_never_leaves_a_torn_mark() {
    let mut marks = 0;
    for round in 0..200 {
        let page = AttemptPage::create().unwrap();
        let mut child = Guard(child_of(&page, "attempt_page::child_writes_until_killed").spawn().unwrap());
        eventually("the child begins", || page.last_begun().is_some());
        for _ in 0..round * 7 % 50 {
            check(&page);
        }
        std::thread::sleep(Duration::from_micros(round * 13 % 700));
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        marks += check_of_the_dead(&page);
    }
    assert!(marks > 200 * 10, "the children were not killed amid their writing: {marks} marks");
}

fn check(page: &AttemptPage) {
    let last = page.last_begun().unwrap();
    let count = last.count;
    let expected = Begun { fence: fence(count), started_ms: !count, timeout_ms: 3, count, note: note(count) };
    assert_eq!(last, expected);
    if let Some(begun) = page.begun() {
        assert_eq!(begun.fence, fence(begun.count));
    }
}

/// Exactly the attempts up to the newest count have begun, and the output is one of them, whole.
fn check_of_the_dead(page: &AttemptPage) -> u64 {
    check(page);
    let last = page.last_begun().unwrap();
    assert_eq!(page.last_begun(), Some(last), "the dead do not go on");
    assert!(page.begun().is_none_or(|begun| begun == last));
    let oldest = last.count.saturating_sub(BEGUN_KEPT as u64) + 1;
    let mut kept = (oldest..=last.count).step_by(89).chain([last.count]);
    assert!(kept.all(|number| page.has_begun(fence(number))));
    assert!(!page.has_begun(fence(last.count + 1)));
    let output = page.read_output();
    let words: Vec<_> = output.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).collect();
    let attempt = format!("{}", last.count);
    let next = format!("{}", last.count + 1);
    assert!(
        words.len() <= 2 && words.iter().all(|word| [attempt.as_bytes(), next.as_bytes()].contains(word))
    );
    last.count
}

#[test]
fn child_writes_until_killed() {
    let Some(page) = inherited_page() else { return };
    for number in 1u64.. {
        let word = format!("{number} ");
        page.reset_output();
        page.begin(fence(number), !number, 3, note(number));
        page.append_output(word.as_bytes());
        page.append_output(word.as_bytes());
        if number % 3 == 0 {
            page.end();
        }
    }
}
