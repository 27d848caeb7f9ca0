//! What the state machine has on disk: changes, snapshots, rules.

use lineshaft_jobs::{Change, Limits, Snapshot, State, decode_rules, encode_rules};

use crate::bounded;

/// Memory that reading may take for each byte of a commit or a snapshot, and beside that. The decoder of numbers and lists
/// believes no length beyond a megabyte.
const SHARE: usize = 1024;
const BESIDE: usize = 16 << 20;

/// The body of a commit: changes, each with its payloads behind it. What reads can be written, and reads as the same.
pub(crate) fn change(data: &[u8]) -> bool {
    let mut rest = data;
    while !rest.is_empty() {
        let decoded = bounded(BESIDE + SHARE * rest.len(), || Change::decode(rest));
        let Ok((change, after)) = decoded else { return false };
        let mut written = Vec::new();
        change.encode(&mut written);
        let (again, left) = Change::decode(&written).expect("what was written reads");
        assert_eq!((again, left), (change.clone(), &[][..]));
        let Some(behind) = usize::try_from(change.inline_length()).ok().and_then(|bytes| after.get(bytes..))
        else {
            return false;
        };
        rest = behind;
    }
    !data.is_empty()
}

/// Parts, each with its length before it: the tables, then pages, each with its number. A snapshot that loads gives the
/// same snapshot; one that contradicts itself is refused.
pub(crate) fn snapshot(data: &[u8]) -> bool {
    let Some(snapshot) = parts(data) else { return false };
    let state = bounded(BESIDE + SHARE * data.len(), || State::from_snapshot(&snapshot, Limits::default()));
    let Ok(state) = state else { return false };
    let written = state.snapshot();
    let again = State::from_snapshot(&written, Limits::default()).expect("what was written loads");
    assert_eq!(again.snapshot(), written);
    assert_eq!(again.jobs(), state.jobs());
    true
}

fn parts(mut data: &[u8]) -> Option<Snapshot> {
    let mut part = || {
        let (length, rest) = data.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        data = rest;
        Some(part)
    };
    let tables = part()?.to_vec();
    let mut pages = Vec::new();
    while let Some(page) = part() {
        let (number, bytes) = page.split_first_chunk::<8>()?;
        pages.push((u64::from_le_bytes(*number), bytes.to_vec()));
    }
    data.is_empty().then_some(Snapshot { tables, pages })
}

/// How a job is run, as a block of the archive keeps it.
pub(crate) fn rules(data: &[u8]) -> bool {
    let Ok(rules) = bounded(BESIDE + SHARE * data.len(), || decode_rules(data)) else { return false };
    let written = encode_rules(&rules);
    assert_eq!(decode_rules(&written).expect("what was written reads"), rules);
    true
}
