//! Tasks of which somebody wants to see profiles: so many of their next attempts are profiled.
//!
//! It is no part of the state: who asks waits for the profiles, and asks again where the engine has ended meanwhile.

use std::sync::Arc;

use lineshaft_jobs::Refusal;
use lineshaft_wire::message::{PROFILE_NEXT_MAX, PROFILE_NEXT_MS, ProfileNext, RefusalCode};
use lineshaft_wire::{Looks, task};
use rustc_hash::FxHashMap;

/// Tasks at the same time.
const TASKS_MAX: usize = 1_000;

/// By task.
#[derive(Debug, Default)]
pub(crate) struct NextProfiles(FxHashMap<Arc<str>, Wanted>);

#[derive(Debug)]
struct Wanted {
    left: u32,
    looks: Looks,
    /// Logical milliseconds.
    until_ms: u64,
}

impl NextProfiles {
    pub(crate) fn want(&mut self, request: ProfileNext, now_ms: u64) -> Result<(), Refusal> {
        let ProfileNext { task, count, looks } = request;
        self.0.retain(|_, wanted| wanted.until_ms > now_ms);
        let refuse = |code, message| Err(Refusal { code, message, hint: None });
        if count > PROFILE_NEXT_MAX {
            let message = format!("{count} attempts are too many to be profiled, at most {PROFILE_NEXT_MAX}");
            return refuse(RefusalCode::BadRequest, message);
        }
        if count == 0 {
            self.0.remove(&task);
            return Ok(());
        }
        if self.0.len() >= TASKS_MAX && !self.0.contains_key(&task) {
            let message = format!("profiles of {TASKS_MAX} tasks are waited for, which is the most");
            return refuse(RefusalCode::QueueFull, message);
        }
        let wanted = Wanted { left: count, looks: looks | Looks::PLAIN, until_ms: now_ms + PROFILE_NEXT_MS };
        self.0.insert(task, wanted);
        Ok(())
    }

    /// How an attempt of this task, whatever its version, is to be looked at. If it is at all, it is one less.
    pub(crate) fn take(&mut self, task: &str, now_ms: u64) -> Looks {
        // Nearly always.
        if self.0.is_empty() {
            return Looks::NONE;
        }
        let name = task::name_of(task);
        let Some(wanted) = self.0.get_mut(name) else { return Looks::NONE };
        let looks = if wanted.until_ms > now_ms { wanted.looks } else { Looks::NONE };
        wanted.left -= 1;
        if !looks.is_profiled() || wanted.left == 0 {
            self.0.remove(name);
        }
        looks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(task: &str, count: u32) -> (NextProfiles, Result<(), Refusal>) {
        let mut next = NextProfiles::default();
        let answer = next.want(request(task, count), 1_000);
        (next, answer)
    }

    fn request(task: &str, count: u32) -> ProfileNext {
        ProfileNext { task: task.into(), count, ..ProfileNext::default() }
    }

    #[test]
    fn so_many_attempts_of_the_task_are_profiled_in_any_version() {
        let mut next = wanted("shop.send", 2).0;
        let taken =
            ["shop.mail", "shop.send", "shop.send v2", "shop.send"].map(|task| next.take(task, 2_000));
        assert_eq!(taken, [Looks::NONE, Looks::PLAIN, Looks::PLAIN, Looks::NONE]);
        assert!(next.0.is_empty());
    }

    #[test]
    fn they_are_looked_at_as_was_said_last() {
        let mut next = wanted("shop.send", 2).0;
        next.want(ProfileNext { looks: Looks::MEMORY, ..request("shop.send", 1) }, 1_000).unwrap();
        assert_eq!(["shop.send"; 2].map(|task| next.take(task, 2_000)), [Looks::MEMORY, Looks::NONE]);
    }

    #[test]
    fn after_an_hour_or_when_it_is_taken_back_none_is() {
        let mut next = wanted("shop.send", 2).0;
        assert_eq!(next.take("shop.send", 1_000 + PROFILE_NEXT_MS), Looks::NONE);
        let mut next = wanted("shop.send", 2).0;
        next.want(request("shop.send", 0), 1_000).unwrap();
        assert_eq!(next.take("shop.send", 1_000), Looks::NONE);
    }

    #[test]
    fn too_many_are_refused() {
        assert_eq!(wanted("shop.send", PROFILE_NEXT_MAX + 1).1.unwrap_err().code, RefusalCode::BadRequest);
        let mut next = NextProfiles::default();
        let mut want = |task: usize, now| next.want(request(&task.to_string(), 1), now);
        (0..TASKS_MAX).for_each(|task| want(task, 0).unwrap());
        assert_eq!(want(TASKS_MAX, 1).unwrap_err().code, RefusalCode::QueueFull);
        assert!(want(3, 1).is_ok() && want(TASKS_MAX, 2 * PROFILE_NEXT_MS).is_ok());
    }
}
