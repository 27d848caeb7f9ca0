//! Pages of jobs: what memory has of one, and where it goes on.

use lineshaft_jobs::{JobView, PageView, State};
use lineshaft_wire::JobState;
use lineshaft_wire::message::{Filter, List};

/// A page of jobs: what memory knows, and where the archive goes on.
pub struct ListQuery {
    pub(crate) filter: Filter,
    pub(crate) limit: usize,
    pub(crate) cursor: Cursor,
    pub(crate) views: Vec<JobView>,
}

/// Where a list stands: unfinished jobs by slot, then finished ones by falling number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    Unfinished(u32),
    Finished(u64),
    End,
}

impl ListQuery {
    /// The page that `list` asks for; `None` if its cursor does not read.
    pub(crate) fn new(list: &List, limit: usize) -> Option<Self> {
        let cursor = match &list.cursor {
            Some(text) => Cursor::parse(text)?,
            None => Cursor::Unfinished(0),
        };
        Some(Self { filter: list.filter.clone(), limit, cursor, views: Vec::new() })
    }

    /// Takes what memory has for this page.
    pub(crate) fn take_memory(&mut self, state: &State) {
        if let Cursor::Unfinished(from) = self.cursor {
            let wanted = self.wants(|state| !state.is_finished());
            let page = if wanted { state.page(&self.filter, from, self.limit) } else { PageView::default() };
            self.views.extend(page.slots.iter().map(|slot| state.view(*slot)));
            self.cursor = page.next.map_or(Cursor::Finished(u64::MAX), Cursor::Unfinished);
        }
        if let Cursor::Finished(below) = self.cursor {
            self.take_finished(state, below);
        }
    }

    fn take_finished(&mut self, state: &State, below: u64) {
        if !self.wants(JobState::is_finished) {
            self.cursor = Cursor::End;
            return;
        }
        let room = self.limit - self.views.len();
        let slots = state.finished_page(&self.filter, below, room);
        let full = slots.len() == room;
        self.views.extend(slots.iter().map(|slot| state.view(*slot)));
        // What has a number up to this one is in the archive.
        let archive = below.min(state.archived() + 1);
        let last =
            self.views.last().filter(|view| view.finish_number > 0).map_or(below, |view| view.finish_number);
        self.cursor = Cursor::Finished(if full { last } else { archive });
    }

    fn wants(&self, kind: impl Fn(JobState) -> bool) -> bool {
        self.filter.states.is_empty() || self.filter.states.iter().copied().any(kind)
    }
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (kind, number) = text.split_at_checked(1)?;
        match kind {
            "u" => number.parse().ok().map(Self::Unfinished),
            "f" => number.parse().ok().map(Self::Finished),
            _ => None,
        }
    }

    pub(crate) fn text(self) -> Option<String> {
        match self {
            Self::Unfinished(slot) => Some(format!("u{slot}")),
            Self::Finished(below) => Some(format!("f{below}")),
            Self::End => None,
        }
    }
}
