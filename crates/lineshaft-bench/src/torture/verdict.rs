//! Compares what clients were told, what bodies did and what the engine remembers. Pure: the three go in, what is wrong
//! with them comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lineshaft_wire::record::JobRecord;
use lineshaft_wire::{Fence, JobId, JobState, Outcome};

use super::record::{Act, Effect, Ledger, Token, Wish};

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Promise {
    /// An acknowledged job is not there.
    Lost,
    /// One request made two jobs.
    MadeTwice,
    /// A job did not end, though everything works again.
    Stuck,
    /// A job gave up that should have completed.
    GaveUp,
    /// An attempt began after the job had ended.
    RanAfterEnd,
    /// An end was accepted though a newer attempt had begun.
    StaleFence,
    /// Attempts or their fences do not grow.
    Order,
    /// A job completed though no body returned under that fence.
    NeverRan,
    /// A job that may run once ran twice.
    RanTwice,
    /// A body ran that the history does not know.
    Unrecorded,
    /// A client was told another end than the one that the history has.
    ChangedEnd,
    /// A client got another job's result.
    WrongResult,
    /// The server ended although nobody had killed it, or not well when it was asked to.
    Ended,
}

impl Promise {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::MadeTwice => "made_twice",
            Self::Stuck => "stuck",
            Self::GaveUp => "gave_up",
            Self::RanAfterEnd => "ran_after_end",
            Self::StaleFence => "stale_fence",
            Self::Order => "order",
            Self::NeverRan => "never_ran",
            Self::RanTwice => "ran_twice",
            Self::Unrecorded => "unrecorded",
            Self::ChangedEnd => "changed_end",
            Self::WrongResult => "wrong_result",
            Self::Ended => "ended",
        }
    }
}

/// How a promise was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// The job, where it is about one.
    pub job: Option<JobId>,
    /// What was seen.
    pub words: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.promise.as_str();
        match self.job {
            Some(job) => write!(f, "{word}: job {job}: {}", self.words),
            None => write!(f, "{word}: {}", self.words),
        }
    }
}

/// A job, as the engine remembers it.
#[derive(Clone, Debug)]
pub(super) struct Past {
    pub(super) id: JobId,
    pub(super) token: Option<Token>,
    pub(super) state: JobState,
    pub(super) reason: Option<String>,
    pub(super) crashes: u32,
    pub(super) finalized_ms: u64,
    /// Oldest first; the newest ones, if there were very many.
    pub(super) attempts: Vec<Attempt>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) fence: Fence,
    pub(super) outcome: Option<Outcome>,
}

impl From<&JobRecord> for Past {
    fn from(record: &JobRecord) -> Self {
        let attempts = record.attempts.iter();
        Self {
            id: record.id,
            token: record.metadata.as_deref().and_then(|token| token.parse().ok()),
            state: record.state,
            reason: record.reason.as_deref().map(str::to_owned),
            crashes: record.crashes,
            finalized_ms: record.finalized_at.unwrap_or(u64::MAX),
            attempts: attempts
                .map(|it| Attempt { number: it.number, fence: it.fence, outcome: it.outcome })
                .collect(),
        }
    }
}

/// Crashes after which a job of the torture may give up: the most that rules allow.
pub(super) const CRASHES_MAX: u32 = 100;

/// What the comparison came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    pub(super) acknowledged: u64,
    pub(super) completed: u64,
    /// Jobs whose body began more than once, as it may where attempts are interrupted or retried.
    pub(super) rerun: u64,
    /// Bodies that began or went on under a fence after one of a newer attempt had begun: those of processes that were
    /// stopped, or of a machine that stood still. What they report is refused.
    pub(super) overlapped: u64,
    pub(super) violations: Vec<Violation>,
}

