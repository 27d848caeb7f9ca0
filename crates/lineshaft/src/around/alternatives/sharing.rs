//! What processes of a home tell each other about implementations, over the engine's cache.
//!
//! Nothing here holds a call up: one thread of the process reads and writes for all functions, and where the engine does
//! not answer each process goes on with what it knows. Under which names what is kept is said in
//! `lineshaft_insight::choice::shared`.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_insight::Choice;
use lineshaft_insight::choice::shared::{
    INDEX, KEPT, Keys, LISTED_MAX, LOOK_EVERY, Learned, TAG, TELL_AFTER,
};
use lineshaft_wire::message::{LockKind, NewEntry};
use lineshaft_wire::value::{Value, typed};
use serde_bytes::ByteBuf;

use super::super::clock::now_ms;
use super::Alternatives;
use super::class::{Class, UNKNOWN, digest};
use crate::client::LockRequest;
use crate::{Client, Error};

/// What the thread is asked to do and has not begun. What finds no room is asked for again later, but for pins: they always
/// find some, and are no more than there are classes.
const ASKED_MAX: usize = 10_000;
static ASKED: AtomicUsize = AtomicUsize::new(0);
/// How long it waits for the engine each time.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a pin waits to be written again that could not be; twice as long each time, up to the other.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long others wait for one that was killed while it had the lock of the lists.
const LOCK_TTL: Duration = Duration::from_secs(10);
/// Before an encoded value in the cache: that it is one, and no error.
const VALUE: u8 = 0;

/// The choices of one function in the cache of a home.
pub(super) struct Sharing {
    client: Client,
    keys: Keys,
    tempo: Tempo,
}

/// How often others are heard and told.
#[derive(Clone, Copy)]
pub(super) struct Tempo {
    pub(super) look_every: Duration,
    pub(super) tell_after: Duration,
}

impl Tempo {
    pub(super) const USUAL: Self = Self { look_every: LOOK_EVERY, tell_after: TELL_AFTER };
}

/// What the thread does about a class of a function.
struct Errand {
    of: &'static Alternatives,
    class: Arc<Class>,
    what: What,
    due: Instant,
}

enum What {
    /// Looks whether others know more.
    Look,
    /// Tells what is known.
    Tell,
    /// Tells who was wrong, until that is done; with how long it waits if it cannot be.
    Pin { pause: Duration },
}

impl Sharing {
    pub(super) fn new(client: Client, name: &str, names: &[String], tempo: Tempo) -> Self {
        let names = names.iter().map(|name| Value::Str(name.as_str().into()));
        let keys = Keys::new(name, &digest(Value::List(names.collect())));
        Self { client, keys, tempo }
    }

    /// Looks whether others know more, once in a while.
    #[inline]
    pub(super) fn look(&self, of: &'static Alternatives, class: &Arc<Class>) {
        let (now_ms, look_ms) = (now_ms(), class.look_ms.load(Relaxed));
        if now_ms >= look_ms {
            let next_ms = now_ms + self.tempo.look_every.as_millis() as u64;
            if class.look_ms.compare_exchange(look_ms, next_ms, Relaxed, Relaxed).is_ok()
                && !ask(of, class, What::Look, Duration::ZERO)
            {
                class.look_ms.store(0, Relaxed);
            }
        }
    }

    /// Tells others soon.
    pub(super) fn changed(&self, of: &'static Alternatives, class: &Arc<Class>) {
        if !class.is_waiting.swap(true, Relaxed) && !ask(of, class, What::Tell, self.tempo.tell_after) {
            class.is_waiting.store(false, Relaxed);
        }
    }

    /// Tells others at once who was wrong: the first that was, if several are.
    pub(super) fn pinned(of: &'static Alternatives, class: &Arc<Class>, wrong: &str) {
        class.wrong.get_or_init(|| wrong.into());
        if class.is_pin_waiting.swap(true, Relaxed) {
            return;
        }
        if !ask(of, class, What::Pin { pause: PAUSE }, Duration::ZERO) {
            class.is_pin_waiting.store(false, Relaxed);
        }
    }

    // ---- On the thread.

