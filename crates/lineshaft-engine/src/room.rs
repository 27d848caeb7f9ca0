//! What the engine takes on as the disk fills up: space is looked at before anything is decided.

use lineshaft_jobs::Refusal;
use lineshaft_store::{Shortage, Space};
use lineshaft_wire::ErrorRecord;
use lineshaft_wire::message::{Finish, Message, RefusalCode, SMALL_END_BYTES};

use crate::requests::refusal;

/// Leases end when less than this part of a whole reserve is left: the rest is for the ends of what runs.
const LEASES_SHARE: u64 = 4;
/// With less than this part nothing is written but what makes room.
const LAST_SHARE: u64 = 32;

const HINT: &str = "free some space on that file system: `lineshaft status` says what the home takes; nothing has to be restarted";

/// How much may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Everything.
    #[default]
    Plenty,
    /// Nothing new: small ends, cancellations, leases and locks, from the reserve.
    Reserve,
    /// The same without leases, and locks are only given back.
    Ends,
    /// Only what makes room.
    Nothing,
}

impl Room {
    /// What a journal has room for.
    pub fn of(space: Space) -> Self {
        let bytes = space.ready_bytes + space.reserve_bytes;
        let has_share = |share| bytes >= space.reserve_whole_bytes / share;
        match space.low {
            false => Self::Plenty,
            true if has_share(LEASES_SHARE) => Self::Reserve,
            true if has_share(LAST_SHARE) => Self::Ends,
            true => Self::Nothing,
        }
    }

    /// Whether there is room for a request.
    pub(crate) fn admits(self, message: &Message) -> bool {
        let needs = match message {
            Message::Enqueue(_) | Message::Retry(_) | Message::Checkpoint(_) | Message::CacheSet(_) => {
                Self::Plenty
            }
            Message::Finish(finish) if !is_small(finish) => Self::Plenty,
            Message::Finish(_)
            | Message::Release(_)
            | Message::Cancel(_)
            | Message::Delete(_)
            | Message::Invalidate(_)
            | Message::CacheInvalidate(_)
            | Message::ChangeQueue(_)
            | Message::ReleaseLocks(_)
            | Message::BreakLocks(_) => Self::Ends,
            Message::Acquire(_) | Message::Pass(_) => Self::Reserve,
            _ => Self::Nothing,
        };
        self <= needs
    }
}

fn is_small(finish: &Finish) -> bool {
    let results = finish.succeeded.iter().map(|end| end.result_length + u64::from(end.output_length));
    let outputs = finish.others.iter().map(|end| u64::from(end.output_length));
    results.chain(outputs).all(|bytes| bytes <= SMALL_END_BYTES)
}

/// Refuses a request that the disk of `home` has no room for.
pub(crate) fn refuse(message: &Message, home: &str, shortage: Option<Shortage>) -> Refusal {
    let what = match message {
        Message::Enqueue(_) | Message::Retry(_) => "no new jobs",
        Message::Checkpoint(_) => "no checkpoints",
        Message::Finish(_) => "the result waits",
        Message::Acquire(_) => "no locks",
        Message::CacheSet(_) => "nothing is cached",
        _ => "its reserve is used up, and nothing changes",
    };
    let until = shortage.map_or_else(|| "there is room".to_owned(), words);
    let message = format!("the disk of the home {home} is full: {what} until {until}");
    Refusal { hint: Some(HINT.to_owned()), ..refusal(RefusalCode::StoreFull, message) }
}

/// Rounded so that less than what is needed never looks like enough.
fn words(Shortage { needed_bytes, free_bytes }: Shortage) -> String {
    const MIB: u64 = 1 << 20;
    format!("{} MiB are free there, and {} are", needed_bytes.div_ceil(MIB), free_bytes / MIB)
}

/// Bytes that a request may add to a commit beside its payloads, generously.
pub(crate) fn overhead_bytes(message: &Message) -> u64 {
    const GROUP_BYTES: u64 = 16 << 10;
    const JOB_BYTES: u64 = 128;
    const END_BYTES: u64 = 1 << 10;
    match message {
        Message::Enqueue(enqueue) => {
            let jobs = enqueue.groups.iter().map(|group| group.lengths.len() as u64).sum::<u64>();
            enqueue.groups.len() as u64 * GROUP_BYTES + jobs * JOB_BYTES
        }
        Message::Finish(finish) => {
            let others = finish.others.iter().map(|end| END_BYTES + end.end.error().map_or(0, error_bytes));
            finish.succeeded.len() as u64 * JOB_BYTES + others.sum::<u64>()
        }
        Message::CacheSet(set) => {
            let texts = set.entries.iter().flat_map(|it| it.tags.iter().chain(&it.sources).chain([&it.key]));
            set.entries.len() as u64 * JOB_BYTES + texts.map(|text| text.len() as u64).sum::<u64>()
        }
        Message::CacheInvalidate(invalidate) => {
            let names = invalidate.keys.iter().chain(&invalidate.tags);
            GROUP_BYTES + names.map(|name| name.len() as u64).sum::<u64>()
        }
        _ => GROUP_BYTES,
    }
}

