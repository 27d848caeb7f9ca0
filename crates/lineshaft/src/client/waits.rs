//! Following jobs until they end: the I/O thread's side.
//!
//! A wait is known by its inbox. It has a new request id whenever it is asked again: after a reconnect, or after its
//! caller has taken results that filled the inbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use lineshaft_wire::JobId;
use lineshaft_wire::message::{Ended, Message, RESULT_EXPIRED, Unwait, Wait};
use rustc_hash::FxHashSet;
use serde_bytes::ByteBuf;

use super::ledger::{Ledger, Sink};
use super::waiting::{Inbox, JobEnd};
use crate::Error;

struct Followed {
    inbox: Arc<Inbox>,
    remaining: FxHashSet<JobId>,
    results: bool,
    /// The request of this connection that the server pushes to, if it does.
    request: Option<u64>,
    /// Since when it could not be asked for.
    since: Instant,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Waits {
    next_key: u64,
    followed: BTreeMap<u64, Followed>,
    /// Requests of this connection, given up ones included: what they push still counts.
    requests: BTreeMap<u64, u64>,
}

impl Waits {
    pub(crate) fn is_empty(&self) -> bool {
        self.followed.is_empty()
    }

    /// Follows `ids`; asked for with [`Waits::ask`].
    pub(crate) fn add(&mut self, ids: Vec<JobId>, results: bool, inbox: Arc<Inbox>, now: Instant) {
        let remaining: FxHashSet<JobId> = ids.into_iter().collect();
        if remaining.is_empty() {
            return;
        }
        self.next_key += 1;
        self.followed
            .insert(self.next_key, Followed { inbox, remaining, results, request: None, since: now });
    }

    /// Asks for everything that is not asked for on this connection.
    pub(crate) fn ask(&mut self, ledger: &mut Ledger, sink: &mut impl Sink) {
        let mut refused = Vec::new();
        for (key, followed) in self.followed.iter_mut().filter(|(_, followed)| followed.is_due()) {
            let id = ledger.take_id();
            let message = Wait { ids: id_bytes(&followed.remaining), results: followed.results };
            match sink.send(id, &message.into(), &[]) {
                Ok(()) => {
                    followed.request = Some(id);
                    self.requests.insert(id, *key);
                }
                Err(error) => refused.push((*key, error)),
            }
        }
        for (key, error) in refused {
            self.fail(key, error);
        }
    }

    /// Whether an answer with this request id is a wait's.
    pub(crate) fn is_ours(&self, id: u64) -> bool {
        self.requests.contains_key(&id)
    }

    /// Takes what the server pushed for a wait. An error means that it broke the protocol.
    pub(crate) fn answer(
        &mut self,
        id: u64,
        message: Message,
        payload: Bytes,
        ledger: &mut Ledger,
        sink: &mut impl Sink,
    ) -> Result<(), Error> {
        let Some(key) = self.requests.get(&id).copied() else { return Ok(()) };
        match message {
            Message::Ended(ended) => self.ended(key, ended, payload, ledger, sink)?,
            Message::Refused(refused) => self.fail(key, refused.into()),
            other => return Err(super::connection::unexpected(&other, "Ended")),
        }
        Ok(())
    }

    fn ended(
        &mut self,
        key: u64,
        ended: Ended,
        payload: Bytes,
        ledger: &mut Ledger,
        sink: &mut impl Sink,
    ) -> Result<(), Error> {
        let Some(followed) = self.followed.get_mut(&key) else { return Ok(()) };
        let ends = followed.read(ended, payload)?;
        let is_full = followed.inbox.push(ends);
        if followed.remaining.is_empty() {
            followed.inbox.end(None);
            self.remove(key);
        } else if is_full {
            followed.hold(ledger, sink);
        }
        Ok(())
    }

