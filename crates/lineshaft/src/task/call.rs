//! A task with its arguments, and how the job shall be run.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lineshaft_wire::message::{JobGroup, PROFILE_TAG, Rules, RunAfter};
use lineshaft_wire::task;
use lineshaft_wire::value::typed::CallWriter;
use serde::Serialize;

use super::rules::{Defaults, milliseconds};
use super::{Context, Handler, Task, Unique, spare, unique};
use crate::Error;
use crate::duration::{DURATION_FORMS, DURATION_MAX};

/// How long results are kept, and so the longest that they may be cached.
pub(super) const CACHE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Most retries of a job.
const RETRIES_MAX: u32 = 9_999;

/// A complete call of a task that gives an `R`: what a [`Client`](crate::Client) enqueues, and a [`Pool`](crate::Pool) does
/// at once.
///
/// Made by `resize::call(…)` for a task of this program, and by [`Call::new`] for one that is declared elsewhere, in
/// Python say. Options override those of the task; what is wrong with them, or with an argument, is said by `enqueue`.
#[must_use = "a call does nothing until a client enqueues it"]
pub struct Call<R> {
    callee: Callee,
    /// Where they are not those of the task.
    options: Option<Box<Options>>,
    arguments: Result<Box<CallWriter>, Box<Error>>,
    result: PhantomData<fn() -> R>,
}

enum Callee {
    /// A task of this program.
    Declared(&'static Task),
    Named(Arc<str>),
}

/// How the job shall be run.
struct Options {
    group: JobGroup,
    rules: Rules,
    unique: Option<Unique>,
    cache: Option<Duration>,
    profile: bool,
    context: serde_json::Map<String, serde_json::Value>,
}

/// A call ready to be sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) group: JobGroup,
    pub(crate) arguments: Bytes,
}

/// A call for another process of this program.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) task: Name,
    pub(crate) version: u32,
    /// Whoever has copied them [gives it back](spare::give_call_back).
    pub(crate) arguments: Box<CallWriter>,
}

/// The name of a task.
#[derive(Clone, Debug)]
pub(crate) enum Name {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Static(name) => name,
            Self::Shared(name) => name,
        }
    }
}

impl Callee {
    fn name(&self) -> Name {
        match self {
            Self::Declared(task) => Name::Static(task.name()),
            Self::Named(name) => Name::Shared(Arc::clone(name)),
        }
    }

    /// The names of the task's parameters, where they are known.
    fn parameters(&self) -> &'static [&'static str] {
        match self {
            Self::Declared(task) => task.parameters,
            Self::Named(_) => &[],
        }
    }

    fn defaults(&self) -> &'static Defaults {
        match self {
            Self::Declared(task) => task.defaults,
            Self::Named(_) => &Defaults::DEFAULT,
        }
    }

    /// The options of a call that names none.
    fn options(&self) -> Options {
        let defaults = self.defaults();
        let within = |duration: Option<Duration>| duration.map(|it| RunAfter::In(milliseconds(it)));
        let task = match self {
            Self::Declared(task) => task.name().into(),
            Self::Named(name) => Arc::clone(name),
        };
        let group = JobGroup {
            queue: defaults.queue.into(),
            priority: defaults.priority,
            expires: within(defaults.expires),
            deadline: within(defaults.deadline),
            tags: defaults.tags.iter().map(|tag| Arc::from(*tag)).collect(),
            ..JobGroup::new(task, Vec::new())
        };
        let unique = defaults.unique.map(Unique::from);
        Options {
            group,
            rules: defaults.rules(),
            unique,
            cache: defaults.cache,
            profile: false,
            context: serde_json::Map::new(),
        }
    }
}

impl<R> Call<R> {
    /// A call of the task named `task`, wherever it is declared, without arguments. `R` has to be what it gives:
    ///
    /// ```
    /// use lineshaft::Call;
    ///
    /// let call = Call::<i64>::new("shop.add").arg(&2).keyword("b", &3).queue("sums");
    /// ```
    pub fn new(task: &str) -> Self {
        Self::of_callee(Callee::Named(task.into()))
    }

    /// A call of a declared task, without arguments.
    #[doc(hidden)]
    pub fn of(task: &'static Task) -> Self {
        Self::of_callee(Callee::Declared(task))
    }