/// Compares.
pub(super) fn compare(ledger: &Ledger, effects: &[Effect], history: &[Past]) -> Verdict {
    let executions = executions(effects);
    let history: BTreeMap<JobId, &Past> = history.iter().map(|past| (past.id, past)).collect();
    let mut verdict = Verdict { acknowledged: ledger.acknowledged.len() as u64, ..Verdict::default() };
    compare_ledger(ledger, &history, &mut verdict);
    for (job, executions) in &executions {
        verdict.rerun += u64::from(executions.len() > 1);
        verdict.overlapped += overlapped(executions);
        if !history.contains_key(job) && !ledger.acknowledged.contains_key(job) {
            verdict.add(Promise::Lost, *job, "it ran, but the history does not know it");
        }
    }
    for (id, past) in history {
        verdict.completed += u64::from(past.state == JobState::Completed);
        let executions = executions.get(&id).map_or(&[][..], Vec::as_slice);
        check_end(past, &mut verdict);
        check_order(past, executions, &mut verdict);
        check_effects(past, executions, &mut verdict);
    }
    verdict
}

impl Verdict {
    fn add(&mut self, promise: Promise, job: JobId, words: impl Into<String>) {
        self.violations.push(Violation { promise, job: Some(job), words: words.into() });
    }
}

/// A body under a fence.
#[derive(Clone, Debug)]
struct Execution {
    fence: Fence,
    attempt: u32,
    pid: u32,
    begun_us: u64,
    ended: Option<(Act, u64)>,
}

impl Execution {
    fn has_returned(&self) -> bool {
        matches!(self.ended, Some((Act::Returned, _)))
    }
}

/// By job, in the order of their fences.
fn executions(effects: &[Effect]) -> BTreeMap<JobId, Vec<Execution>> {
    let mut executions: BTreeMap<JobId, Vec<Execution>> = BTreeMap::new();
    for effect in effects.iter().filter(|effect| effect.act == Act::Begun) {
        let Effect { job, fence, attempt, pid, at_us, .. } = *effect;
        let execution = Execution { fence, attempt, pid, begun_us: at_us, ended: None };
        executions.entry(job).or_default().push(execution);
    }
    for effect in effects.iter().filter(|effect| effect.act != Act::Begun) {
        let its = executions.get_mut(&effect.job).into_iter().flatten();
        let its = its.filter(|it| it.fence == effect.fence && it.pid == effect.pid);
        its.for_each(|it| it.ended = Some((effect.act, effect.at_us)));
    }
    executions.values_mut().for_each(|its| its.sort_by_key(|it| (it.fence, it.begun_us)));
    executions
}

/// Bodies that began or ended after one with a greater fence had begun.
fn overlapped(executions: &[Execution]) -> u64 {
    let is_overlapped = |(index, it): (usize, &Execution)| {
        let last_us = it.ended.map_or(it.begun_us, |(_, at_us)| at_us);
        executions[index + 1..].iter().any(|newer| newer.fence > it.fence && newer.begun_us < last_us)
    };
    executions.iter().enumerate().filter(|pair| is_overlapped(*pair)).count() as u64
}

fn compare_ledger(ledger: &Ledger, history: &BTreeMap<JobId, &Past>, verdict: &mut Verdict) {
    for (job, token) in &ledger.acknowledged {
        match history.get(job) {
            None => verdict.add(Promise::Lost, *job, format!("{token} was acknowledged, and is not there")),
            Some(past) if past.token != Some(*token) => {
                let words = format!("{token} was acknowledged under this id, which is now {:?}", past.token);
                verdict.add(Promise::Lost, *job, words);
            }
            Some(_) => {}
        }
    }
    for job in &ledger.missing {
        verdict.add(Promise::Lost, *job, "a client that waited for it was told that it is not there");
    }
    for job in &ledger.wrong_results {
        verdict.add(Promise::WrongResult, *job, "a client got another job's result");
    }
    for (job, told) in &ledger.ended {
        if let Some(past) = history.get(job).filter(|past| past.state != *told) {
            let words = format!("a client was told that it is {told}, and now it is {}", past.state);
            verdict.add(Promise::ChangedEnd, *job, words);
        }
    }
    let mut made: BTreeMap<Token, BTreeSet<JobId>> = BTreeMap::new();
    let acknowledged = ledger.acknowledged.iter().map(|(job, token)| (*token, *job));
    let known = history.values().filter_map(|past| Some((past.token?, past.id)));
    acknowledged.chain(known).for_each(|(token, job)| _ = made.entry(token).or_default().insert(job));
    for (token, jobs) in made.into_iter().filter(|(_, jobs)| jobs.len() > 1) {
        let words = format!("{token} made {} jobs: {jobs:?}", jobs.len());
        verdict.violations.push(Violation { promise: Promise::MadeTwice, job: None, words });
    }
}

