//! What a profile says about what would be faster, where it says so clearly.

use std::collections::BTreeMap;

use super::flame::{percent, time};
use super::native::is_native;
use super::waits::has_no_line;
use super::{Frame, Kind, Profile, Stack, Wait, Weight};

/// Samples below which nothing is said.
const SAMPLES_MIN: u64 = 20;
/// Parts of the time from which something is said.
const GARBAGE: f64 = 0.05;
const SERIALISING: f64 = 0.10;
const LOCKS: f64 = 0.10;
const INTERPRETER: f64 = 0.10;
const STARTING: f64 = 0.05;
const ONE_LINE: f64 = 0.50;
/// With a processor for less than this part of the time, threads wait, and are not only kept from it by others.
const BUSY: f64 = 0.20;

impl Profile {
    /// Plain sentences with figures, the one with the greatest part of the time first; none where there is nothing to say,
    /// or where less than 20 samples say it.
    pub fn advice(&self) -> Vec<String> {
        let all = self.total(Kind::Thread);
        if all.samples < SAMPLES_MIN || all.wall_ns == 0 {
            return Vec::new();
        }
        let mut said: Vec<(f64, String)> = Vec::new();
        said.extend(self.on_garbage());
        said.extend(self.on_serialising(all));
        said.extend(self.on_locks(all));
        said.extend(self.on_interpreter(all));
        said.extend(self.on_starting(all));
        said.extend(self.on_one_line(all));
        said.extend(self.on_waiting(all));
        said.sort_by(|one, other| other.0.total_cmp(&one.0));
        said.into_iter().map(|(_, sentence)| sentence).collect()
    }

    fn on_garbage(&self) -> Option<(f64, String)> {
        let (ns, times) = self.garbage();
        let part = part(ns, self.duration_ns)?;
        (part >= GARBAGE).then(|| {
            let share = percent(ns, self.duration_ns);
            let sentence = format!(
                "{share} of the time, {}, went into {times} garbage collections: fewer objects that refer to each other, \
                 or gc.freeze() after loading, would spare some of it.",
                time(ns)
            );
            (part, sentence)
        })
    }

    fn on_serialising(&self, all: Weight) -> Option<(f64, String)> {
        let spent = self.spent(|stack, _| stack.calls.iter().any(|(frame, _)| serialises(*frame)));
        worth(spent, all, SERIALISING, |share, took| {
            format!(
                "{share} of the time, {took}, went into json, pickle or copy.deepcopy: smaller values, or fewer copies of \
                 them, would spare some of it."
            )
        })
    }

    /// Where threads wait for locks, and not for what others do.
    fn on_locks(&self, all: Weight) -> Option<(f64, String)> {
        let mut spent = 0_u64;
        let mut lines: BTreeMap<(&str, u32, &str), u64> = BTreeMap::new();
        for (stack, weight) in self.stacks().filter(|(stack, _)| stack.track.1 == Kind::Thread) {
            if !waits_for_lock(&stack) {
                continue;
            }
            let waited = weight.wall_ns.saturating_sub(weight.cpu_ns);
            spent = spent.saturating_add(waited);
            let of_program = stack.calls.iter().rev().find(|(frame, _)| !is_of_library(frame.file));
            if let Some((frame, line)) = of_program {
                *lines.entry((frame.file, *line, frame.name)).or_default() += waited;
            }
        }
        let most = lines.into_iter().max_by_key(|(_, waited)| *waited);
        let most = most.map_or_else(String::new, |((file, line, name), waited)| {
            format!(", {} of it at {file}:{line} in {name}", time(waited))
        });
        worth(spent, all, LOCKS, |share, took| {
            format!(
                "{share} of the time, {took}, threads waited for locks{most}: shorter critical sections, \
                 or more locks, would spare some of it."
            )
        })
    }

