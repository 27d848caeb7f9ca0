//! Connections: messages arrive in order and late, until a connection breaks, and then some of them never.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use lineshaft_engine::{ConnectionId, Handle, Outbox, Outgoing};
use lineshaft_wire::message::{Hello, Message, ProcessKey};

use super::{MILLISECOND, SECOND, Time};
use crate::disk::SimulatedDisk;

/// By how much what is on its way over a connection that breaks may be late.
const LATE_MAX: Time = 8 * SECOND;

/// Whose end of a connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Peer {
    /// A producer, by its place.
    Producer(usize),
    /// A program that takes locks, by its place.
    Locker(usize),
    /// A program that uses the cache, by its place.
    Cacher(usize),
    /// The supervisor of a worker, by the worker's nonce.
    Supervisor(u64),
    /// A child: nonce of its worker, and its number.
    Child(u64, u32),
}

/// What a program says first: it goes on with its session, if it has one.
pub(super) fn hello(session: Option<u64>) -> Message {
    let hello = Hello {
        protocol: (1, 1),
        version: "simulated".to_owned(),
        executable: String::new(),
        pid: 0,
        session,
        open_session: true,
        token: None,
        hand_over: false,
    };
    hello.into()
}

/// A message with what follows it.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) request_id: u64,
    pub(super) message: Message,
    pub(super) payload: Bytes,
}

/// Something that arrives.
pub(super) enum Arrival {
    AtServer {
        peer: Peer,
        connection: ConnectionId,
        frame: Frame,
    },
    At {
        peer: Peer,
        link: u64,
        frame: Frame,
    },
    /// The connection is no more, as this end learns.
    Lost {
        peer: Peer,
        link: u64,
    },
    /// The same at the server's, which may see that a process is dead too.
    LostAtServer {
        connection: ConnectionId,
        died: Option<ProcessKey>,
    },
}

/// Something that left the engine.
pub(super) struct Left {
    pub(super) link: u64,
    /// Syncs of its disk by then.
    pub(super) syncs: u64,
    pub(super) outgoing: Outgoing,
}

/// The engine's side of a connection.
pub(super) struct Wire {
    disk: SimulatedDisk,
    messages: Mutex<Vec<(u64, Outgoing)>>,
    closed: AtomicBool,
}

impl Outbox for Wire {
    fn deliver(&self, messages: Vec<Outgoing>) {
        let syncs = self.disk.syncs();
        let messages = messages.into_iter().map(|outgoing| (syncs, outgoing));
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).extend(messages);
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

pub(super) struct Link {
    pub(super) peer: Peer,
    pub(super) connection: ConnectionId,
    wire: Arc<Wire>,
    /// What was asked and not answered yet.
    pub(super) asked: BTreeMap<u64, Frame>,
    up: VecDeque<(Time, Frame)>,
    down: VecDeque<(Time, Frame)>,
    /// Nothing arrives before this.
    hangs_until: Time,
    /// It is broken: when its ends learn of it, unless they have.
    lost_at: Option<Time>,
    lost_at_server: Option<Time>,
    broken: bool,
    /// The server that it was to is dead; the next one has other connections with such numbers.
    is_of_the_dead: bool,
    died: Option<ProcessKey>,
}

/// Every connection.
#[derive(Default)]
pub(super) struct Network {
    links: BTreeMap<u64, Link>,
    opened: u64,
}

impl Network {
    pub(super) fn connect(&mut self, peer: Peer, engine: &Handle, disk: &SimulatedDisk) -> u64 {
        let wire =
            Arc::new(Wire { disk: disk.clone(), messages: Mutex::default(), closed: AtomicBool::new(false) });
        let connection = engine.connect(wire.clone());
        self.opened += 1;
        let link = Link {
            peer,
            connection,
            wire,
            asked: BTreeMap::new(),
            up: VecDeque::new(),
            down: VecDeque::new(),
            hangs_until: 0,
            lost_at: None,
            lost_at_server: None,
            broken: false,
            is_of_the_dead: false,
            died: None,
        };
        self.links.insert(self.opened, link);
        self.opened
    }

    /// Sends towards the server; into a broken connection this says nothing.
    pub(super) fn send(&mut self, link: u64, frame: Frame, now: Time, rng: &mut fastrand::Rng) {
        let Some(link) = self.links.get_mut(&link).filter(|link| !link.broken) else { return };
        if frame.request_id != 0 {
            link.asked.insert(frame.request_id, frame.clone());
        }
        let at = link.up.back().map_or(link.hangs_until, |(at, _)| *at).max(now + delay(rng));
        link.up.push_back((at, frame));
    }

    /// What left the engine since this was asked last.
    pub(super) fn take_left(&mut self) -> Vec<Left> {
        let mut left = Vec::new();
        for (number, link) in &self.links {
            let messages =
                std::mem::take(&mut *link.wire.messages.lock().unwrap_or_else(PoisonError::into_inner));
            left.extend(messages.into_iter().map(|(syncs, outgoing)| Left {
                link: *number,
                syncs,
                outgoing,
            }));
        }
        left
    }

    /// Sends away from the server.
    pub(super) fn deliver(&mut self, link: u64, frame: Frame, now: Time, rng: &mut fastrand::Rng) {
        let Some(link) = self.links.get_mut(&link).filter(|link| !link.broken) else { return };
        let at = link.down.back().map_or(link.hangs_until, |(at, _)| *at).max(now + delay(rng));
        link.down.push_back((at, frame));
    }

    /// A frame that its peer does not read before `until`.
    pub(super) fn put_back(&mut self, link: u64, frame: Frame, until: Time) {
        if let Some(link) = self.links.get_mut(&link) {
            link.down.push_front((until, frame));
        }
    }