    fn read(&self, of: &'static Alternatives, class: &Arc<Class>) -> Result<(), Error> {
        let digest = class.digest();
        let keys = vec![self.keys.pin(&digest).into(), self.keys.choice(&digest).into()];
        let mut values = self.values(keys)?.into_iter();
        let (pin, choice) = (values.next().flatten(), values.next().flatten());
        let count = of.names.len();
        let theirs = if pin.is_some() {
            let mut pinned = Choice::new(count);
            pinned.pin();
            Some(pinned)
        } else {
            let bytes = choice.and_then(|choice| typed::from_payload::<ByteBuf>(&choice).ok());
            // What another version wrote is passed over.
            bytes.and_then(|bytes| Choice::from_bytes(&bytes, count).ok())
        };
        // The first look tells nothing, and what is known already stays.
        let their_runs = theirs.as_ref().map_or_else(|| class.choice().runs(), Choice::runs);
        let _ = class.told_runs.compare_exchange(UNKNOWN, their_runs, Relaxed, Relaxed);
        let learned = theirs.map(|theirs| class.choice().learn(&theirs));
        // Older versions of Python wrote no name.
        let wrong = pin.as_ref().and_then(|pin| typed::from_payload::<String>(pin).ok());
        if learned == Some(Learned::Pinned) {
            of.heard_of_pin(class, wrong.as_deref().unwrap_or("one of the others"));
        }
        match (wrong, class.wrong.get()) {
            (Some(wrong), None) => _ = class.wrong.set(wrong.into()),
            // It went, for room.
            (None, Some(wrong)) if pin.is_none() => Self::pinned(of, class, wrong),
            _ => (),
        }
        if class.choice().has_grown(class.told_runs.load(Relaxed)) {
            self.changed(of, class);
        }
        Ok(())
    }

    fn write(&self, of: &Alternatives, class: &Class) -> Result<(), Error> {
        let (digest, choice) = (class.digest(), class.choice().clone());
        // What cannot be told is told at the next look.
        class.told_runs.store(0, Relaxed);
        self.store(&self.keys.choice(&digest), &serde_bytes::Bytes::new(&choice.to_bytes()))?;
        self.list(of, &digest, &class.shown())?;
        class.told_runs.store(choice.runs(), Relaxed);
        Ok(())
    }

    fn write_pin(&self, class: &Class, wrong: &str) -> Result<(), Error> {
        self.store(&self.keys.pin(&class.digest()), wrong)
    }

    /// Has it found by those who ask what there is.
    fn list(&self, of: &Alternatives, digest: &str, shown: &str) -> Result<(), Error> {
        let text = |text: &str| Value::Str(text.into());
        let names = of.names.iter().map(|name| text(name)).collect();
        let function = Value::List(vec![text(self.keys.name()), Value::List(names)]);
        let entries = [
            (INDEX, text(self.keys.classes()), function),
            (self.keys.classes(), text(digest), text(&Keys::shown(shown))),
        ];
        let mut is_listed = true;
        for (key, name, _) in &entries {
            is_listed &= self.listed(key)?.iter().any(|(known, _)| known == name);
        }
        if is_listed {
            return Ok(());
        }
        let mut lock = self.client.raw().acquire(LockRequest {
            kind: LockKind::Mutex,
            key: format!("cache:{INDEX}").into(),
            permits: 1,
            party: fastrand::u64(1..u64::MAX),
            ttl: LOCK_TTL,
            wait: true,
            program: crate::face::program(),
        });
        // If others have it for longer, or nobody answers, it is given up, and the next one to tell lists it.
        let timeout = Error::Timeout { request: "Acquire", after: PATIENCE };
        let hold = lock.wait_timeout(PATIENCE).unwrap_or(Err(timeout))?;
        for (key, name, value) in entries {
            let mut listed = self.listed(key)?;
            if listed.len() < LISTED_MAX && !listed.iter().any(|(known, _)| *known == name) {
                listed.push((name, value));
                self.store(key, &Value::Dict(listed))?;
            }
        }
        if let Some(hold) = hold {
            hold.release().wait()?;
        }
        Ok(())
    }

    fn listed(&self, key: &str) -> Result<Vec<(Value, Value)>, Error> {
        let found = self.values(vec![key.into()])?.pop().flatten();
        Ok(match found.and_then(|found| typed::from_payload(&found).ok()) {
            Some(Value::Dict(entries)) => entries,
            _ => Vec::new(),
        })
    }