/// Whether the job ended as it should.
fn check_end(past: &Past, verdict: &mut Verdict) {
    if !past.state.is_finished() {
        let words = format!("it is still {}, its attempts are {}", past.state, words_of(&past.attempts));
        return verdict.add(Promise::Stuck, past.id, words);
    }
    let Some(token) = past.token else { return };
    let reason = past.reason.as_deref().unwrap_or_default();
    let may_be = match (token.wish, past.state) {
        (_, JobState::Completed) | (Wish::Cancelled, JobState::Cancelled) => true,
        (Wish::Once, JobState::Discarded) => reason == "maybe_ran",
        (_, JobState::Discarded) => reason == "crashes" && past.crashes >= CRASHES_MAX,
        _ => false,
    };
    if !may_be {
        let words =
            format!("{token} is {} ({reason}), its attempts are {}", past.state, words_of(&past.attempts));
        verdict.add(Promise::GaveUp, past.id, words);
    }
}

fn words_of(attempts: &[Attempt]) -> String {
    let word = |it: &Attempt| {
        let outcome = it.outcome.map_or("running", Outcome::as_str);
        format!("{} {outcome} under {}", it.number, it.fence)
    };
    if attempts.is_empty() { "none".into() } else { attempts.iter().map(word).collect::<Vec<_>>().join(", ") }
}

/// Whether numbers and fences of attempts grow, in the history and as the bodies saw them.
fn check_order(past: &Past, executions: &[Execution], verdict: &mut Verdict) {
    let grows = |pair: &[Attempt]| pair[0].number < pair[1].number && pair[0].fence < pair[1].fence;
    if !past.attempts.windows(2).all(grows) {
        let words = format!("its attempts are {}", words_of(&past.attempts));
        verdict.add(Promise::Order, past.id, words);
    }
    for pair in executions.windows(2) {
        let [older, newer] = pair else { continue };
        if older.fence == newer.fence {
            let words = format!(
                "process {} and then process {} ran it under fence {}",
                older.pid, newer.pid, older.fence
            );
            verdict.add(Promise::Order, past.id, words);
        } else if older.attempt >= newer.attempt {
            let words = format!(
                "attempt {} ran under fence {}, attempt {} under the later fence {}; the history has {}",
                older.attempt,
                older.fence,
                newer.attempt,
                newer.fence,
                words_of(&past.attempts)
            );
            verdict.add(Promise::Order, past.id, words);
        }
    }
}

