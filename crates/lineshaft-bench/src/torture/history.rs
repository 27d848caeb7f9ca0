//! What the engine remembers, as any client reads it.

use std::collections::BTreeSet;

use lineshaft::client::Client;
use lineshaft_wire::JobId;
use lineshaft_wire::message::{List, RefusalCode};

use super::verdict::Past;
use crate::error::Result;

/// Jobs of a page.
const PAGE: u32 = 1_000;

/// Every job that the server knows. Those in `acknowledged` that no page has are asked for one by one: jobs that move into
/// the archive meanwhile may be on none.
pub(super) fn read(client: &Client, acknowledged: impl Iterator<Item = JobId>) -> Result<Vec<Past>> {
    let mut history = Vec::new();
    let mut cursor = None;
    loop {
        let list = List { cursor, limit: PAGE, ..List::default() };
        let page = client.list(list, None).wait()?;
        history.extend(page.jobs.iter().map(Past::from));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let known: BTreeSet<JobId> = history.iter().map(|past| past.id).collect();
    for job in acknowledged.filter(|job| !known.contains(job)) {
        match client.show(job, None).wait() {
            Ok(shown) => history.push(Past::from(&shown.record)),
            Err(lineshaft::Error::Refused { code: RefusalCode::JobNotFound, .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(history)
}
