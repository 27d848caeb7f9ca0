//! What threads wait for that no function of theirs says: it is shown as if it was called by the line that waits.

use super::native::is_native;
use super::{Call, Frame, FrameId, Kind, NO_PARENT, Node, Profile, TrackId, Weight};

/// What a thread waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wait {
    /// Python's own lock, which one thread of an interpreter has at a time while it runs Python.
    Interpreter,
    /// A lock of the program.
    Lock,
}

impl Wait {
    /// The name under which it stands in a profile.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interpreter => "(waits for the interpreter's lock)",
            Self::Lock => "(waits for a lock)",
        }
    }

    const fn frame(self) -> Frame<'static> {
        Frame { name: self.name(), file: "", line: 0 }
    }
}

/// Whether a function stands for what is waited for.
fn is_wait(frame: Frame<'_>) -> bool {
    frame == Wait::Interpreter.frame() || frame == Wait::Lock.frame()
}

impl Profile {
    /// A stack was seen, the innermost call first, whose thread waited for a part of its time.
    pub fn add_waiting(&mut self, track: TrackId, stack: &[Call], weight: Weight, wait: Wait, wall_ns: u64) {
        let waited = Weight { wall_ns: wall_ns.min(weight.wall_ns), ..Weight::default() };
        self.add(track, stack, Weight { wall_ns: weight.wall_ns - waited.wall_ns, ..weight });
        if waited.wall_ns > 0 {
            let frame = self.frame(wait.name(), "", 0);
            let calls: Vec<Call> =
                [Call { frame, line: 0 }].into_iter().chain(stack.iter().copied()).collect();
            self.add(track, &calls, waited);
        }
    }

    /// How long threads waited for it, all together.
    pub fn waited_ns(&self, wait: Wait) -> u64 {
        let is_meant = |frame: FrameId| self.frame_of(frame) == wait.frame();
        let sum = self.sum(|place| {
            self.kind_of(place.track) == Kind::Thread
                && place.parent != NO_PARENT
                && is_meant(place.call.frame)
        });
        sum.wall_ns
    }

    /// Where a node is: what waits, and what a line has called natively, is where it was called.
    pub(super) fn seen_at(&self, node: &Node) -> Call {
        let mut place = node.place;
        while place.parent != NO_PARENT && has_no_line(self.frame_of(place.call.frame)) {
            place = self.nodes[place.parent as usize].place;
        }
        place.call
    }
}

/// Whether a function has no lines of its own, but is called by one.
pub(super) fn has_no_line(frame: Frame<'_>) -> bool {
    is_wait(frame) || is_native(frame)
}