/// Whether what ran is what the history says.
fn check_effects(past: &Past, executions: &[Execution], verdict: &mut Verdict) {
    if past.token.is_some_and(|token| token.wish == Wish::Once) && executions.len() > 1 {
        let words = format!("it may run once, and began {} times", executions.len());
        verdict.add(Promise::RanTwice, past.id, words);
    }
    let oldest_kept = past.attempts.first().map_or(1, |it| it.number);
    for it in executions.iter().filter(|it| it.attempt >= oldest_kept) {
        if !past.attempts.iter().any(|attempt| attempt.fence == it.fence) {
            let words = format!(
                "process {} ran attempt {} under fence {}; the history has {}",
                it.pid,
                it.attempt,
                it.fence,
                words_of(&past.attempts)
            );
            verdict.add(Promise::Unrecorded, past.id, words);
        }
    }
    if !past.state.is_finished() {
        return;
    }
    let last = past.attempts.last().map_or(Fence::default(), |it| it.fence);
    for it in executions.iter().filter(|it| it.fence > last) {
        let words = format!("process {} began it under fence {}, it ended under {last}", it.pid, it.fence);
        let promise =
            if it.begun_us / 1_000 >= past.finalized_ms { Promise::RanAfterEnd } else { Promise::StaleFence };
        verdict.add(promise, past.id, words);
    }
    let succeeded = past.attempts.last().is_some_and(|it| it.outcome == Some(Outcome::Succeeded));
    let returned = executions.iter().any(|it| it.fence == last && it.has_returned());
    if past.state == JobState::Completed && !(succeeded && returned) {
        let words =
            format!("no body returned under fence {last}; its attempts are {}", words_of(&past.attempts));
        verdict.add(Promise::NeverRan, past.id, words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISH: Wish = Wish::Completes;

    fn id(number: u32) -> JobId {
        JobId::direct(1, 0, number, 0)
    }

    fn token(wish: Wish, number: u64) -> Token {
        Token { wish, client: 1, number }
    }

    fn fence(counter: u64) -> Fence {
        Fence { epoch: 1, counter }
    }

    /// One job that was interrupted once, and what belongs to it; each test breaks something.
    struct Story {
        ledger: Ledger,
        effects: Vec<Effect>,
        history: Vec<Past>,
    }

    fn story(wish: Wish) -> Story {
        let attempt =
            |number, outcome| Attempt { number, fence: fence(u64::from(number)), outcome: Some(outcome) };
        let effect = |act, number: u32, at_ms: u64| Effect {
            act,
            job: id(1),
            fence: fence(u64::from(number)),
            attempt: number,
            pid: 10 + number,
            at_us: at_ms * 1_000,
        };
        Story {
            ledger: Ledger {
                acknowledged: BTreeMap::from([(id(1), token(wish, 1))]),
                ended: vec![(id(1), JobState::Completed)],
                ..Ledger::default()
            },
            effects: vec![effect(Act::Begun, 1, 10), effect(Act::Begun, 2, 20), effect(Act::Returned, 2, 30)],
            history: vec![Past {
                id: id(1),
                token: Some(token(wish, 1)),
                state: JobState::Completed,
                reason: None,
                crashes: 1,
                finalized_ms: 31,
                attempts: vec![attempt(1, Outcome::Crashed), attempt(2, Outcome::Succeeded)],
            }],
        }
    }

    impl Story {
        fn verdict(&self) -> Verdict {
            compare(&self.ledger, &self.effects, &self.history)
        }
    }

    /// What is wrong after `break_it`.
    fn check(wish: Wish, break_it: impl FnOnce(&mut Story), expected: &[Promise]) {
        let mut story = story(wish);
        break_it(&mut story);
        let found: Vec<Promise> = story.verdict().violations.iter().map(|it| it.promise).collect();
        assert_eq!(found, expected, "{:?}", story.verdict().violations);
    }

    #[test]
    fn a_job_that_was_interrupted_and_completed_is_as_promised() {
        let verdict = story(WISH).verdict();
        assert_eq!(verdict.violations, []);
        assert_eq!(
            (verdict.acknowledged, verdict.completed, verdict.rerun, verdict.overlapped),
            (1, 1, 1, 0)
        );
    }

    #[test]
    fn an_acknowledged_job_has_to_be_there() {
        check(WISH, |it| it.history.clear(), &[Promise::Lost]);
        check(WISH, |it| it.history[0].token = Some(token(WISH, 2)), &[Promise::Lost]);
        check(WISH, |it| it.ledger.missing.push(id(1)), &[Promise::Lost]);
        let unacknowledged = |it: &mut Story| {
            it.history.clear();
            it.ledger.acknowledged.clear();
        };
        check(WISH, unacknowledged, &[Promise::Lost]);
    }

    #[test]
    fn a_request_makes_one_job() {
        let again = |it: &mut Story| {
            let made = it.history[0].clone();
            it.history.push(Past { id: id(2), state: JobState::Cancelled, attempts: Vec::new(), ..made });
        };
        check(Wish::Cancelled, again, &[Promise::MadeTwice]);
        check(
            WISH,
            |it| _ = it.ledger.acknowledged.insert(id(2), token(WISH, 1)),
            &[Promise::Lost, Promise::MadeTwice],
        );
    }

    #[test]
    fn a_job_whose_answer_never_came_may_be_there_or_not() {
        let unanswered = |it: &mut Story| {
            it.ledger.acknowledged.clear();
            it.ledger.ended.clear();
        };
        check(WISH, unanswered, &[]);
    }

    #[test]
    fn every_job_ends_as_it_should() {
        let ends = |state, reason: &'static str, crashes| {
            move |it: &mut Story| {
                let past = &mut it.history[0];
                (past.state, past.reason, past.crashes) = (state, Some(reason.to_owned()), crashes);
                it.ledger.ended.clear();
            }
        };
        check(WISH, ends(JobState::Running, "", 0), &[Promise::Stuck]);
        check(WISH, ends(JobState::Discarded, "crashes", 3), &[Promise::GaveUp]);
        check(WISH, ends(JobState::Discarded, "crashes", CRASHES_MAX), &[]);
        check(WISH, ends(JobState::Cancelled, "", 0), &[Promise::GaveUp]);
        check(Wish::Retries, ends(JobState::Discarded, "max_attempts", 0), &[Promise::GaveUp]);
        check(Wish::Cancelled, ends(JobState::Cancelled, "", 0), &[]);
    }

    #[test]
    fn nothing_begins_after_the_end() {
        let late = |at_us| {
            move |it: &mut Story| {
                let again = Effect { fence: fence(3), attempt: 3, pid: 99, at_us, ..it.effects[0] };
                it.effects.push(again);
            }
        };
        check(WISH, late(50_000), &[Promise::Unrecorded, Promise::RanAfterEnd]);
        check(WISH, late(25_000), &[Promise::Unrecorded, Promise::StaleFence]);
    }

    /// The first attempt's process was stopped, the second began, and then the first one's end was taken.
    #[test]
    fn the_end_of_an_older_attempt_is_refused() {
        let stale = |it: &mut Story| {
            it.effects.truncate(2);
            it.effects.push(Effect { act: Act::Returned, at_us: 30_000, ..it.effects[0] });
            it.history[0].attempts.truncate(1);
            it.history[0].attempts[0].outcome = Some(Outcome::Succeeded);
        };
        check(WISH, stale, &[Promise::Unrecorded, Promise::StaleFence]);
        let mut story = story(WISH);
        stale(&mut story);
        assert_eq!(story.verdict().overlapped, 1);
    }

    #[test]
    fn attempts_and_fences_grow() {
        check(
            WISH,
            |it| it.history[0].attempts.swap(0, 1),
            &[Promise::Order, Promise::StaleFence, Promise::NeverRan],
        );
        check(WISH, |it| it.history[0].attempts[1].number = 1, &[Promise::Order]);
        check(WISH, |it| it.effects[1].attempt = 1, &[Promise::Order]);
        let same_fence = |it: &mut Story| {
            it.effects[0].fence = fence(2);
        };
        check(WISH, same_fence, &[Promise::Order]);
    }

    #[test]
    fn what_completed_has_run() {
        check(WISH, |it| it.effects.truncate(2), &[Promise::NeverRan]);
        check(WISH, |it| it.effects[2].act = Act::Failed, &[Promise::NeverRan]);
        check(WISH, |it| it.history[0].attempts[1].outcome = Some(Outcome::Lost), &[Promise::NeverRan]);
    }

    #[test]
    fn what_may_run_once_runs_once() {
        check(Wish::Once, |_| (), &[Promise::RanTwice]);
        let given_up = |it: &mut Story| {
            it.effects.truncate(1);
            it.ledger.ended = vec![(id(1), JobState::Discarded)];
            let past = &mut it.history[0];
            (past.state, past.reason) = (JobState::Discarded, Some("maybe_ran".into()));
            past.attempts.truncate(1);
        };
        check(Wish::Once, given_up, &[]);
    }

    #[test]
    fn what_runs_is_recorded_unless_it_is_too_long_ago() {
        check(WISH, |it| _ = it.history[0].attempts.remove(0), &[]);
        check(WISH, |it| it.history[0].attempts[0].fence = fence(0), &[Promise::Unrecorded]);
    }

    #[test]
    fn an_end_is_the_same_for_all_and_for_good() {
        check(WISH, |it| it.ledger.ended[0].1 = JobState::Discarded, &[Promise::ChangedEnd]);
        check(WISH, |it| it.ledger.wrong_results.push(id(1)), &[Promise::WrongResult]);
    }
}
