//! What the engine takes on as the disk fills up: space is looked at before anything is decided.

use lineshaft_jobs::Refusal;
use lineshaft_store::Space;
use lineshaft_wire::message::{Finish, Message, RefusalCode, SMALL_END_BYTES};

use crate::requests::refusal;

/// Leases end when the reserve has less than this: the rest is for the ends of what runs.
const LEASES_BYTES: u64 = 1 << 20;
/// With less than this nothing is written but what makes room.
const LAST_BYTES: u64 = 128 << 10;

/// How much may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Everything.
    #[default]
    Plenty,
    /// Nothing new: small ends, cancellations and leases, from the reserve.
    Reserve,
    /// The same without leases.
    Ends,
    /// Only what makes room.
    Nothing,
}

impl Room {
    /// What a journal has room for.
    pub fn of(space: Space) -> Self {
        let bytes = space.ready_bytes + space.reserve_bytes;
        match (space.low, bytes) {
            (false, _) => Self::Plenty,
            (true, LEASES_BYTES..) => Self::Reserve,
            (true, LAST_BYTES..) => Self::Ends,
            (true, _) => Self::Nothing,
        }
    }

    /// Refuses a request that there is no room for.
    pub(crate) fn admit(self, message: &Message) -> Result<(), Refusal> {
        let needs = match message {
            Message::Enqueue(_) | Message::Retry(_) | Message::Checkpoint(_) => Self::Plenty,
            Message::Finish(finish) if !is_small(finish) => Self::Plenty,
            Message::Finish(_)
            | Message::Release(_)
            | Message::Cancel(_)
            | Message::Delete(_)
            | Message::ChangeQueue(_) => Self::Ends,
            _ => Self::Nothing,
        };
        if self <= needs { Ok(()) } else { Err(refusal(RefusalCode::StoreFull, words(message))) }
    }
}

fn is_small(finish: &Finish) -> bool {
    let results = finish.succeeded.iter().map(|end| end.result_length + u64::from(end.output_length));
    let outputs = finish.others.iter().map(|end| u64::from(end.output_length));
    results.chain(outputs).all(|bytes| bytes <= SMALL_END_BYTES)
}

fn words(message: &Message) -> &'static str {
    match message {
        Message::Enqueue(_) | Message::Retry(_) => {
            "the disk of the home is full: no new jobs until there is room"
        }
        Message::Checkpoint(_) => "the disk of the home is full: no checkpoints until there is room",
        Message::Finish(_) => "the disk of the home is full: the result waits until there is room",
        _ => "the disk of the home is full, and its reserve used up: nothing changes until there is room",
    }
}

/// Bytes that a request may add to a commit beside its payloads, generously.
pub(crate) fn overhead_bytes(message: &Message) -> u64 {
    const GROUP_BYTES: u64 = 16 << 10;
    const JOB_BYTES: u64 = 128;
    match message {
        Message::Enqueue(enqueue) => {
            let jobs = enqueue.groups.iter().map(|group| group.lengths.len() as u64).sum::<u64>();
            enqueue.groups.len() as u64 * GROUP_BYTES + jobs * JOB_BYTES
        }
        _ => GROUP_BYTES,
    }
}

/// Whether a request may bring more than a small record.
pub(crate) fn brings_much(message: &Message) -> bool {
    matches!(message, Message::Enqueue(_) | Message::Checkpoint(_) | Message::Finish(_))
}

#[cfg(test)]
mod tests {
    use lineshaft_wire::message::{Cancel, Checkpoint, Enqueue, Release, Retry, Sequence, Show, Succeeded};
    use lineshaft_wire::{Fence, JobId};

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
        Finish { succeeded: vec![end], others: Vec::new() }.into()
    }

    #[test]
    fn new_work_is_refused_first_and_ends_last() {
        let check = |message: Message, last: Room| {
            for room in [Room::Plenty, Room::Reserve, Room::Ends, Room::Nothing] {
                let admitted = room.admit(&message).is_ok();
                assert_eq!(admitted, room <= last, "{} with {room:?}", message.name());
            }
        };
        let (job, fence, sequence) = (job(), FENCE, Sequence { number: 1, lowest: 1 });
        check(Enqueue { sequence, groups: Vec::new() }.into(), Room::Plenty);
        check(Retry { sequence, job }.into(), Room::Plenty);
        check(Checkpoint { job, fence, length: 1 }.into(), Room::Plenty);
        check(finish(SMALL_END_BYTES + 1), Room::Plenty);
        check(finish(SMALL_END_BYTES), Room::Ends);
        check(Release::default().into(), Room::Ends);
        check(Cancel { sequence, job }.into(), Room::Ends);
        check(Show { job }.into(), Room::Nothing);
    }

    #[test]
    fn what_is_left_says_what_there_is_room_for() {
        let check = |low, ready_bytes, reserve_bytes, expected| {
            let space = Space { ready_bytes, reserve_bytes, tight: true, low };
            assert_eq!(Room::of(space), expected, "{space:?}");
        };
        check(false, 10, 0, Room::Plenty);
        check(true, 0, 4 << 20, Room::Reserve);
        check(true, 512 << 10, 0, Room::Ends);
        check(true, 1, 0, Room::Nothing);
    }
}