    /// The caller has taken what filled its inbox: asked for again with [`Waits::ask`].
    pub(crate) fn unhold(&mut self, inbox: &Arc<Inbox>) {
        if let Some(followed) =
            self.followed.values_mut().find(|followed| Arc::ptr_eq(&followed.inbox, inbox))
        {
            followed.request = followed.request.filter(|request| *request != HELD);
        }
    }

    /// The caller has lost interest.
    pub(crate) fn give_up(&mut self, inbox: &Arc<Inbox>, ledger: &mut Ledger, sink: Option<&mut impl Sink>) {
        let found = self.followed.iter_mut().find(|(_, followed)| Arc::ptr_eq(&followed.inbox, inbox));
        let Some((&key, followed)) = found else { return };
        if let Some(sink) = sink {
            followed.hold(ledger, sink);
        }
        self.remove(key);
    }

    /// The connection is gone, and with it all requests.
    pub(crate) fn disconnected(&mut self, now: Instant) {
        self.requests.clear();
        for followed in self.followed.values_mut() {
            followed.request = followed.request.filter(|request| *request == HELD);
            followed.since = now;
        }
    }

    /// Fails those that could not be asked for since before `limit`.
    pub(crate) fn expire(&mut self, limit: Instant, error: &Error) {
        let late = |followed: &Followed| followed.since <= limit;
        let late: Vec<u64> =
            self.followed.iter().filter(|(_, followed)| late(followed)).map(|(key, _)| *key).collect();
        for key in late {
            self.fail(key, error.clone());
        }
    }

    /// Since when the oldest one could not be asked for.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.followed.values().map(|followed| followed.since).min()
    }

    /// Fails all of them.
    pub(crate) fn fail_all(&mut self, error: &Error) {
        for key in self.followed.keys().copied().collect::<Vec<_>>() {
            self.fail(key, error.clone());
        }
    }

    fn fail(&mut self, key: u64, error: Error) {
        if let Some(followed) = self.followed.get(&key) {
            followed.inbox.end(Some(error));
        }
        self.remove(key);
    }

    fn remove(&mut self, key: u64) {
        self.followed.remove(&key);
        self.requests.retain(|_, other| *other != key);
    }
}

/// In place of a request: its caller has to take what is there first.
const HELD: u64 = 0;

impl Followed {
    fn is_due(&self) -> bool {
        self.request.is_none()
    }

    /// Asks the server to push no more for now.
    fn hold(&mut self, ledger: &mut Ledger, sink: &mut impl Sink) {
        if let Some(request) = self.request.replace(HELD).filter(|request| *request != HELD) {
            let _ = sink.send(ledger.take_id(), &Unwait { request }.into(), &[]);
        }
    }

    /// The ends that are news: after a second asking some may come twice.
    fn read(&mut self, ended: Ended, mut payload: Bytes) -> Result<Vec<JobEnd>, Error> {
        let mut ends = Vec::with_capacity(ended.completed.len() + ended.failed.len() + ended.missing.len());
        for (id, length) in ended.completed {
            let result = self.take_result(length, &mut payload)?;
            ends.push(JobEnd::Completed { id, result });
        }
        ends.extend(ended.failed.into_iter().map(|failed| JobEnd::Failed(Box::new(failed))));
        ends.extend(ended.missing.into_iter().map(|id| JobEnd::Missing { id }));
        ends.retain(|end| self.remaining.remove(&end.id()));
        Ok(ends)
    }

    fn take_result(&self, length: u64, payload: &mut Bytes) -> Result<Option<Bytes>, Error> {
        if length == RESULT_EXPIRED || !self.results {
            return Ok(None);
        }
        if length > payload.len() as u64 {
            return Err(Error::Protocol("Ended announces more results than follow".into()));
        }
        Ok(Some(payload.split_to(length as usize)))
    }
}

fn id_bytes(ids: &FxHashSet<JobId>) -> ByteBuf {
    let mut bytes = Vec::with_capacity(ids.len() * 16);
    for id in ids {
        bytes.extend_from_slice(&id.to_bytes());
    }
    ByteBuf::from(bytes)
}
