//! `#[alternatives]`: several implementations of a function, of which the fastest does the work.
//!
//! The rules are those of `lineshaft-insight`. A call asks for the class of its arguments (`class.rs`), goes its way
//! (`call.rs`), and what it learns is told to other processes by a thread (`sharing.rs`).

mod call;
mod class;
mod sharing;
mod sizes;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use lineshaft_insight::choice::shared::{BAN, CLASSES_MAX};
use lineshaft_insight::choice::text;
use lineshaft_insight::{Event, Outline, Pick};
use rustc_hash::FxBuildHasher;
use serde::Serialize;

use class::{Class, others, with_encoded};
use sharing::Sharing;

use call::Call;
pub use call::{compared, error_type, is_same, no_error, twice};
pub use lineshaft_insight::Standing;
pub use sizes::{Alike, Argument, BySize, Measured};

/// What is known of the implementations of a function: what `common_alternatives()` gives for a function `common` with
/// `#[lineshaft::alternatives]`.
///
/// ```
/// fn by_sort(numbers: &[u64]) -> Option<u64> {
///     let mut sorted = numbers.to_vec();
///     sorted.sort_unstable();
///     sorted.last().copied()
/// }
///
/// #[lineshaft::alternatives(by_sort)]
/// fn largest(numbers: &[u64]) -> Option<u64> {
///     numbers.iter().copied().max()
/// }
///
/// let many: Vec<u64> = (0..10_000).rev().collect();
/// for _ in 0..20 {
///     assert_eq!(largest(&many), Some(9_999));
/// }
/// let known = largest_alternatives().implementations();
/// let names: Vec<&str> = known["(14,)"].iter().map(|one| &*one.name).collect();
/// assert_eq!(names, ["largest", "by_sort"]);
/// println!("{}", largest_alternatives().explain());
/// ```
pub struct Alternatives {
    name: String,
    names: Vec<String>,
    verify: f64,
    has_classes: bool,
    classes: RwLock<HashMap<Box<[u8]>, Arc<Class>, FxBuildHasher>>,
    sharing: OnceLock<Sharing>,
}

/// How one implementation stands for one class of arguments.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Implementation {
    /// The name of its function.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
    /// How often it was called.
    pub calls: u64,
    /// The median of its last calls up to 32, and between which two times that lies with a chance of 95 %; `None` if there
    /// are none.
    pub median: Option<(Duration, Duration, Duration)>,
}

impl Alternatives {
    /// Of the function `name`, of which `names` are the implementations, the first one before the others; of the calls of
    /// others the part `verify` is compared.
    #[doc(hidden)]
    pub fn new(name: String, names: &[&str], verify: f64, has_classes: bool) -> Self {
        let (classes, sharing) = (RwLock::default(), OnceLock::new());
        Self { name, names: told_apart(names), verify, has_classes, classes, sharing }
    }

    /// The name under which others know the function: its path, or what the option `name` says.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How they stand, by class of arguments as text, in the order in which they were given. Classes read as they do in
    /// Python: `(7,)`, `True`, `None` where there is one alone.
    pub fn implementations(&self) -> BTreeMap<String, Vec<Implementation>> {
        let rows = |class: &Arc<Class>| {
            let outlines = class.choice().outlines();
            self.names
                .iter()
                .zip(outlines)
                .map(|(name, outline)| Implementation::new(name, &outline))
                .collect()
        };
        self.known().iter().map(|class| (class.shown(), rows(class))).collect()
    }

    /// The same for people.
    pub fn explain(&self) -> String {
        let known = self.known();
        if known.is_empty() {
            return format!("{}: not called yet", self.name);
        }
        let lines = |class: &Arc<Class>| {
            let shown = self.has_classes.then(|| class.shown());
            let choice = class.choice().clone();
            text::lines(&self.name, shown.as_deref(), &self.names, &choice)
        };
        known.iter().flat_map(lines).collect::<Vec<_>>().join("\n")
    }

    /// Has processes of the client's home learn together, beyond the ends of all of them: those in Rust and in Python that
    /// know the function by the same [`name`](Self::name), with implementations of the same names.
    ///
    /// What one has learned is in the engine's cache a second later, and others look there when they meet a class of
    /// arguments and every minute. No call waits for that, and where the engine does not answer each process learns by
    /// itself. The first client stays; another one changes nothing.
    pub fn share(&'static self, client: &crate::Client) {
        self.share_every(client, sharing::Tempo::USUAL);
    }

    /// As [`Self::share`], for those who cannot wait for a minute.
    #[doc(hidden)]
    pub fn share_often(&'static self, client: &crate::Client, look_every: Duration, tell_after: Duration) {
        self.share_every(client, sharing::Tempo { look_every, tell_after });
    }

