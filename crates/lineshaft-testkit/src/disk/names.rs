//! Which name means which file: as programs see it, as it is durable, and the changes between.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) current: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    /// Changes since the last sync of their directory, oldest first.
    pending: Vec<NameChange>,
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Link { path: String, file: u64 },
    Rename { from: String, to: String, file: u64 },
    Unlink { path: String },
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link { path, file } => {
                names.insert(path.clone(), *file);
            }
            // If the creation before it was lost, so is the renaming: it is of a file, not of another one with its name.
            Self::Rename { from, to, file } => {
                if names.get(from) == Some(file) {
                    names.remove(from);
                    names.insert(to.clone(), *file);
                }
            }
            Self::Unlink { path } => {
                names.remove(path);
            }
        }
    }

    fn directory(&self) -> &str {
        let (Self::Link { path, .. } | Self::Rename { to: path, .. } | Self::Unlink { path }) = self;
        path.rsplit_once('/').map_or("", |(directory, _)| directory)
    }
}

impl Names {
    /// The files that have a name, or may have one after a power loss.
    pub(super) fn files(&self) -> BTreeSet<u64> {
        let pending = self.pending.iter().filter_map(|change| match change {
            NameChange::Link { file, .. } | NameChange::Rename { file, .. } => Some(file),
            NameChange::Unlink { .. } => None,
        });
        self.current.values().chain(self.durable.values()).chain(pending).copied().collect()
    }

    pub(super) fn change(&mut self, change: NameChange) {
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    /// Names a file, durably.
    pub(super) fn put(&mut self, path: &str, file: u64) {
        self.current.insert(path.to_owned(), file);
        self.durable.insert(path.to_owned(), file);
    }

    /// Forgets every name that begins so, durably. Nothing may be pending.
    pub(super) fn forget(&mut self, prefix: &str) {
        self.current.retain(|path, _| !path.starts_with(prefix));
        self.durable.retain(|path, _| !path.starts_with(prefix));
    }

    /// Makes the changes in one directory durable.
    pub(super) fn sync(&mut self, directory: &str) {
        let (synced, pending) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition::<Vec<_>, _>(|change| change.directory() == directory);
        for change in synced {
            change.apply(&mut self.durable);
        }
        self.pending = pending;
    }

    /// Loses power: of the pending changes a first part happened, or any choice of them, or none.
    pub(super) fn settle(&mut self, rng: Option<&mut fastrand::Rng>) {
        let pending = std::mem::take(&mut self.pending);
        if let Some(rng) = rng {
            let in_order = rng.bool();
            let first = rng.usize(..=pending.len());
            for (index, change) in pending.iter().enumerate() {
                if if in_order { index < first } else { rng.bool() } {
                    change.apply(&mut self.durable);
                }
            }
        }
        self.current.clone_from(&self.durable);
    }
}
