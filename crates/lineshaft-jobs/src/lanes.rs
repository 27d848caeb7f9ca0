//! Which job goes next, without looking at all of them.
//!
//! A *lane* holds the jobs of one version of a task in one queue: a list per priority of those available, and one of those waiting
//! for a time. A *group* is what a set of children can run, their tasks and queues, and an ordered set of the first job
//! of every lane they can take. So the next job for a child is the first of its group's set, and taking it costs a
//! step in that set however many jobs wait.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use lineshaft_wire::task;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::line::Line;
use crate::list::List;
use crate::slots::Slots;

const PRIORITIES: usize = 9;

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) queue: u32,
    pub(crate) task: u32,
    /// All slots of this queue and task, whatever their state: at 0 the lane closes.
    pub(crate) jobs: u64,
    pub(crate) available: [Line; PRIORITIES],
    pub(crate) waiting: List,
    /// Groups that can take from here, with the position of the task in their list.
    pub(crate) groups: Vec<(u32, u32)>,
    paused: bool,
    /// Priority and order of the first job, as the groups have it; `None` while there is none or the queue is paused.
    ready: Option<(u8, u64)>,
}

impl Lane {
    pub(crate) fn available_count(&self) -> u64 {
        self.available.iter().map(Line::count).sum()
    }

    fn first(&self, slots: &Slots) -> Option<(u8, u64)> {
        if self.paused {
            return None;
        }
        let priority = self.available.iter().position(|line| line.count() > 0)?;
        let first = self.available[priority].first(slots)?;
        Some((priority as u8, slots.at(first).order))
    }
}

/// What a set of children can run.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) tasks: Arc<[Arc<str>]>,
    pub(crate) queues: Arc<[Arc<str>]>,
    /// By the name of the task: positions in the list, and the versions that are run.
    positions: FxHashMap<Box<str>, Vec<(u32, RangeInclusive<u32>)>>,
    queue_set: FxHashSet<Arc<str>>,
    ready: BTreeSet<(u8, u64, u32)>,
    /// Children of this group in turn.
    pub(crate) children: VecDeque<u32>,
}

impl Group {
    fn position(&self, queue: &str, task: &str) -> Option<u32> {
        if !self.queue_set.is_empty() && !self.queue_set.contains(queue) {
            return None;
        }
        let (name, version) = task::split(task);
        let mut runs = self.positions.get(name)?.iter();
        runs.find(|(_, versions)| versions.contains(&version)).map(|(position, _)| *position)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: Vec<Option<Lane>>,
    free: Vec<u32>,
    by_key: FxHashMap<(u32, u32), u32>,
    groups: Vec<Option<Group>>,
}

impl Lanes {
    pub(crate) fn find(&self, queue: u32, task: u32) -> Option<u32> {
        self.by_key.get(&(queue, task)).copied()
    }

    pub(crate) fn at(&self, lane: u32) -> &Lane {
        self.lanes[lane as usize].as_ref().expect("lane numbers in the state are open")
    }

    pub(crate) fn at_mut(&mut self, lane: u32) -> &mut Lane {
        self.lanes[lane as usize].as_mut().expect("lane numbers in the state are open")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().flatten()
    }

    pub(crate) fn group(&self, group: u32) -> &Group {
        self.groups[group as usize].as_ref().expect("group numbers in the state are open")
    }

    pub(crate) fn group_mut(&mut self, group: u32) -> &mut Group {
        self.groups[group as usize].as_mut().expect("group numbers in the state are open")
    }

    /// Groups that have something ready, with their numbers.
    pub(crate) fn ready_groups(&self) -> impl Iterator<Item = (u32, &Group)> {
        self.groups.iter().enumerate().filter_map(|(number, group)| {
            group.as_ref().filter(|group| !group.ready.is_empty()).map(|group| (number as u32, group))
        })
    }

    /// The lane of `queue` and `task`, opened if need be, with `jobs` more slots in it.
    pub(crate) fn enter(&mut self, queue: (u32, &str), task: (u32, &str), paused: bool, jobs: u64) -> u32 {
        let key = (queue.0, task.0);
        let lane = self.find(key.0, key.1).unwrap_or_else(|| self.open(queue, task, paused));
        self.at_mut(lane).jobs += jobs;
        lane
    }

    fn open(&mut self, queue: (u32, &str), task: (u32, &str), paused: bool) -> u32 {
        let groups =
            self.groups.iter().enumerate().filter_map(|(number, group)| {
                Some((number as u32, group.as_ref()?.position(queue.1, task.1)?))
            });
        let lane = Lane {
            queue: queue.0,
            task: task.0,
            jobs: 0,
            available: Default::default(),
            waiting: List::default(),
            groups: groups.collect(),
            paused,
            ready: None,
        };
        let number = self.free.pop().unwrap_or_else(|| {
            self.lanes.push(None);
            (self.lanes.len() - 1) as u32
        });
        self.lanes[number as usize] = Some(lane);
        self.by_key.insert((queue.0, task.0), number);
        number
    }

