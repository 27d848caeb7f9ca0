//! Whether an engine can live in a directory: what file system it is on, and who may write there.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use lineshaft_ipc::home_fs::{FileSystem, file_system_kind};

use super::Home;
use crate::Error;

/// Refuses file systems whose locks and syncs are not to be relied on; warns of those that forget.
pub(super) fn check(home: &Home) -> Result<Option<String>, Error> {
    // A file system that cannot be told is no reason not to work.
    file_system_kind(home.path()).map_or(Ok(None), |kind| judge(home.path(), kind))
}

fn judge(path: &Path, kind: FileSystem) -> Result<Option<String>, Error> {
    let path = path.display();
    match kind {
        FileSystem::Memory => Ok(Some(format!(
            "the home {path} is on {kind}: its jobs are gone after a reboot; set LINESHAFT_URL to a directory on a disk"
        ))),
        FileSystem::Overlay => Ok(Some(format!(
            "the home {path} is on {kind}: its jobs go with the container; mount a volume there or set LINESHAFT_URL"
        ))),
        FileSystem::Network(_) | FileSystem::Fuse => Err(Error::Home {
            message: format!("the home {path} is on {kind}: its locks and syncs cannot be relied on"),
            hint: "set LINESHAFT_URL to a directory on a local disk".into(),
        }),
        _ => Ok(None),
    }
}

/// Refuses the home of another user, which the superuser could use all the same: what its server writes there would
/// keep that user's own one from starting. What counts is who made the home, not who owns the place it was put.
pub(super) fn check_owner(home: &Home) -> Result<(), Error> {
    let made_by = fs::metadata(home.path().join("FORMAT")).map(|found| found.uid());
    made_by.map_or(Ok(()), |owner| judge_owner(home, owner, rustix::process::geteuid().as_raw()))
}

fn judge_owner(home: &Home, owner: u32, me: u32) -> Result<(), Error> {
    if owner == me {
        return Ok(());
    }
    let path = home.path().display();
    let user = user_argument(me);
    let (owner, me) = (user_name(owner), user_name(me));
    Err(Error::Home {
        message: format!(
            "the home {path} was made by {owner} and this process runs as {me}: its server would write files there that \
             the owner cannot open"
        ),
        hint: format!(
            "run it as {owner}, or `sudo chown -R {user} {path}`, or set LINESHAFT_URL to a home of \
             your own"
        ),
    })
}

/// Refuses a directory inside of another home: what lies there is taken for that one's, and goes with it.
pub(super) fn check_place(home: &Home) -> Result<(), Error> {
    let existing = nearest_existing(home.path());
    let found = existing.canonicalize().unwrap_or_else(|_| existing.to_owned());
    let own = usize::from(existing == home.path());
    found.ancestors().skip(own).find(|above| is_home(above)).map_or(Ok(()), |outer| {
        Err(Error::Home {
            message: format!(
                "the home {} would be inside of another one, {}",
                home.path().display(),
                outer.display()
            ),
            hint: "choose a directory outside of it, or name that one".into(),
        })
    })
}

fn is_home(path: &Path) -> bool {
    fs::read(path.join("FORMAT")).is_ok_and(|text| text.starts_with(b"lineshaft "))
}

/// Says why a home cannot be read or written, with the owner and the way out.
pub(super) fn explain(home: &Home, verb: &str, error: &io::Error) -> Error {
    if home.path().exists() && !home.path().is_dir() {
        return Error::Home {
            message: format!("the home {} is a file, not a directory", home.path().display()),
            hint: "move the file away, or set LINESHAFT_URL to a directory".into(),
        };
    }
    let place = nearest_existing(home.path());
    let owner = fs::metadata(place).map_or_else(|_| "nobody known".to_owned(), |found| owner(&found));
    let message = format!(
        "the home {} cannot be {verb}: {error}; {} belongs to {owner} and this process runs as {}",
        home.path().display(),
        place.display(),
        user_name(rustix::process::geteuid().as_raw()),
    );
    let hint = if error.kind() == io::ErrorKind::PermissionDenied {
        format!("`{}`, or set LINESHAFT_URL to a directory of your own", remedy(home, place))
    } else {
        format!("set LINESHAFT_URL to a directory that can be {verb}")
    };
    Error::Home { message, hint }
}