    fn share_every(&'static self, client: &crate::Client, tempo: sharing::Tempo) {
        self.sharing.get_or_init(|| Sharing::new(client.clone(), &self.name, &self.names, tempo));
    }

    /// A call begins, with arguments of a class.
    #[doc(hidden)]
    pub fn begin(&'static self, class: &impl Serialize) -> Call {
        let class = with_encoded(class, |encoded| self.class(encoded));
        if let Some(sharing) = self.sharing.get() {
            sharing.look(self, &class);
        }
        Call::begin(self, class)
    }

    fn class(&self, encoded: &[u8]) -> Arc<Class> {
        let classes = self.classes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(class) = classes.get(encoded) {
            return Arc::clone(class);
        }
        drop(classes);
        self.new_class(encoded)
    }

    #[cold]
    fn new_class(&self, encoded: &[u8]) -> Arc<Class> {
        let mut classes = self.classes.write().unwrap_or_else(PoisonError::into_inner);
        let key = if classes.len() < CLASSES_MAX || classes.contains_key(encoded) {
            encoded.into()
        } else {
            others().into_boxed_slice()
        };
        let class = classes.entry(key);
        let class = class.or_insert_with_key(|key| Arc::new(Class::new(key, self.names.len())));
        Arc::clone(class)
    }

    fn known(&self) -> Vec<Arc<Class>> {
        let classes = self.classes.read().unwrap_or_else(PoisonError::into_inner);
        classes.values().map(Arc::clone).collect()
    }

    // ---- What is found out.

    /// An implementation took so long.
    fn ran(&'static self, class: &Arc<Class>, pick: Pick, took: Duration) {
        let event = class.choice().ran(pick, took.as_secs_f64());
        match event {
            None => return,
            Some(Event::Chosen(_)) => (),
            Some(Event::Slower(number)) => self.changed(class, number, "slower"),
            Some(Event::Faster(number)) => self.changed(class, number, "faster"),
        }
        self.tell(class);
    }

    #[cold]
    fn changed(&self, class: &Class, number: usize, how: &str) {
        let (name, one, class) = (&self.name, &self.names[number], class.shown());
        tracing::info!(
            "{name}: {one} has become {how} for arguments of class {class}; all are compared again"
        );
    }

    /// An implementation gave an error where the first one did not, or panicked.
    #[cold]
    fn failed(&'static self, class: &Arc<Class>, number: usize, how: &str) {
        class.choice().ban(number, now_ms() + BAN.as_millis() as u64);
        let (name, one, shown) = (&self.name, &self.names[number], class.shown());
        tracing::warn!("{name}: {one} {how}; it is left out for an hour for arguments of class {shown}");
        self.tell(class);
    }

    /// An implementation gave something else than the first one.
    #[cold]
    fn differed(&'static self, class: &Arc<Class>, number: usize) {
        class.choice().pin();
        let (name, one, first, shown) = (&self.name, &self.names[number], &self.names[0], class.shown());
        tracing::error!(
            "{name}: {one} gave another result than {first} for arguments of class {shown}; from now on {first} does the \
             work there"
        );
        if self.sharing.get().is_some() {
            Sharing::pinned(self, class, &self.names[number]);
        }
        self.tell(class);
    }

    /// Another process was given another result.
    #[cold]
    fn heard_of_pin(&self, class: &Class, wrong: &str) {
        let (name, first, shown) = (&self.name, &self.names[0], class.shown());
        tracing::warn!(
            "{name}: another process was given another result by {wrong} than by {first} for arguments of class {shown}; \
             from now on {first} does the work there"
        );
    }

    fn tell(&'static self, class: &Arc<Class>) {
        if let Some(sharing) = self.sharing.get() {
            sharing.changed(self, class);
        }
    }
}

impl fmt::Debug for Alternatives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alternatives")
            .field("name", &self.name)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Implementation {
    fn new(name: &str, outline: &Outline) -> Self {
        let duration = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let median =
            outline.median_s.map(|(median, low, high)| (duration(median), duration(low), duration(high)));
        Self { name: name.to_owned(), standing: outline.standing, calls: outline.runs, median }
    }
}

/// The same names, with numbers where there are several of one.
fn told_apart(names: &[&str]) -> Vec<String> {
    let is_alone = |name: &str| names.iter().filter(|other| **other == name).count() == 1;
    let name = |(number, name): (usize, &&str)| {
        if is_alone(name) { (*name).to_owned() } else { format!("{name}[{number}]") }
    };
    names.iter().enumerate().map(name).collect()
}

/// The clock of bans, which other processes have too. On Linux as of the last tick: three times as fast to read.
fn now_ms() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::RealtimeCoarse;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Realtime;
    let time = clock_gettime(CLOCK);
    time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000
}
