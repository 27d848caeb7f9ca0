//! From where jobs go on.

use bytes::Bytes;
use lineshaft_wire::message::{Checkpoint, RefusalCode};

use super::job::Payload;
use super::{Model, Told};

impl Model {
    pub(super) fn checkpoint(
        &mut self,
        child: u32,
        checkpoint: &Checkpoint,
        value: &Bytes,
    ) -> Result<Told, RefusalCode> {
        let Checkpoint { job, fence, length } = *checkpoint;
        if value.is_empty() || value.len() != length as usize {
            return Err(RefusalCode::BadRequest);
        }
        if value.len() > 65_536 {
            return Err(RefusalCode::TooLarge);
        }
        let refused = match self.held_by(child, job, fence) {
            Some(at) => {
                self.leave_checkpoint(at, value);
                Vec::new()
            }
            None => vec![(job, fence)],
        };
        Ok(Told::Finished { refused })
    }

    pub(super) fn leave_checkpoint(&mut self, at: usize, value: &Bytes) {
        let payload = Payload { bytes: value.clone(), blob: None, lsn: Some(self.lsn) };
        self.jobs[at].checkpoint = Some((payload, self.wall_ms));
    }
}