    /// The values of keys, as payloads.
    fn values(&self, keys: Vec<Arc<str>>) -> Result<Vec<Option<Bytes>>, Error> {
        let found = self.client.raw().cache_get(keys, false, Some(PATIENCE)).wait()?;
        let value = |(payload, is_stale): (Bytes, bool)| {
            (!is_stale && payload.first() == Some(&VALUE)).then(|| payload.slice(1..))
        };
        Ok(found.values.into_iter().map(|found| found.and_then(value)).collect())
    }

    fn store<T: serde::Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), Error> {
        let value =
            typed::to_payload(value).map_err(|source| Error::CacheValue { key: key.into(), source })?;
        let payload = Bytes::from([&[VALUE], &*value].concat());
        let entry = NewEntry {
            key: key.into(),
            length: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            idle_ms: Some(KEPT.as_millis() as u64),
            tags: vec![TAG.into()],
            ..NewEntry::default()
        };
        self.client.raw().cache_set(vec![entry], vec![payload], Some(PATIENCE)).wait().map(drop)
    }
}

/// Asks the thread, which is started if there is none; whether it had room for that.
fn ask(of: &'static Alternatives, class: &Arc<Class>, what: What, after: Duration) -> bool {
    static THREAD: OnceLock<Option<Sender<Errand>>> = OnceLock::new();
    let thread = THREAD.get_or_init(|| {
        let (sender, asked) = channel();
        let named = thread::Builder::new().name("lineshaft-alternatives".into());
        named.spawn(move || run(&asked)).ok().map(|_| sender)
    });
    if !what.is_pin() && ASKED.load(Relaxed) >= ASKED_MAX {
        return false;
    }
    let errand = Errand { of, class: Arc::clone(class), what, due: Instant::now() + after };
    ASKED.fetch_add(1, Relaxed);
    let is_asked = thread.as_ref().is_some_and(|thread| thread.send(errand).is_ok());
    if !is_asked {
        ASKED.fetch_sub(1, Relaxed);
    }
    is_asked
}

/// Does what is asked for when it is due, pins first, for ever: the functions that ask live as long as the process.
fn run(asked: &Receiver<Errand>) {
    let mut waiting: Vec<Errand> = Vec::new();
    loop {
        let next = waiting.iter().map(|errand| errand.due).min();
        let more = match next {
            Some(next) => asked.recv_timeout(next.saturating_duration_since(Instant::now())),
            None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match more {
            Ok(errand) => waiting.push(errand),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        waiting.extend(asked.try_iter());
        if let Some(place) = next_due(&waiting, Instant::now()) {
            let errand = waiting.swap_remove(place);
            ASKED.fetch_sub(1, Relaxed);
            if let Some(later) = errand.done() {
                ASKED.fetch_add(1, Relaxed);
                waiting.push(later);
            }
        }
    }
}

/// Which of those that wait is done next, if one is due.
fn next_due(waiting: &[Errand], now: Instant) -> Option<usize> {
    let is_due = |errand: &&Errand| errand.due <= now;
    let pin = waiting.iter().position(|errand| is_due(&errand) && errand.what.is_pin());
    pin.or_else(|| waiting.iter().position(|errand| is_due(&errand)))
}

impl What {
    fn is_pin(&self) -> bool {
        matches!(self, Self::Pin { .. })
    }
}

impl Errand {
    /// Does it; gives what is left to do later.
    fn done(self) -> Option<Self> {
        let Self { of, class, what, .. } = self;
        let sharing = of.sharing.get()?;
        match what {
            What::Look => say(of, "read", sharing.read(of, &class)),
            What::Tell => {
                // What changes from now on is told by the next one.
                class.is_waiting.store(false, Relaxed);
                say(of, "written", sharing.write(of, &class));
            }
            What::Pin { pause } => {
                let wrong = class.wrong.get().map_or("", |wrong| wrong);
                let Err(error) = sharing.write_pin(&class, wrong) else {
                    class.is_pin_waiting.store(false, Relaxed);
                    return None;
                };
                if pause == PAUSE {
                    tracing::error!(
                        "{}: others could not be told that {} is wrong; it is tried again until it can be: {error}",
                        of.name,
                        wrong
                    );
                }
                let (due, pause) = (Instant::now() + pause, (pause * 2).min(PAUSE_MAX));
                return Some(Self { of, class, what: What::Pin { pause }, due });
            }
        }
        None
    }
}

fn say(of: &Alternatives, what: &str, result: Result<(), Error>) {
    if let Err(error) = result {
        tracing::debug!("{}: what is known of its implementations could not be {what}: {error}", of.name);
    }
}
