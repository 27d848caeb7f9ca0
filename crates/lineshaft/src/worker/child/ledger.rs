//! What was sent and not confirmed: kept to be sent again over the next connection.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use lineshaft_wire::message::{Finish, Message, OtherEnd, Release, SMALL_END_BYTES, Succeeded};
use lineshaft_wire::{Fence, JobId};

use super::checkpoint::Pending;
use super::ending::slimmed;
use super::job::{Ended, Ending};

/// Bytes of results, errors and outputs in one frame, but for a single larger one.
const FRAME_PAYLOAD_BYTES: usize = 8 << 20;
/// Refusals of the same ends after which something less is sent.
const REFUSALS_MAX: u32 = 3;

/// Something to be confirmed by `Finished`.
#[derive(Debug)]
pub(super) enum Entry {
    /// Attempts that ended.
    Ends(Vec<Ended>),
    /// Leases handed back.
    Release(Vec<(JobId, Fence)>),
    /// From where a running attempt's job goes on: settles nothing.
    Checkpoint(Pending),
}

impl Entry {
    /// Leases and bytes of results that it settles.
    pub(super) fn weight(&self) -> (usize, usize) {
        match self {
            Self::Ends(ends) => (ends.len(), ends.iter().map(Ended::bytes).sum()),
            Self::Release(leases) => (leases.len(), 0),
            Self::Checkpoint(_) => (0, 0),
        }
    }

    /// The message and what follows it.
    pub(super) fn message(&self) -> (Message, Vec<Bytes>) {
        match self {
            Self::Ends(ends) => finish(ends),
            Self::Release(leases) => (Release { leases: leases.clone() }.into(), Vec::new()),
            Self::Checkpoint(pending) => pending.message(),
        }
    }

    /// The leases that it settles.
    pub(super) fn fences(&self) -> Vec<(JobId, Fence)> {
        match self {
            Self::Ends(ends) => ends.iter().map(|ended| (ended.job, ended.fence)).collect(),
            Self::Release(leases) => leases.clone(),
            Self::Checkpoint(_) => Vec::new(),
        }
    }

    /// What to send instead of ends that are refused for their own sake: first each alone, so that one does not keep
    /// the others back, then without whatever makes it too much. A return of leases is sent as it is.
    pub(super) fn lessened(self, why: &str) -> Vec<Self> {
        let Self::Ends(ends) = self else { return vec![self] };
        let is_alone = ends.len() == 1;
        let less = |ended: Ended| if is_alone { slimmed(ended, why) } else { ended };
        // Alone it is asked for once more, not as often as the others together were.
        let again = |ended| Self::Ends(vec![Ended { refusals: REFUSALS_MAX - 1, ..less(ended) }]);
        ends.into_iter().map(again).collect()
    }

    /// The same in two, if some of its ends are small enough for a full disk and others are not: those wait alone.
    pub(super) fn apart(self) -> Vec<Self> {
        let Self::Ends(ends) = self else { return vec![self] };
        let (small, large): (Vec<_>, Vec<_>) =
            ends.into_iter().partition(|ended| ended.bytes() as u64 <= SMALL_END_BYTES);
        [small, large].into_iter().filter(|ends| !ends.is_empty()).map(Self::Ends).collect()
    }

    /// Counts a refusal; whether there were so many that the same need not be tried again.
    pub(super) fn is_hopeless_after_this(&mut self) -> bool {
        let Self::Ends(ends) = self else { return false };
        ends.iter_mut().for_each(|ended| ended.refusals += 1);
        ends.iter().any(|ended| ended.refusals >= REFUSALS_MAX)
    }

    pub(super) fn as_checkpoint(&mut self) -> Option<&mut Pending> {
        if let Self::Checkpoint(pending) = self { Some(pending) } else { None }
    }

    /// Forgets `stale` leases; those that went, and their bytes.
    fn forget(&mut self, stale: &BTreeSet<Fence>) -> (Vec<(JobId, Fence)>, usize) {
        let before = self.weight().1;
        let mut gone = self.fences();
        gone.retain(|(_, fence)| stale.contains(fence));
        match self {
            Self::Ends(ends) => ends.retain(|ended| !stale.contains(&ended.fence)),
            Self::Release(leases) => leases.retain(|(_, fence)| !stale.contains(fence)),
            Self::Checkpoint(_) => {}
        }
        (gone, before - self.weight().1)
    }

    /// Whether nothing is left of it without `stale` leases.
    fn is_over(&self, stale: &BTreeSet<Fence>) -> bool {
        match self {
            Self::Ends(ends) => ends.is_empty(),
            Self::Release(leases) => leases.is_empty(),
            Self::Checkpoint(pending) => stale.contains(&pending.fence),
        }
    }
}

