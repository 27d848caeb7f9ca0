//! Says when a look at the watched files is worth it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::Sender;

use super::Event;

/// Tells of changes in directories, where the system can.
pub(super) struct Waker {
    #[cfg(target_os = "linux")]
    inotify: Option<std::sync::Arc<rustix::fd::OwnedFd>>,
}

impl Waker {
    /// Without inotify (none left, or another system) the regular look has to do.
    pub(super) fn new(events: &Sender<Event>) -> Self {
        Self {
            #[cfg(target_os = "linux")]
            inotify: linux::start(events),
        }
    }

    /// Tells of changes in these directories from here on.
    pub(super) fn watch(&self, places: &BTreeSet<PathBuf>) {
        #[cfg(target_os = "linux")]
        if let Some(inotify) = &self.inotify {
            // A directory that was deleted and made anew needs another watch, and to repeat one costs nothing.
            places.iter().for_each(|place| linux::add(inotify, place));
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::mem::MaybeUninit;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::mpsc::Sender;
    use std::thread;

    use rustix::fd::OwnedFd;
    use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};

    use super::Event;

    pub(super) fn start(events: &Sender<Event>) -> Option<Arc<OwnedFd>> {
        let inotify = Arc::new(init(CreateFlags::CLOEXEC).ok()?);
        let (reading, events) = (Arc::clone(&inotify), events.clone());
        thread::spawn(move || {
            let mut buffer = [MaybeUninit::uninit(); 4_096];
            let mut reader = Reader::new(reading, &mut buffer);
            while reader.next().is_ok() {
                // One look serves for all that was read at once.
                if reader.is_buffer_empty() && events.send(Event::Touched).is_err() {
                    return;
                }
            }
        });
        Some(inotify)
    }

    pub(super) fn add(inotify: &OwnedFd, place: &Path) {
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        // Where no watch is to be had, the regular look has to do.
        let _ = add_watch(inotify, place, flags);
    }
}
