//! What a slot of a child is.

use serde::{Deserialize, Serialize};

/// What a slot is; all slots of a child are of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// The child itself: one attempt at a time, which can be killed.
    #[default]
    Process,
    /// A thread of the child.
    Thread,
    /// A coroutine of the child.
    Async,
}

impl Kind {
    /// Slots of a child when nobody says how many.
    pub fn default_slots(self) -> u32 {
        match self {
            Self::Process => 1,
            Self::Thread => std::thread::available_parallelism().map_or(4, |count| count.get() as u32 * 4),
            Self::Async => 1_000,
        }
    }

    /// The name, as options have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Thread => "thread",
            Self::Async => "async",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Process, Self::Thread, Self::Async].into_iter().find(|kind| kind.as_str() == name)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}