    fn of_callee(callee: Callee) -> Self {
        let arguments = spare::call(callee.defaults().version);
        let arguments = arguments.map_err(|error| Error::unencodable(&callee.name(), error).into());
        Self { callee, options: None, arguments, result: PhantomData }
    }

    fn options(&mut self) -> &mut Options {
        self.options.get_or_insert_with(|| Box::new(self.callee.options()))
    }

    /// The next argument by position. None may follow one by name.
    pub fn arg<T: Serialize + ?Sized>(self, value: &T) -> Self {
        self.write(|call| call.positional(None, value))
    }

    /// The next argument by position, which errors call by its parameter's name.
    #[doc(hidden)]
    pub fn named_arg<T: Serialize>(self, name: &str, value: &T) -> Self {
        self.write(|call| call.positional(Some(name), value))
    }

    /// An argument by name.
    pub fn keyword<T: Serialize + ?Sized>(self, name: &str, value: &T) -> Self {
        self.write(|call| call.keyword(name, value))
    }

    /// The queue it waits in.
    pub fn queue(mut self, queue: &str) -> Self {
        self.options().group.queue = queue.into();
        self
    }

    /// 1 (first) to 9; 5 is the default.
    pub fn priority(mut self, priority: u8) -> Self {
        self.options().group.priority = priority;
        self.check((1..=9).contains(&priority), "priority", priority, ("a priority", "1 (first) to 9"))
    }

    /// Not before so much time has passed, on the server's clock.
    pub fn run_after(mut self, delay: Duration) -> Self {
        self.options().group.run_after = Some(RunAfter::In(milliseconds(delay)));
        self.check_duration("run_after", delay)
    }

    /// Not before this moment.
    pub fn run_at(mut self, moment: SystemTime) -> Self {
        self.options().group.run_after = Some(at(moment));
        self
    }

    /// It is discarded if it has not begun within this time.
    pub fn expires(mut self, within: Duration) -> Self {
        self.options().group.expires = Some(RunAfter::In(milliseconds(within)));
        self.check_duration("expires", within)
    }

    /// It is discarded if it has not begun by this moment.
    pub fn expires_at(mut self, moment: SystemTime) -> Self {
        self.options().group.expires = Some(at(moment));
        self
    }

    /// It is discarded, and a running attempt stopped, if it has not ended within this time, retries included.
    pub fn deadline(mut self, within: Duration) -> Self {
        self.options().group.deadline = Some(RunAfter::In(milliseconds(within)));
        self.check_duration("deadline", within)
    }

    /// It is discarded, and a running attempt stopped, if it has not ended by this moment, retries included.
    pub fn deadline_at(mut self, moment: SystemTime) -> Self {
        self.options().group.deadline = Some(at(moment));
        self
    }

    /// How often it is tried again after an error or a timeout; 0 to 9,999.
    pub fn retries(mut self, retries: u32) -> Self {
        self.options().rules.max_attempts = retries.saturating_add(1);
        let accepted = ("a number of retries", "0 to 9,999");
        self.check(retries <= RETRIES_MAX, "retries", retries, accepted)
    }