    fn on_interpreter(&self, all: Weight) -> Option<(f64, String)> {
        worth(self.waited_ns(Wait::Interpreter), all, INTERPRETER, |share, took| {
            format!(
                "{share} of the time, {took}, threads waited for the interpreter's lock while another one ran Python: \
                 processes, a Pool or slots of kind \"process\", run Python at the same time."
            )
        })
    }

    fn on_starting(&self, all: Weight) -> Option<(f64, String)> {
        let spent = self.spent(|stack, _| stack.calls.iter().any(|(frame, _)| starts(*frame)));
        worth(spent, all, STARTING, |share, took| {
            format!(
                "{share} of the time, {took}, went into imports and compiling regular expressions: at the top of a module \
                 they are done once."
            )
        })
    }

    /// What libraries do is done by the line that called them: that one can be changed.
    fn on_one_line(&self, all: Weight) -> Option<(f64, String)> {
        let mut lines: BTreeMap<(&str, u32, &str), (Weight, bool)> = BTreeMap::new();
        for (mut stack, weight) in self.stacks().filter(|(stack, _)| stack.track.1 == Kind::Thread) {
            while stack.calls.len() > 1 && stack.calls.pop_if(|(frame, _)| has_no_line(*frame)).is_some() {}
            let of_program = stack.calls.iter().rposition(|(frame, _)| !is_of_library(frame.file));
            let Some(last) = stack.calls.len().checked_sub(1) else { continue };
            let (frame, line) = stack.calls[of_program.unwrap_or(last)];
            let (own, calls) = lines.entry((frame.file, line, frame.name)).or_default();
            own.add(weight);
            *calls |= of_program.is_some_and(|place| place < last);
        }
        let ((file, line, name), (own, calls)) = lines.into_iter().max_by_key(|(_, (own, _))| own.wall_ns)?;
        // Nobody makes a line faster that waits.
        if line == 0 || own.cpu_ns < own.wall_ns / 2 {
            return None;
        }
        let calls = if calls { " and what it calls in libraries" } else { "" };
        worth(own.wall_ns, all, ONE_LINE, |share, took| {
            format!("{share} of the time, {took}, went into one line{calls}: {file}:{line} in {name}.")
        })
    }

    fn on_waiting(&self, all: Weight) -> Option<(f64, String)> {
        if all.cpu_ns == 0 {
            return None; // There is no clock that would tell.
        }
        // More threads would only wait for the interpreter, too; and a loop that has nothing to do waits for all of its tasks
        // at the same time already.
        let elsewhere = self.waited_ns(Wait::Interpreter).saturating_add(self.idle_in_loops_ns());
        let waited = all.wall_ns.saturating_sub(all.cpu_ns).saturating_sub(elsewhere);
        worth(waited, all, 1.0 - BUSY, |share, took| {
            format!(
                "{share} of the time, {took}, threads had no processor: what waits for others can be done by threads or \
                 coroutines at the same time."
            )
        })
    }

    /// How long event loops waited for something to do.
    fn idle_in_loops_ns(&self) -> u64 {
        let stacks = self.stacks().filter(|(stack, _)| stack.track.1 == Kind::Thread && is_idle_loop(stack));
        stacks.fold(0, |sum, (_, weight)| sum.saturating_add(weight.wall_ns.saturating_sub(weight.cpu_ns)))
    }

    /// Time of the stacks of threads that are meant.
    fn spent(&self, is_meant: impl Fn(&Stack<'_>, Weight) -> bool) -> u64 {
        let stacks = self.stacks().filter(|(stack, _)| stack.track.1 == Kind::Thread);
        let meant = stacks.filter(|(stack, weight)| is_meant(stack, *weight));
        meant.fold(0, |sum, (_, weight)| sum.saturating_add(weight.wall_ns))
    }
}

fn worth(
    spent: u64,
    all: Weight,
    from: f64,
    sentence: impl FnOnce(String, String) -> String,
) -> Option<(f64, String)> {
    let part = part(spent, all.wall_ns)?;
    (part >= from).then(|| (part, sentence(percent(spent, all.wall_ns), time(spent))))
}

fn part(spent: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| spent as f64 / all as f64)
}