    /// One slot fewer; the last one closes the lane.
    pub(crate) fn leave(&mut self, lane: u32) {
        let entry = self.at_mut(lane);
        entry.jobs -= 1;
        if entry.jobs == 0 {
            let key = (entry.queue, entry.task);
            debug_assert!(entry.ready.is_none(), "a lane without jobs has none ready");
            self.by_key.remove(&key);
            self.lanes[lane as usize] = None;
            self.free.push(lane);
        }
    }

    pub(crate) fn pause(&mut self, lane: u32, paused: bool, slots: &Slots) {
        self.at_mut(lane).paused = paused;
        self.refresh(lane, slots);
    }

    /// Tells the groups of the lane's first job, after the lane changed.
    pub(crate) fn refresh(&mut self, lane: u32, slots: &Slots) {
        let Self { lanes, groups, .. } = self;
        let entry = lanes[lane as usize].as_mut().expect("lane numbers in the state are open");
        let ready = entry.first(slots);
        if ready == entry.ready {
            return;
        }
        for (group, _) in &entry.groups {
            let set = &mut groups[*group as usize].as_mut().expect("lanes list open groups").ready;
            if let Some((priority, order)) = entry.ready {
                set.remove(&(priority, order, lane));
            }
            if let Some((priority, order)) = ready {
                set.insert((priority, order, lane));
            }
        }
        entry.ready = ready;
    }

    /// The same for every lane, after many changed.
    pub(crate) fn refresh_all(&mut self, slots: &Slots) {
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].is_some() {
                self.refresh(lane as u32, slots);
            }
        }
    }

    /// The lane that a group takes from next.
    pub(crate) fn first_lane(&self, group: u32) -> Option<u32> {
        self.group(group).ready.first().map(|(_, _, lane)| *lane)
    }

    /// Up to `limit` slots that a group takes next: a run of one lane and priority.
    pub(crate) fn next_run(&self, group: u32, limit: usize, slots: &Slots) -> Vec<u32> {
        let mut ready = self.group(group).ready.iter();
        let Some(&(priority, _, lane)) = ready.next() else { return Vec::new() };
        // Another lane's first job of the same priority ends the run, so that order holds across lanes.
        let until = ready.next().filter(|next| next.0 == priority).map_or(u64::MAX, |next| next.1);
        let line = &self.at(lane).available[usize::from(priority)];
        line.iter(slots).take(limit).take_while(|slot| slots.at(*slot).order < until).collect()
    }

    /// Adds a child to the group of its tasks and queues, made if need be.
    pub(crate) fn join(
        &mut self,
        child: u32,
        tasks: &[Arc<str>],
        queues: &[Arc<str>],
        names: impl Fn(u32) -> Arc<str>,
    ) -> u32 {
        let same = |group: &Option<Group>| {
            group.as_ref().is_some_and(|group| *group.tasks == *tasks && *group.queues == *queues)
        };
        let number = match self.groups.iter().position(same) {
            Some(number) => number as u32,
            None => self.open_group(tasks, queues, names),
        };
        self.group_mut(number).children.push_back(child);
        number
    }

    fn open_group(
        &mut self,
        tasks: &[Arc<str>],
        queues: &[Arc<str>],
        names: impl Fn(u32) -> Arc<str>,
    ) -> u32 {
        let mut group = Group {
            tasks: tasks.into(),
            queues: queues.into(),
            positions: positions(tasks),
            queue_set: queues.iter().cloned().collect(),
            ready: BTreeSet::new(),
            children: VecDeque::new(),
        };
        let number = self.groups.iter().position(Option::is_none).unwrap_or(self.groups.len());
        for (lane, entry) in self.lanes.iter_mut().enumerate() {
            let Some(entry) = entry else { continue };
            let Some(position) = group.position(&names(entry.queue), &names(entry.task)) else { continue };
            entry.groups.push((number as u32, position));
            if let Some((priority, order)) = entry.ready {
                group.ready.insert((priority, order, lane as u32));
            }
        }
        if number == self.groups.len() {
            self.groups.push(None);
        }
        self.groups[number] = Some(group);
        number as u32
    }

    /// Takes a child out of its group; the last one closes it.
    pub(crate) fn part(&mut self, child: u32, group: u32) {
        let entry = self.group_mut(group);
        entry.children.retain(|member| *member != child);
        if entry.children.is_empty() {
            self.groups[group as usize] = None;
            for lane in self.lanes.iter_mut().flatten() {
                lane.groups.retain(|(member, _)| *member != group);
            }
        }
    }
}

/// Where the list has which task, and in which versions. Of two that run the same one the later counts.
fn positions(tasks: &[Arc<str>]) -> FxHashMap<Box<str>, Vec<(u32, RangeInclusive<u32>)>> {
    let mut positions: FxHashMap<Box<str>, Vec<_>> = FxHashMap::default();
    for (at, task) in tasks.iter().enumerate().rev() {
        let (name, from, to) = task::split_runs(task);
        positions.entry(name.into()).or_default().push((at as u32, from..=to));
    }
    positions
}