/// About as much as an error takes in a commit.
fn error_bytes(error: &ErrorRecord) -> u64 {
    let types = error.types.iter().map(String::len).sum::<usize>();
    let texts = error.message.len() + error.traceback.as_ref().map_or(0, String::len);
    (types + texts + error.arguments.as_ref().map_or(0, Vec::len)) as u64
}

/// Whether a request may bring more than a small record.
pub(crate) fn brings_much(message: &Message) -> bool {
    matches!(
        message,
        Message::Enqueue(_) | Message::Checkpoint(_) | Message::Finish(_) | Message::CacheSet(_)
    )
}

#[cfg(test)]
mod tests {
    use lineshaft_wire::message::{
        CacheGet, CacheInvalidate, CacheSet, Cancel, Checkpoint, End, Enqueue, OtherEnd, Release,
        ReleaseLocks, Retry, Sequence, Show, Succeeded,
    };
    use lineshaft_wire::{Fence, JobId, Measures};

    use super::*;

    const FENCE: Fence = Fence { epoch: 1, counter: 1 };

    fn job() -> JobId {
        "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap()
    }

    fn finish(result_length: u64) -> Message {
        let end = Succeeded {
            job: job(),
            fence: FENCE,
            started_at: 1,
            finished_at: 2,
            result_length,
            output_length: 0,
        };
        Finish { succeeded: vec![end], ..Finish::default() }.into()
    }

    #[test]
    fn new_work_is_refused_first_and_ends_last() {
        let check = |message: Message, last: Room| {
            for room in [Room::Plenty, Room::Reserve, Room::Ends, Room::Nothing] {
                assert_eq!(room.admits(&message), room <= last, "{} with {room:?}", message.name());
            }
        };
        let (job, fence, sequence) = (job(), FENCE, Sequence { number: 1, lowest: 1 });
        check(Enqueue { sequence, groups: Vec::new() }.into(), Room::Plenty);
        check(Retry { sequence, job }.into(), Room::Plenty);
        check(Checkpoint { job, fence, length: 1 }.into(), Room::Plenty);
        check(CacheSet { sequence, entries: Vec::new() }.into(), Room::Plenty);
        check(finish(SMALL_END_BYTES + 1), Room::Plenty);
        check(finish(SMALL_END_BYTES), Room::Ends);
        check(Release::default().into(), Room::Ends);
        check(Cancel { sequence, job }.into(), Room::Ends);
        check(ReleaseLocks::default().into(), Room::Ends);
        check(CacheInvalidate { sequence, keys: Vec::new(), tags: Vec::new(), all: true }.into(), Room::Ends);
        check(CacheGet::default().into(), Room::Nothing);
        check(Show { job }.into(), Room::Nothing);
    }

    #[test]
    fn what_is_left_says_what_there_is_room_for() {
        let check = |low, ready_bytes, reserve_bytes, expected| {
            let space = Space {
                ready_bytes,
                reserve_bytes,
                reserve_whole_bytes: 4 << 20,
                tight: true,
                low,
                shortage: None,
            };
            assert_eq!(Room::of(space), expected, "{space:?}");
        };
        check(false, 10, 0, Room::Plenty);
        check(true, 0, 4 << 20, Room::Reserve);
        check(true, 1 << 20, 0, Room::Reserve);
        check(true, (1 << 20) - 1, 0, Room::Ends);
        check(true, 64 << 10, 64 << 10, Room::Ends);
        check(true, (128 << 10) - 1, 0, Room::Nothing);
    }

    /// Errors were taken for small whatever their length: a few of them had more than what was left, and the commit waited.
    #[test]
    fn the_errors_of_attempts_count_for_what_they_are() {
        let error = ErrorRecord { traceback: Some("x".repeat(60_000)), ..ErrorRecord::default() };
        let end = OtherEnd {
            job: job(),
            fence: FENCE,
            started_at: 1,
            finished_at: 2,
            end: End::Errored { error, retry_after_ms: None },
            output_length: 0,
            measures: Measures::default(),
        };
        let others = vec![end; 3];
        let bytes = overhead_bytes(&Finish { others, ..Finish::default() }.into());
        assert!((180_000..190_000).contains(&bytes), "{bytes}");
    }

    /// It said only that nothing changes "until there is room", not where, nor how much is missing.
    #[test]
    fn a_refusal_says_where_how_much_room_is_needed_and_how_much_there_is() {
        let shortage = Some(Shortage { needed_bytes: (12 << 20) + 1, free_bytes: (12 << 20) - 1 });
        let (job, sequence) = (job(), Sequence { number: 1, lowest: 1 });
        let refused = refuse(&Cancel { sequence, job }.into(), "/srv/shop/.lineshaft", shortage);
        assert_eq!(
            refused.message,
            "the disk of the home /srv/shop/.lineshaft is full: its reserve is used up, and nothing changes until 13 \
             MiB are free there, and 11 are"
        );
        let unknown = refuse(&Retry { sequence, job }.into(), "/h", None).message;
        assert_eq!(unknown, "the disk of the home /h is full: no new jobs until there is room");
    }
}