/// Locks are waited for where a `with` or an `acquire` has nothing of Python in it, and in threading.py where it acquires
/// something: its events, conditions and threads wait for others, also with a lock.
fn waits_for_lock(stack: &Stack<'_>) -> bool {
    let frames = stack.calls.iter().rev().map(|(frame, _)| *frame);
    let mut inner = frames.filter(|frame| !is_native(*frame)).peekable();
    let is_lock = inner.next_if(|frame| frame.name == Wait::Lock.name()).is_some();
    let of_threading: Vec<_> = inner.take_while(|frame| ends(frame.file, "threading.py")).collect();
    let acquires = |frame: &Frame<'_>| {
        ["acquire", "__enter__"].contains(&frame.name.rsplit('.').next().unwrap_or_default())
    };
    if of_threading.is_empty() { is_lock } else { of_threading.iter().any(acquires) }
}

fn serialises(frame: Frame<'_>) -> bool {
    let of_json = ["json/__init__.py", "json/encoder.py", "json/decoder.py", "json/scanner.py"];
    of_json.iter().any(|file| ends(frame.file, file))
        || ends(frame.file, "pickle.py")
        || is_native(frame) && (frame.name.contains("_pickle") || frame.file.contains("_pickle"))
        || ends(frame.file, "copy.py") && frame.name.contains("deepcopy")
}

fn starts(frame: Frame<'_>) -> bool {
    let of_re = ["re/_compiler.py", "re/_parser.py", "sre_compile.py", "sre_parse.py"];
    frame.file.starts_with("<frozen importlib.") || of_re.iter().any(|file| ends(frame.file, file))
}

/// Whether an event loop waits for something to do: that of asyncio asks a selector, and one in C has nothing of Python above
/// what started it.
fn is_idle_loop(stack: &Stack<'_>) -> bool {
    let mut inwards =
        stack.calls.iter().map(|(frame, _)| *frame).rev().skip_while(|frame| has_no_line(*frame));
    let Some(inner) = inwards.next() else { return false };
    let is_asked = ends(inner.file, "selectors.py") && inner.name.ends_with("select");
    let of_loop = |frame: Frame<'_>| ends(frame.file, "asyncio/base_events.py");
    let is_in_c = ends(inner.file, "asyncio/runners.py") || ends(inner.file, "uvloop/__init__.py");
    (is_asked && inwards.next().is_some_and(of_loop)) || (is_in_c && inner.name.ends_with("run"))
}

/// Whether a file belongs to Python or to an installed package, or is none.
fn is_of_library(file: &str) -> bool {
    file.is_empty()
        || file.starts_with('<')
        || ["/lib/python", "/site-packages/", "/dist-packages/"].iter().any(|part| file.contains(part))
}

/// Whether a path ends with this one.
fn ends(path: &str, with: &str) -> bool {
    path.strip_suffix(with).is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody could read from when on something is said.
    #[test]
    fn the_guide_says_from_when_on() {
        let guide = include_str!("../../../../docs/guides/profiling.md");
        let share = |part: f64| format!("{:.0} %", 100.0 * part);
        for row in [
            format!("| garbage collections | {} |", share(GARBAGE)),
            format!("| json, pickle, copy.deepcopy | {} |", share(SERIALISING)),
            format!("| waiting for locks | {} |", share(LOCKS)),
            format!("| waiting for the interpreter's lock | {} |", share(INTERPRETER)),
            format!("| imports, compiling regular expressions | {} |", share(STARTING)),
            format!("| one line, with a processor for half of its time | {} |", share(ONE_LINE)),
            format!(
                "| threads without a processor, loops that wait for their tasks aside | {} |",
                share(1.0 - BUSY)
            ),
            format!("below {SAMPLES_MIN} samples"),
        ] {
            assert!(guide.contains(&row), "docs/guides/profiling.md lacks {row}");
        }
    }
}