/// Everything unconfirmed, oldest first. Bounded by the leases a child may hold, and the threads of their bodies.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: VecDeque<(u64, Instant, Entry)>,
}

impl Ledger {
    /// Remembers that `entry` was sent as `request`.
    pub(super) fn sent(&mut self, request: u64, entry: Entry) {
        self.entries.push_back((request, Instant::now(), entry));
    }

    /// Takes the entry that the server confirmed or refused, and when it was sent.
    pub(super) fn take(&mut self, request: u64) -> Option<(Instant, Entry)> {
        let place = self.entries.iter().position(|(number, ..)| *number == request)?;
        self.entries.remove(place).map(|(_, at, entry)| (at, entry))
    }

    /// Every checkpoint.
    pub(super) fn checkpoints(&mut self) -> impl Iterator<Item = &mut Pending> {
        self.entries.iter_mut().filter_map(|(.., entry)| entry.as_checkpoint())
    }

    /// Takes everything, to be sent again.
    pub(super) fn take_all(&mut self) -> Vec<Entry> {
        self.entries.drain(..).map(|(.., entry)| entry).collect()
    }

    /// The leases that entries are about.
    pub(super) fn held(&self) -> impl Iterator<Item = (JobId, Fence)> {
        self.entries.iter().flat_map(|(.., entry)| entry.fences())
    }

    /// The jobs whose ends are about `stale` leases.
    pub(super) fn ended(&self, stale: &BTreeSet<Fence>) -> Vec<JobId> {
        let ends = self.entries.iter().filter(|(.., entry)| matches!(entry, Entry::Ends(_)));
        let fences = ends.flat_map(|(.., entry)| entry.fences());
        fences.filter(|(_, fence)| stale.contains(fence)).map(|(job, _)| job).collect()
    }

    /// Forgets leases that are somebody else's by now; those that went, and their bytes.
    pub(super) fn forget(&mut self, stale: &BTreeSet<Fence>) -> (Vec<(JobId, Fence)>, usize) {
        let mut gone = (Vec::new(), 0);
        for (.., entry) in &mut self.entries {
            let (leases, bytes) = entry.forget(stale);
            gone.0.extend(leases);
            gone.1 += bytes;
        }
        self.entries.retain(|(.., entry)| !entry.is_over(stale));
        gone
    }
}

