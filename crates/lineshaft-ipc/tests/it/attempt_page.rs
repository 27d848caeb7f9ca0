//! The page between two real processes, and after the death of one.

use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use lineshaft_ipc::Error;
use lineshaft_ipc::fd::{adopt, inherit};
use lineshaft_ipc::shared::{
    AttemptPage, Begun, Cursor, Fence, Note, OUTPUT_BYTES_MAX, SLOTS_MAX, StopReason, Writer,
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

/// The only attempt that runs.
fn only(page: &AttemptPage) -> Option<Begun> {
    let begun: Vec<_> = page.begun().collect();
    assert!(begun.len() <= 1, "{begun:?}");
    begun.first().copied()
}

#[test]
fn attempts_are_begun_from_begin_to_end_each_in_its_slot() {
    let page = AttemptPage::create(3).unwrap();
    assert_eq!((only(&page), page.newest(), page.beats(), page.begins()), (None, None, 0, 0));
    (0..3).for_each(|place| page.take(place, fence(u64::from(place) + 1)));
    page.begin(2, 1_005, 30_000, note(3));
    let third = Begun { place: 2, fence: fence(3), started_ms: 1_005, timeout_ms: 30_000, note: note(3) };
    assert_eq!(only(&page), Some(third));
    assert_eq!((page.newest(), page.unbegun()), (Some(fence(3)), vec![fence(1), fence(2)]));
    page.begin(0, 1_006, 0, note(1));
    assert_eq!(page.begun().map(|begun| begun.place).collect::<Vec<_>>(), [0, 2]);
    page.end(2);
    assert_eq!(only(&page).map(|begun| begun.fence), Some(fence(1)));
    page.take(2, fence(4));
    assert_eq!((page.newest(), page.unbegun()), (Some(fence(4)), vec![fence(2), fence(4)]));
    assert_eq!(page.begins(), 2);
}

#[test]
fn a_page_has_room_for_the_greatest_child_and_takes_memory_as_it_is_used() {
    let page = AttemptPage::create(SLOTS_MAX).unwrap();
    (0..SLOTS_MAX).for_each(|place| page.take(place, fence(u64::from(place))));
    (0..SLOTS_MAX).step_by(2).for_each(|place| page.begin(place, 1, 0, note(7)));
    assert_eq!((page.begun().count(), page.unbegun().len()), (8_192, 8_192));
    assert_eq!(page.newest(), Some(fence(u64::from(SLOTS_MAX) - 1)));
    for slots in [0, SLOTS_MAX + 1] {
        assert!(std::panic::catch_unwind(|| AttemptPage::create(slots)).is_err());
    }
}

/// What attempts of a child with many slots had printed was lost with it, later that of all but the first 64.
#[test]
fn the_attempts_of_any_number_of_slots_have_words() {
    let page = AttemptPage::create(SLOTS_MAX).unwrap();
    let child = AttemptPage::from_fd(page.as_fd().try_clone_to_owned().unwrap()).unwrap();
    let mut writer = Writer::default();
    let words = child.words().unwrap();
    for place in 0..SLOTS_MAX {
        child.take(place, fence(u64::from(place)));
        child.begin(place, 1, 0, note(7));
        let said = format!("words of {place}");
        writer.append(words, fence(u64::from(place)), &mut Cursor::default(), said.as_bytes());
    }
    let begun: Vec<Begun> = page.begun().collect();
    let expected = (0..SLOTS_MAX).map(|place| format!("words of {place}").into_bytes());
    assert!(page.read_outputs(&begun).into_iter().eq(expected));
    assert_eq!((page.read_output(), page.output_bytes()), (vec![], 0));
}

#[test]
fn a_page_is_opened_with_the_slots_that_it_was_made_with() {
    for slots in [1, 2, 3, 64, 65, 2_000, SLOTS_MAX] {
        let fd = AttemptPage::create(slots).unwrap().as_fd().try_clone_to_owned().unwrap();
        let page = AttemptPage::from_fd(fd).unwrap();
        assert_eq!((page.slots(), page.words().is_some()), (slots, slots > 1));
    }
}

#[test]
fn a_stop_reaches_its_attempt_only() {
    let page = AttemptPage::create(2).unwrap();
    page.take(0, fence(7));
    page.take(1, fence(8));
    assert!(page.request_stop(0, fence(7), StopReason::Cancelled));
    assert!(!page.request_stop(0, fence(8), StopReason::Cancelled));
    assert_eq!(page.stop_requested(0, fence(7)), Some(StopReason::Cancelled));
    assert_eq!(page.stop_requested(1, fence(8)), None);
    page.end(0);
    page.take(0, fence(9));
    assert_eq!(page.stop_requested(0, fence(9)), None);
}

#[test]
fn what_is_not_a_page_is_refused() {
    let file = tempfile::tempfile().unwrap();
    let refused = |file: &std::fs::File| AttemptPage::from_fd(file.try_clone().unwrap().into()).unwrap_err();
    assert!(refused(&file).to_string().contains("it has 0 bytes"), "{}", refused(&file));
    let size = std::fs::File::from(AttemptPage::create(1).unwrap().as_fd().try_clone_to_owned().unwrap());
    file.set_len(size.metadata().unwrap().len()).unwrap();
    assert!(refused(&file).to_string().contains("not sealed"), "{}", refused(&file));
}

#[test]
fn a_page_cannot_be_shrunk_under_its_readers() {
    let page = AttemptPage::create(1).unwrap();
    let file = std::fs::File::from(page.as_fd().try_clone_to_owned().unwrap());
    assert!(file.set_len(0).is_err() && file.set_len(1 << 30).is_err());
}

#[test]
fn a_page_of_another_layout_is_refused() {
    use std::os::unix::fs::FileExt;
    let page = AttemptPage::create(1).unwrap();
    let file = std::fs::File::from(page.as_fd().try_clone_to_owned().unwrap());
    file.write_at(&[0xff], 0).unwrap();
    assert!(matches!(AttemptPage::from_fd(file.into()), Err(Error::BadPage { .. })));
}

#[test]
fn a_page_full_of_rubbish_harms_no_reader() {
    use std::os::unix::fs::FileExt;
    for (slots, byte) in
        [1, 2].into_iter().flat_map(|slots| [0xff, 0x80, 0x01, 0x7f].map(|byte| (slots, byte)))
    {
        let page = AttemptPage::create(slots).unwrap();
        let file = std::fs::File::from(page.as_fd().try_clone_to_owned().unwrap());
        let length = file.metadata().unwrap().len() as usize;
        file.write_all_at(&vec![byte; length], 0).unwrap();
        let begun: Vec<Begun> = page.begun().collect();
        let _ = (page.newest(), page.unbegun(), page.stop_requested(0, fence(1)));
        assert!(page.read_output().len() <= OUTPUT_BYTES_MAX);
        assert!(page.read_outputs(&begun).iter().all(|output| output.len() <= OUTPUT_BYTES_MAX));
        page.take(0, fence(2));
        page.begin(0, 0, 0, note(2));
        page.end(0);
        page.append_output(b"x");
        page.reset_output();
        if let Some(words) = page.words() {
            Writer::default().append(words, fence(2), &mut Cursor::default(), b"x");
        }
        page.request_stop(0, fence(2), StopReason::Cancelled);
        page.beat();
    }
}

#[test]
fn a_child_marks_and_prints_and_is_asked_to_stop() {
    let page = AttemptPage::create(1).unwrap();
    let mut child = Guard(child_of(&page, "attempt_page::child_waits_for_a_stop").spawn().unwrap());
    eventually("the child is ready", || page.beats() > 0);
    eventually("the attempt begins", || only(&page).is_some());
    let expected = Begun { place: 0, fence: fence(1), started_ms: 11, timeout_ms: 22, note: note(1) };
    assert_eq!(only(&page), Some(expected));
    assert!(!page.request_stop(0, fence(2), StopReason::Cancelled));
    assert!(page.request_stop(0, fence(1), StopReason::TimedOut));
    assert!(child.0.wait().unwrap().success());
    assert_eq!((only(&page), page.newest()), (None, Some(fence(1))));
    assert_eq!(page.read_output(), b"stopped: TimedOut");
}

#[test]
fn child_waits_for_a_stop() {
    let Some(page) = inherited_page() else { return };
    page.beat();
    page.append_output(b"of an attempt before");
    page.reset_output();
    page.take(0, fence(1));
    page.begin(0, 11, 22, note(1));
    let mut reason = None;
    eventually("the stop arrives", || {
        reason = page.stop_requested(0, fence(1));
        reason.is_some()
    });
    page.append_output(format!("stopped: {:?}", reason.unwrap()).as_bytes());
    page.end(0);
}

/// The child begins one attempt after the other as fast as it can and is killed at any instruction. Living or dead,
/// what the page says of it always belongs together.
#[test]
fn a_child_killed_while_writing_never_leaves_a_torn_mark() {
    let mut marks = 0;
    for round in 0..200 {
        let page = AttemptPage::create(2).unwrap();
        let mut child = Guard(child_of(&page, "attempt_page::child_writes_until_killed").spawn().unwrap());
        eventually("the child begins", || page.begins() > 0);
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

/// Slot 0 has the odd attempts, slot 1 the even ones.
fn check(page: &AttemptPage) {
    for begun in page.begun() {
        let number = begun.fence.epoch;
        let place = (number % 2) as u32;
        let expected =
            Begun { place, fence: fence(number), started_ms: !number, timeout_ms: 3, note: note(number) };
        assert_eq!(begun, expected);
    }
    assert!(page.newest().is_none_or(|newest| newest == fence(newest.epoch)));
}

/// Nothing of it changes any more, and each attempt has its own words, as far as it had come.
fn check_of_the_dead(page: &AttemptPage) -> u64 {
    check(page);
    let newest = page.newest().unwrap().epoch;
    assert_eq!(page.newest(), Some(fence(newest)), "the dead do not go on");
    assert!(page.unbegun().iter().all(|unbegun| *unbegun == fence(newest)), "only the newest can be unbegun");
    assert!(page.begun().all(|begun| begun.fence.epoch + 1 >= newest));
    let begun: Vec<Begun> = page.begun().collect();
    for (begun, output) in begun.iter().zip(page.read_outputs(&begun)) {
        let said = format!("{0} {0} ", begun.fence.epoch).into_bytes();
        assert!([0, said.len() / 2, said.len()].contains(&output.len()) && said.starts_with(&output));
    }
    newest
}

#[test]
fn child_writes_until_killed() {
    let Some(page) = inherited_page() else { return };
    let (mut writer, mut cursors, words) = (Writer::default(), [const { None }; 2], page.words().unwrap());
    for number in 1u64.. {
        let (place, word) = ((number % 2) as u32, format!("{number} "));
        page.take(place, fence(number));
        if let Some(cursor) = cursors[place as usize].take() {
            writer.end(words, &cursor);
        }
        page.begin(place, !number, 3, note(number));
        let mut cursor = Cursor::default();
        writer.append(words, fence(number), &mut cursor, word.as_bytes());
        writer.append(words, fence(number), &mut cursor, word.as_bytes());
        cursors[place as usize] = Some(cursor);
        if number % 3 == 0 {
            page.end(place);
        }
    }
}