/// The command that makes the home writable. What is above the home is left to whom it belongs.
fn remedy(home: &Home, place: &Path) -> String {
    let (user, path) = (me(), home.path().display());
    if place.starts_with(home.path()) {
        format!("sudo chown -R {user} {path}")
    } else {
        format!("sudo install -d -m 700 -o {user} {path}")
    }
}

fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(path)
}

fn owner(metadata: &fs::Metadata) -> String {
    format!("{} (mode {:04o})", user_name(metadata.uid()), metadata.mode() & 0o7777)
}

fn me() -> String {
    user_argument(rustix::process::geteuid().as_raw())
}

/// The user as commands take it.
fn user_argument(uid: u32) -> String {
    user_name(uid).replace("uid ", "")
}

/// The user's name from `/etc/passwd`, or the number where that does not say.
fn user_name(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid.to_string()));
    line.and_then(|line| line.split(':').next()).map_or_else(|| format!("uid {uid}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_container_layers_are_warned_of_and_network_is_refused() {
        let judge = |kind| judge(Path::new("/data/.lineshaft"), kind);
        let warning = judge(FileSystem::Memory).unwrap().unwrap();
        assert!(
            warning.contains("/data/.lineshaft is on tmpfs (memory): its jobs are gone after a reboot"),
            "{warning}"
        );
        assert!(judge(FileSystem::Overlay).unwrap().unwrap().contains("go with the container"));
        assert_eq!(judge(FileSystem::Local("ext4")).unwrap(), None);
        assert_eq!(judge(FileSystem::Unknown(7)).unwrap(), None);
        for kind in [FileSystem::Network("nfs"), FileSystem::Fuse] {
            let error = judge(kind).unwrap_err();
            assert!(error.to_string().contains("cannot be relied on"), "{error}");
            assert!(error.hint().unwrap().contains("LINESHAFT_URL"));
        }
    }

    #[test]
    fn a_home_that_cannot_be_written_names_owner_path_and_fix() {
        let error = explain(&Home::new("/etc/none/home"), "written", &io::ErrorKind::PermissionDenied.into());
        let text = error.to_string();
        assert!(text.contains("/etc/none/home") && text.contains("/etc belongs to root (mode 0"), "{text}");
        let user = me();
        let hint = error.hint().unwrap();
        assert!(
            hint.starts_with(&format!("`sudo install -d -m 700 -o {user} /etc/none/home`, or set")),
            "{hint}"
        );
        let hint =
            explain(&Home::new("/etc"), "written", &io::ErrorKind::PermissionDenied.into()).hint().unwrap();
        assert!(hint.starts_with(&format!("`sudo chown -R {user} /etc`, or set LINESHAFT_URL")), "{hint}");
    }

    #[test]
    fn a_home_of_another_user_is_refused_with_two_ways_out() {
        let home = Home::new("/srv/shop/.lineshaft");
        let error = judge_owner(&home, 3_999_999_999, 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the home /srv/shop/.lineshaft was made by uid 3999999999 and this process runs as root: its server would \
             write files there that the owner cannot open"
        );
        let hint = error.hint().unwrap();
        assert!(hint.starts_with("run it as uid 3999999999, or "), "{hint}");
        assert!(hint.contains("`sudo chown -R root /srv/shop/.lineshaft`"), "{hint}");
        assert!(judge_owner(&home, 0, 0).is_ok());
    }

    /// `--home h/seg` made a home among the segments of another one.
    #[test]
    fn a_home_inside_of_another_one_is_refused_by_whatever_path() {
        let place = tempfile::tempdir().unwrap();
        let outer = place.path().join("outer");
        fs::create_dir_all(outer.join("seg")).unwrap();
        fs::write(outer.join("FORMAT"), "lineshaft home 1\n").unwrap();
        std::os::unix::fs::symlink(&outer, place.path().join("link")).unwrap();
        for inner in ["outer/seg", "outer/new/deep", "link/seg"] {
            let error = check_place(&Home::new(place.path().join(inner))).unwrap_err().to_string();
            assert!(
                error.ends_with(&format!("would be inside of another one, {}", outer.display())),
                "{error}"
            );
        }
        for beside in ["outer", "link", "new"] {
            check_place(&Home::new(place.path().join(beside))).unwrap();
        }
    }

    #[test]
    fn users_without_a_name_show_as_numbers() {
        assert_eq!((user_name(0).as_str(), user_name(3_999_999_999).as_str()), ("root", "uid 3999999999"));
    }
}
