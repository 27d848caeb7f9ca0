//! Large payloads on their way in: stored before the engine hears of the request that brings them.

use crossbeam_channel::Receiver;
use lineshaft_store::{Error as StoreError, JournalHandle};
use lineshaft_wire::message::Message;

use crate::handle::{Input, large_payloads};
use crate::inbox::Inbox;

/// Stores large payloads as blobs, then hands their requests to the engine.
pub(crate) fn store_blobs(journal: &impl JournalHandle, inputs: &Receiver<Input>, engine: &Inbox) {
    for input in inputs {
        if matches!(input, Input::Stop) {
            return;
        }
        store_blob(journal, input, engine);
    }
}

/// The same for one input.
pub(crate) fn store_blob(journal: &impl JournalHandle, mut input: Input, engine: &Inbox) {
    if matches!(input, Input::ListBlobs) {
        input = Input::BlobsListed { result: journal.blobs() };
    }
    if let Input::Request { connection, request_id, message, payloads } = &mut input
        && let Err(error) = store_large(journal, message, payloads)
    {
        for (_, id) in &payloads.blobs {
            // What stays behind is swept later.
            drop(journal.drop_blob(*id));
        }
        let (connection, request_id, sequence) = (*connection, *request_id, message.sequence());
        input = Input::Unstorable { connection, request_id, sequence, error };
    }
    engine.send(input);
}

fn store_large(
    journal: &impl JournalHandle,
    message: &Message,
    payloads: &mut lineshaft_jobs::Payloads,
) -> Result<(), StoreError> {
    for (index, offset, length) in large_payloads(message) {
        // Lengths that do not add up are refused with the rest of the request.
        let Some(bytes) = payloads.bytes.get(offset..offset.saturating_add(length)) else { break };
        let id = next_blob_id();
        journal.put_blob(id, bytes)?;
        payloads.blobs.push((index, id));
    }
    Ok(())
}

/// A number that no blob had before: 64 random bits.
pub(crate) fn next_blob_id() -> u64 {
    fastrand::u64(..)
}
