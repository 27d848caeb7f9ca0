//! Jobs whose arguments name something that the worker they were leased to does not know.
//!
//! Such a job stays available but leaves its lane, so that it is no worker's next job. It is offered once to every
//! other worker that runs its task: see [`State::next_lease`].

use std::sync::Arc;

use crate::extra::Parked;
use crate::state::State;

impl State {
    pub(super) fn park(&mut self, index: u32, missing: &Arc<str>) {
        let lease = self.end_lease(index);
        let child = self.children.get(&lease.child);
        let (nonce, name) = child.map_or((0, ""), |child| (child.worker, &*child.name));
        // `host:pid` of `host:pid/child`: another child of the worker knows no more.
        let worker = name.rsplit_once('/').map_or(name, |(worker, _)| worker).into();
        let order = self.take_order();
        let known = |nonce: &u64| self.children.values().any(|child| child.worker == *nonce);
        let before = self.slots.extra(index).and_then(|extra| extra.parked.as_ref());
        let others = before.iter().flat_map(|parked| &parked.tried).copied();
        let tried = others.filter(|tried| *tried != nonce && known(tried)).chain([nonce]).collect();
        self.slots.at_mut(index).order = order;
        self.slots.extra_mut(index).parked =
            Some(Box::new(Parked { missing: Arc::clone(missing), worker, tried }));
        self.make_available(index);
        self.regain_unique(index);
    }

    pub(crate) fn enter_parked(&mut self, index: u32) {
        let slot = self.slots.at(index);
        let (queue, order) = (slot.queue, slot.order);
        self.parked.insert(order, index);
        self.offer_parked_from(order);
        self.queue_mut(queue).parked += 1;
    }

    pub(super) fn leave_parked(&mut self, index: u32) {
        let slot = self.slots.at(index);
        let (queue, order) = (slot.queue, slot.order);
        self.parked.remove(&order);
        self.queue_mut(queue).parked -= 1;
    }

    /// The job is like any other of its lane again. It must be in no list.
    pub(super) fn unpark(&mut self, index: u32) {
        if let Some(extra) = self.slots.some_extra_mut(index) {
            extra.parked = None;
        }
    }
}