    /// Whether the peer is there and will not connect again before it has what is sent over this connection.
    pub(super) fn is_newest(&self, number: u64) -> bool {
        let Some(link) = self.links.get(&number) else { return false };
        let later = self.links.range(number + 1..).any(|(_, other)| other.peer == link.peer);
        link.died.is_none() && !later
    }

    pub(super) fn link_mut(&mut self, link: u64) -> Option<&mut Link> {
        self.links.get_mut(&link)
    }

    /// When the next thing arrives; at the server nothing does before `reads_at`.
    pub(super) fn next_at(&self, reads_at: Time) -> Option<Time> {
        self.links.values().filter_map(|link| link.next_at(reads_at)).min()
    }

    /// One thing that has arrived by `now`.
    pub(super) fn arrived(&mut self, now: Time, reads_at: Time) -> Option<Arrival> {
        let has_some = |link: &Link| link.next_at(reads_at).is_some_and(|at| at <= now);
        let (number, link) = self.links.iter_mut().find(|(_, link)| has_some(link))?;
        let (number, peer, connection) = (*number, link.peer, link.connection);
        if reads_at <= now
            && let Some(frame) = pop_due(&mut link.up, now)
        {
            return Some(Arrival::AtServer { peer, connection, frame });
        }
        if let Some(frame) = pop_due(&mut link.down, now) {
            return Some(Arrival::At { peer, link: number, frame });
        }
        let arrival = if link.down.is_empty() && link.lost_at.take_if(|at| *at <= now).is_some() {
            Arrival::Lost { peer, link: number }
        } else {
            link.lost_at_server = None;
            Arrival::LostAtServer { connection, died: link.died }
        };
        if link.lost_at.is_none() && link.lost_at_server.is_none() {
            self.links.remove(&number);
        }
        Some(arrival)
    }

    /// Nothing gets through a connection before `until`, and then everything does.
    pub(super) fn hang(&mut self, link: u64, until: Time) {
        let Some(link) = self.links.get_mut(&link) else { return };
        link.hangs_until = until;
        link.up.iter_mut().chain(&mut link.down).for_each(|(at, _)| *at = (*at).max(until));
    }

    /// Breaks a connection: what is on its way arrives up to some message, and both ends learn of it later.
    pub(super) fn cut(&mut self, link: u64, noticed: Time, now: Time, rng: &mut fastrand::Rng) {
        let Some(link) = self.links.get_mut(&link).filter(|link| !link.broken) else { return };
        link.broken = true;
        link.up.truncate(rng.usize(..=link.up.len()));
        link.down.truncate(rng.usize(..=link.down.len()));
        // What was sent before may come in after what the peer sends over its next connection.
        let late = if rng.u32(..4) == 0 { rng.u64(..LATE_MAX) } else { 0 };
        link.up.iter_mut().for_each(|(at, _)| *at += late);
        let after = |queue: &VecDeque<(Time, Frame)>| queue.back().map_or(now, |(at, _)| *at);
        link.lost_at = Some(after(&link.down) + noticed);
        link.lost_at_server = Some(after(&link.up) + noticed / 2);
    }

    /// A peer's process is gone: the server learns of it when it has read what was sent.
    pub(super) fn peer_died(&mut self, peer: Peer, process: ProcessKey, now: Time) {
        for link in self.links.values_mut().filter(|link| link.peer == peer) {
            let after = link.up.back().map_or(now, |(at, _)| *at);
            (link.broken, link.died) = (true, Some(process));
            link.down.clear();
            link.lost_at = None;
            if !link.is_of_the_dead {
                link.lost_at_server.get_or_insert(after + MILLISECOND);
            }
        }
        self.links.retain(|_, link| !link.broken || link.lost_at.is_some() || link.lost_at_server.is_some());
    }

    /// The server is gone: what left it arrives up to some message.
    pub(super) fn server_died(&mut self, now: Time, rng: &mut fastrand::Rng) {
        for link in self.links.values_mut() {
            link.up.clear();
            link.lost_at_server = None;
            link.is_of_the_dead = true;
            if !link.broken {
                link.broken = true;
                link.down.truncate(rng.usize(..=link.down.len()));
                link.lost_at = Some(link.down.back().map_or(now, |(at, _)| *at) + MILLISECOND);
            }
        }
        self.links.retain(|_, link| link.lost_at.is_some());
    }

    /// The connections that are whole, and whose they are.
    pub(super) fn whole(&self) -> Vec<(u64, Peer)> {
        let whole = self.links.iter().filter(|(_, link)| !link.broken);
        whole.map(|(number, link)| (*number, link.peer)).collect()
    }
}

impl Link {
    fn next_at(&self, reads_at: Time) -> Option<Time> {
        let front = |queue: &VecDeque<(Time, Frame)>| queue.front().map(|(at, _)| *at);
        // What is on its way comes before the end.
        let up = front(&self.up).or(self.lost_at_server).map(|at| at.max(reads_at));
        let down = front(&self.down).or(self.lost_at);
        up.into_iter().chain(down).min()
    }
}

fn pop_due(queue: &mut VecDeque<(Time, Frame)>, now: Time) -> Option<Frame> {
    let is_due = queue.front().is_some_and(|(at, _)| *at <= now);
    if is_due { queue.pop_front().map(|(_, frame)| frame) } else { None }
}

/// Mostly little, now and then much.
fn delay(rng: &mut fastrand::Rng) -> Time {
    match rng.u32(..100) {
        0 => rng.u64(..3 * SECOND),
        1..=10 => rng.u64(..100 * MILLISECOND),
        _ => rng.u64(..MILLISECOND),
    }
}