    /// Tries again after errors of these types only, and after timeouts. A type of Rust is called `shop.Bounced` for
    /// `shop::Bounced`, a class of Python `shop.Bounced` or `builtins.ValueError`, a panic `panic`.
    pub fn retry_on<'c>(mut self, classes: impl IntoIterator<Item = &'c str>) -> Self {
        self.options().rules.retry_on = classes.into_iter().map(str::to_owned).collect();
        self
    }

    /// Never tries again after errors of these types, named as in [`Call::retry_on`].
    pub fn retry_never<'c>(mut self, classes: impl IntoIterator<Item = &'c str>) -> Self {
        self.options().rules.retry_never = classes.into_iter().map(str::to_owned).collect();
        self
    }

    /// How long to wait before the first retry and at most before a later one: 1 s and 10 min. Doubles in between, and
    /// each wait is drawn between zero and that.
    pub fn backoff(mut self, first: Duration, cap: Duration) -> Self {
        self.options().rules.backoff_first_ms = milliseconds(first);
        self.options().rules.backoff_max_ms = milliseconds(cap);
        let accepted = ("a first wait below the longest one", "the first wait, then the longest one");
        self.check(first <= cap, "backoff", format_args!("{} s", first.as_secs_f64()), accepted)
            .check_duration("backoff", cap)
    }

    /// How long an attempt may take; 1 h is the default, `None` is no limit.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        let timeout = timeout.into();
        self.options().rules.timeout_ms = timeout.map(|timeout| milliseconds(timeout).max(1));
        self.check_duration("timeout", timeout.unwrap_or_default())
    }

    /// Never run twice, rather lost: `delivery = "at_most_once"`. False is the other delivery, at least once.
    pub fn at_most_once(mut self, at_most_once: bool) -> Self {
        self.options().rules.at_most_once = at_most_once;
        self
    }

    /// Whether the result is kept, for 24 hours; it is, unless the task says otherwise.
    pub fn keep_result(mut self, keep: bool) -> Self {
        self.options().rules.keep_result = keep;
        self
    }

    /// The task that gets the job if it ends `discarded`, in place of what the task says; `None` is none. The handler and
    /// the end are one commit.
    ///
    /// ```
    /// use lineshaft::task::Handler;
    /// use lineshaft::{Call, Job};
    ///
    /// #[lineshaft::task]
    /// async fn tell_owner(job: Job) {}
    ///
    /// let call = Call::<()>::new("shop.report").on_failure(tell_owner::handler());
    /// let call = call.on_failure(Handler::named("alarms.tell_owner"));
    /// let call = call.on_failure(None);
    /// ```
    pub fn on_failure<'n>(mut self, handler: impl Into<Option<Handler<'n>>>) -> Self {
        self.options().rules.on_failure = handler.into().map(Handler::message);
        self
    }

    /// At most one such job: `enqueue` answers with the one that is there. In place of what the task says; `None` is
    /// none of it.
    pub fn unique(mut self, unique: impl Into<Option<Unique>>) -> Self {
        self.options().unique = unique.into();
        self
    }

    /// For how long after the end of the completed job an equal call is answered with it, at most 24 hours; until then it
    /// joins the job. `None` makes a job whatever is there, which takes the place of that if the task caches its results.
    pub fn cache(mut self, cache: impl Into<Option<Duration>>) -> Self {
        let (cache, options) = (cache.into(), self.options());
        options.group.anew = cache.is_none() && options.cache.is_some();
        options.cache = cache.or(options.cache);
        let longest = cache.unwrap_or_default();
        let accepted = ("a time for which results are kept", "at most 24 h");
        self.check(longest <= CACHE_MAX, "cache", format_args!("{} s", longest.as_secs_f64()), accepted)
    }

    /// For 24 hours the same key gives the same job, so that whoever repeats a request makes no second one.
    pub fn idempotency_key(mut self, key: &str) -> Self {
        self.options().group.idempotency_key = Some(key.into());
        self
    }

    /// Labels to find it by, in place of the task's; at most 16.
    pub fn tags<'t>(mut self, tags: impl IntoIterator<Item = &'t str>) -> Self {
        self.options().group.tags = tags.into_iter().map(Arc::from).collect();
        self
    }

    /// Whether its attempts are profiled: where their time goes is kept with what they log, for
    /// [`Job::profile`](crate::Job::profile) and the command line. The job has one tag more for it, of at most 16.
    pub fn profile(mut self, profile: bool) -> Self {
        self.options().profile = profile;
        self
    }

    /// Free text for people and programs, JSON by convention; at most 4 KiB.
    pub fn metadata(mut self, text: &str) -> Self {
        self.options().group.metadata = Some(text.into());
        self
    }

    /// A field of all that its attempts log, and of the jobs that these make: `.context("request", "r-17")`. What is enqueued
    /// by the body of a task has the fields of its own job already. At most 4 KiB of JSON, all of them together; what is
    /// secret in them is not hidden.
    pub fn context(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.options().context.insert(name.to_owned(), value.into());
        self
    }

    /// The name of the task.
    pub fn task(&self) -> &str {
        match &self.callee {
            Callee::Declared(task) => task.name(),
            Callee::Named(name) => name,
        }
    }

    /// The call as a process of a pool is given it: of its options nothing is left.
    pub(crate) fn prepare_local(self) -> Result<Local, Box<Error>> {
        let (task, version) = (self.callee.name(), self.callee.defaults().version);
        Ok(Local { arguments: self.arguments?, task, version })
    }

    /// The key under which results of equal calls are cached.
    pub(crate) fn cached_key(self) -> Result<Arc<str>, Error> {
        let Self { callee, arguments, .. } = self;
        let (name, version) = (callee.name(), callee.defaults().version);
        let arguments = arguments.map_err(|error| *error)?.finish();
        let arguments = arguments.map_err(|error| Error::unencodable(&name, error))?;
        let unique = unique::cached((&name, version), callee.parameters(), &arguments, Duration::ZERO);
        Ok(unique.map_err(|why| Error::bad_request(format!("call of {}: {why}", &*name)))?.key)
    }

    /// The call as it is sent.
    pub(crate) fn prepare(self) -> Result<Prepared, Error> {
        let Self { callee, options, arguments, .. } = self;
        let options = options.map_or_else(|| callee.options(), |options| *options);
        let (Options { mut group, rules, unique, cache, profile, context }, version) =
            (options, callee.defaults().version);
        if profile && !group.tags.iter().any(|tag| **tag == *PROFILE_TAG) {
            group.tags.push(PROFILE_TAG.into());
        }
        group.context = context_of(context);
        let arguments = arguments
            .map_err(|error| *error)?
            .finish()
            .map_err(|error| Error::unencodable(&group.task, error))?;
        let wrong = |option: &str, why: &str| {
            Error::bad_request(format!("call of {}: `{option}`: {why}", &*callee.name()))
        };
        let parameters = callee.parameters();
        group.unique = match (unique, cache) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                return Err(wrong("cache", "it keeps equal jobs out too: give no `unique`"));
            }
            (Some(unique), None) => {
                let key = unique.of_call(&group.task, parameters, &arguments);
                Some(key.map_err(|why| wrong("unique", &why))?)
            }
            (None, Some(_)) if !rules.keep_result => return Err(wrong("cache", "no result is kept")),
            (None, Some(period)) => {
                let key = unique::cached((&group.task, version), parameters, &arguments, period);
                Some(key.map_err(|why| wrong("cache", &why))?)
            }
        };
        group.task = task::versioned(&group.task, version);
        group.rules = Arc::new(rules);
        group.lengths.push(arguments.len() as u32);
        Ok(Prepared { group, arguments: arguments.into() })
    }

    fn write(
        mut self,
        write: impl FnOnce(&mut CallWriter) -> Result<(), lineshaft_wire::value::typed::Error>,
    ) -> Self {
        if let Ok(call) = &mut self.arguments
            && let Err(error) = write(call)
        {
            self.arguments = Err(Error::unencodable(self.task(), error).into());
        }
        self
    }

    fn check_duration(self, option: &str, duration: Duration) -> Self {
        let accepted = ("within ten years", DURATION_FORMS);
        let is_good = duration <= DURATION_MAX;
        self.check(is_good, option, format_args!("{} s", duration.as_secs()), accepted)
    }

    /// Notes a value that an option does not take.
    fn check(
        mut self,
        is_good: bool,
        option: &str,
        value: impl fmt::Display,
        (kind, accepted): (&'static str, &'static str),
    ) -> Self {
        if !is_good && self.arguments.is_ok() {
            let (option, value) = (option.to_owned(), value.to_string());
            self.arguments = Err(Error::BadOption { option, value, kind, accepted }.into());
        }
        self
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("task", &self.task()).finish_non_exhaustive()
    }
}

fn at(moment: SystemTime) -> RunAfter {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    RunAfter::At(milliseconds(since))
}

/// The context of a job that is made here: that of the attempt around, with what is given for this one.
fn context_of(own: serde_json::Map<String, serde_json::Value>) -> Option<Arc<str>> {
    let around = Context::current().and_then(|context| context.carried().cloned());
    if own.is_empty() {
        return around;
    }
    let mut all: serde_json::Map<_, _> =
        around.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    all.extend(own);
    Some(serde_json::Value::Object(all).to_string().into())
}
