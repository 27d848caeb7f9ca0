//! Attempts that say from where the next one of their job goes on.

use bytes::Bytes;
use lineshaft_wire::message::{CHECKPOINT_BYTES_MAX, Checkpoint, RefusalCode};

use super::enqueue::bad;
use crate::change::{Change, Stored};
use crate::command::{Decision, Entry, Refusal, Reply};
use crate::state::State;

impl State {
    pub(super) fn decide_checkpoint(
        &self,
        child: u32,
        checkpoint: &Checkpoint,
        value: Bytes,
    ) -> Result<Decision, Refusal> {
        let Checkpoint { job, fence, .. } = *checkpoint;
        check_value(checkpoint, &value)?;
        let Some((slot, _)) = self.own_lease(child, job, fence) else {
            return Ok(Decision::of(Vec::new(), Reply::Finished { refused: vec![(job, fence)] }));
        };
        Ok(Decision::of(vec![checkpointed(slot, value)], Reply::Finished { refused: Vec::new() }))
    }

    /// The slot that the next new job takes.
    pub(super) fn next_slot(&self) -> u32 {
        self.free.next().unwrap_or_else(|| self.slots.len())
    }
}

pub(super) fn checkpointed(slot: u32, value: Bytes) -> Entry {
    let change = Change::Checkpointed { slot, value: Stored::Inline(value.len() as u32) };
    Entry { change, payload: vec![value] }
}

fn check_value(checkpoint: &Checkpoint, value: &Bytes) -> Result<(), Refusal> {
    let Checkpoint { job, length, .. } = checkpoint;
    match value.len() {
        got if got != *length as usize => {
            Err(bad(format!("a checkpoint of {length} bytes was announced, {got} came")))
        }
        0 => Err(bad(format!("a checkpoint of job {job} without a value"))),
        1..=CHECKPOINT_BYTES_MAX => Ok(()),
        bytes => {
            let text = format!("a checkpoint of {bytes} bytes; the limit is {CHECKPOINT_BYTES_MAX}");
            Err(Refusal::new(RefusalCode::TooLarge, text))
        }
    }
}
