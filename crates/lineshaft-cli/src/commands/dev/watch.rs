//! Which files are watched, and which of them changed.
//!
//! What a file looks like (when it was written, its size, which file it is) is the truth, compared each time somebody
//! looks: so it does not matter whether an editor writes in place, renames over, or deletes and makes anew, nor whether
//! the file system tells of changes. The kernel only says when a look is worth it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a file looks like; `None` if there is none.
type Look = Option<(u64, u64, i64, i64)>;

/// Files, and directories in which a missing module may turn up.
#[derive(Debug, Default)]
pub(super) struct Watched {
    files: BTreeMap<PathBuf, Look>,
    directories: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// Files that seemed to have changed while they were first imported; once is enough, since an app may write
    /// modules of its own at each start.
    suspected: BTreeSet<PathBuf>,
}

impl Watched {
    /// Watches these files too, which code imported that began to load at `since`. Gives those that changed since then:
    /// what was imported may be older than what is there.
    pub(super) fn add(&mut self, files: &[PathBuf], since: SystemTime) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for file in files {
            if self.files.contains_key(file) {
                continue;
            }
            self.files.insert(file.clone(), look(file));
            let written = fs::metadata(file).and_then(|found| found.modified());
            if written.is_ok_and(|written| written > since) && self.suspected.insert(file.clone()) {
                changed.push(file.clone());
            }
        }
        changed
    }

    /// Watches only these files, of those it has.
    pub(super) fn keep(&mut self, files: &BTreeSet<PathBuf>) {
        self.files.retain(|file, _| files.contains(file));
    }

    /// Also looks for new modules in these directories.
    pub(super) fn look_in(&mut self, directories: &[PathBuf]) {
        let beside = self.files.keys().filter_map(|file| file.parent()).map(Path::to_owned);
        let all: BTreeSet<PathBuf> = beside.chain(directories.iter().cloned()).collect();
        self.directories =
            all.into_iter().map(|directory| (directory.clone(), modules_in(&directory))).collect();
    }

    /// New modules are no news any more.
    pub(super) fn look_at_files_only(&mut self) {
        self.directories.clear();
    }

    /// What changed since the last look.
    pub(super) fn changed(&mut self) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for (file, before) in &mut self.files {
            let now = look(file);
            if now != *before {
                *before = now;
                changed.push(file.clone());
            }
        }
        for (directory, before) in &mut self.directories {
            let now = modules_in(directory);
            changed.extend(now.symmetric_difference(before).cloned());
            *before = now;
        }
        changed
    }

    /// How many files are watched.
    pub(super) fn count(&self) -> usize {
        self.files.len()
    }

    /// The directories in which something can happen.
    pub(super) fn places(&self) -> BTreeSet<PathBuf> {
        let beside = self.files.keys().filter_map(|file| file.parent()).map(Path::to_owned);
        beside.chain(self.directories.keys().cloned()).collect()
    }
}

fn look(file: &Path) -> Look {
    let found = fs::metadata(file).ok()?;
    Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

/// What could be imported from a directory.
fn modules_in(directory: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let could_be = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_hidden = name.starts_with('.') || name == "__pycache__";
        !is_hidden && (name.ends_with(".py") || entry.path().is_dir())
    };
    entries.filter(could_be).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Case {
        root: tempfile::TempDir,
        watched: Watched,
    }

    impl Case {
        fn new(names: &[&str]) -> Self {
            let root = tempfile::tempdir().unwrap();
            let mut watched = Watched::default();
            for name in names {
                fs::write(root.path().join(name), "a = 1\n").unwrap();
            }
            let files: Vec<PathBuf> = names.iter().map(|name| root.path().join(name)).collect();
            let later = SystemTime::now() + Duration::from_secs(60);
            assert_eq!(watched.add(&files, later), Vec::<PathBuf>::new());
            Self { root, watched }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.root.path().join(name)
        }

        fn check_changed(&mut self, names: &[&str]) {
            let expected: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
            assert_eq!(self.watched.changed(), expected);
            assert_eq!(self.watched.changed(), Vec::<PathBuf>::new(), "once is enough");
        }
    }

    #[test]
    fn a_file_that_is_written_renamed_over_deleted_or_made_anew_has_changed() {
        let mut case = Case::new(&["a.py", "b.py"]);
        case.check_changed(&[]);
        fs::write(case.path("a.py"), "a = 22\n").unwrap();
        case.check_changed(&["a.py"]);
        // As editors do it; of the same size, and with the time of the old one.
        fs::write(case.path("new"), "a = 1\n").unwrap();
        let time = fs::metadata(case.path("b.py")).unwrap().modified().unwrap();
        fs::File::options().write(true).open(case.path("new")).unwrap().set_modified(time).unwrap();
        fs::rename(case.path("new"), case.path("b.py")).unwrap();
        case.check_changed(&["b.py"]);
        fs::remove_file(case.path("a.py")).unwrap();
        case.check_changed(&["a.py"]);
        fs::write(case.path("a.py"), "a = 22\n").unwrap();
        case.check_changed(&["a.py"]);
    }

    #[test]
    fn new_modules_are_news_only_where_they_are_looked_for() {
        let mut case = Case::new(&["a.py"]);
        fs::write(case.path("b.py"), "").unwrap();
        case.check_changed(&[]);
        case.watched.look_in(&[]);
        case.check_changed(&[]);
        fs::write(case.path("c.py"), "").unwrap();
        fs::write(case.path("notes.txt"), "").unwrap();
        fs::create_dir(case.path("__pycache__")).unwrap();
        case.check_changed(&["c.py"]);
        fs::create_dir(case.path("package")).unwrap();
        case.check_changed(&["package"]);
        case.watched.look_at_files_only();
        fs::write(case.path("d.py"), "").unwrap();
        case.check_changed(&[]);
    }

    #[test]
    fn a_file_written_while_it_was_imported_has_changed_but_only_once() {
        let mut case = Case::new(&[]);
        let file = case.path("generated.py");
        fs::write(&file, "").unwrap();
        let before = SystemTime::UNIX_EPOCH;
        assert_eq!(case.watched.add(std::slice::from_ref(&file), before), std::slice::from_ref(&file));
        case.watched.keep(&BTreeSet::new());
        assert_eq!(case.watched.add(&[file], before), Vec::<PathBuf>::new());
    }
}