/// Splits ends into entries whose frames are not too large.
pub(super) fn entries(ends: Vec<Ended>) -> Vec<Entry> {
    if ends.iter().map(Ended::bytes).sum::<usize>() <= FRAME_PAYLOAD_BYTES {
        return Some(ends).filter(|ends| !ends.is_empty()).map(Entry::Ends).into_iter().collect();
    }
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for ended in ends {
        let part = parts.last_mut().expect("there is always a last part");
        if bytes + ended.bytes() > FRAME_PAYLOAD_BYTES && !part.is_empty() {
            bytes = ended.bytes();
            parts.push(vec![ended]);
        } else {
            bytes += ended.bytes();
            part.push(ended);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts.into_iter().map(Entry::Ends).collect()
}

/// The message of some ends: results and outputs follow in the order of `succeeded`, then `others`.
fn finish(ends: &[Ended]) -> (Message, Vec<Bytes>) {
    let mut finish = Finish { measures: Vec::with_capacity(ends.len()), ..Finish::default() };
    let mut payload = Vec::with_capacity(ends.len());
    let mut outputs_of_others = Vec::new();
    for ended in ends {
        let output_length = ended.output.len() as u32;
        let Ended { job, fence, started_at, finished_at, .. } = *ended;
        match &ended.ending {
            Ending::Returned(result) => {
                let result_length = result.len() as u64;
                let row = Succeeded { job, fence, started_at, finished_at, result_length, output_length };
                finish.succeeded.push(row);
                finish.measures.push(ended.measures);
                payload.extend([result, &ended.output].into_iter().filter(|part| !part.is_empty()).cloned());
            }
            Ending::Other(end) => {
                let end = end.clone();
                finish.others.push(OtherEnd {
                    job,
                    fence,
                    started_at,
                    finished_at,
                    end,
                    output_length,
                    measures: ended.measures,
                });
                outputs_of_others.push(ended.output.clone());
            }
        }
    }
    payload.extend(outputs_of_others);
    (finish.into(), payload)
}

#[cfg(test)]
mod tests {
    use lineshaft_wire::message::End;
    use lineshaft_wire::{ErrorRecord, Measures};

    use super::*;

    fn ended(counter: u64, ending: Ending, output: &'static [u8]) -> Ended {
        let fence = Fence { epoch: 1, counter };
        let job = JobId::direct(1, 0, counter as u32, 0);
        let output = Bytes::from_static(output);
        let measures = Measures { ran_us: Some(counter), ..Measures::default() };
        Ended { job, fence, started_at: 5, finished_at: 6, ending, output, refusals: 0, measures }
    }

    fn returned(counter: u64, bytes: usize) -> Ended {
        ended(counter, Ending::Returned(vec![b'r'; bytes].into()), b"")
    }

    #[test]
    fn payloads_follow_in_the_order_of_succeeded_then_others() {
        let ends = [
            ended(1, Ending::Other(End::Cancelled), b"<cancelled>"),
            ended(2, Ending::Returned(Bytes::from_static(b"<two>")), b"<printed>"),
            ended(3, Ending::Returned(Bytes::new()), b""),
            ended(4, Ending::Returned(Bytes::from_static(b"<four>")), b""),
        ];
        let (message, payload) = finish(&ends);
        let Message::Finish(finish) = message else { panic!("{message:?}") };
        assert_eq!(payload.concat(), b"<two><printed><four><cancelled>");
        let lengths = |row: &Succeeded| (row.fence.counter, row.result_length, row.output_length);
        assert_eq!(
            finish.succeeded.iter().map(lengths).collect::<Vec<_>>(),
            [(2, 5, 9), (3, 0, 0), (4, 6, 0)]
        );
        assert_eq!((finish.others[0].fence.counter, finish.others[0].output_length), (1, 11));
    }

    #[test]
    fn large_results_are_split_over_frames() {
        let sizes = [5 << 20, 5 << 20, 100, 20 << 20, 1];
        let ends = sizes.iter().enumerate().map(|(at, &bytes)| returned(at as u64, bytes)).collect();
        let counts: Vec<_> = entries(ends).iter().map(|entry| entry.weight().0).collect();
        assert_eq!(counts, [1, 2, 1, 1]);
        assert!(entries(Vec::new()).is_empty());
    }

    /// Errors were not counted: a thousand failures of an outage made a frame that no connection takes.
    #[test]
    fn large_errors_are_split_over_frames() {
        let error = ErrorRecord {
            message: "m".repeat(16 << 10),
            traceback: Some("t".repeat(64 << 10)),
            arguments: Some(vec![0; 64 << 10]),
            ..ErrorRecord::default()
        };
        let errored = || Ending::Other(End::Errored { error: error.clone(), retry_after_ms: None });
        let ends = (0..1_024).map(|counter| ended(counter, errored(), b"")).collect();
        let entries = entries(ends);
        assert_eq!(entries.iter().map(|entry| entry.weight().0).sum::<usize>(), 1_024);
        for entry in entries {
            let mut map = Vec::new();
            entry.message().0.encode(&mut map);
            assert!(map.len() < 9 << 20, "{} bytes in one frame", map.len());
        }
    }

    #[test]
    fn refused_ends_are_sent_alone_and_then_without_what_is_too_much() {
        let mut entry = Entry::Ends(vec![returned(1, 10), returned(2, 20)]);
        assert_eq!([0; 3].map(|_| entry.is_hopeless_after_this()), [false, false, true]);
        let mut alone = entry.lessened("too much");
        assert_eq!(alone.iter().map(Entry::weight).collect::<Vec<_>>(), [(1, 10), (1, 20)]);
        let mut last = alone.pop().unwrap();
        assert!(last.is_hopeless_after_this());
        let less = last.lessened("too much");
        let [Entry::Ends(ends)] = &less[..] else { panic!("{less:?}") };
        let Ending::Other(End::Rejected { reason, error }) = &ends[0].ending else { panic!("{ends:?}") };
        assert_eq!((&**reason, ends[0].fence.counter), ("result_unencodable", 2));
        assert!(error.message.ends_with("too much"), "{}", error.message);
    }

    #[test]
    fn stale_leases_are_forgotten_with_their_weight() {
        let mut ledger = Ledger::default();
        ledger.sent(1, Entry::Ends(vec![returned(1, 10), returned(2, 20)]));
        ledger.sent(2, Entry::Ends(vec![returned(3, 30)]));
        let stale = [2, 3].map(|counter| Fence { epoch: 1, counter }).into();
        let (gone, bytes) = ledger.forget(&stale);
        assert_eq!(
            (gone.iter().map(|(_, fence)| fence.counter).collect::<Vec<_>>(), bytes),
            (vec![2, 3], 50)
        );
        assert_eq!(ledger.held().map(|(_, fence)| fence.counter).collect::<Vec<_>>(), [1]);
        assert!(ledger.take(2).is_none());
        assert!(ledger.take(1).is_some() && ledger.take_all().is_empty());
    }
}
