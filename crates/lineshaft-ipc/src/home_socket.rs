//! Which socket belongs to which home.
//!
//! A home says in a file where its server listens, and that file goes along when the home is copied or moved: then it
//! names the socket of another home. So a socket is known by the directory it lies in, and homes are told apart by
//! device and inode, which neither a move nor another way of writing the path changes, and which no copy shares.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the name of a directory begins with that a server makes for a socket outside of its home.
const PREFIX: &str = "lineshaft-";

/// Name of the directory for the socket of `home` where the path of one in the home would be too long: the user, so that
/// two of them do not meet in a directory for everybody, and the home.
pub fn directory_name(home: &Path) -> io::Result<String> {
    Ok(format!("{PREFIX}{}-{}", rustix::process::geteuid().as_raw(), tag(home)?))
}

/// Whether the server that listens on `socket` is one of the directory `home`.
pub fn is_socket_of(socket: &Path, home: &Path) -> bool {
    let Some(directory) = socket.parent() else { return false };
    is_same(directory, &home.join("run")) || is_named_after(directory, home)
}

/// What tells a file or directory from another one in its place, or of the same name elsewhere.
pub fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

fn is_named_after(directory: &Path, home: &Path) -> bool {
    let name = directory.file_name().and_then(|name| name.to_str());
    let named = name.and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
    named.is_some_and(|(_, named)| tag(home).is_ok_and(|tag| tag == named))
}

fn tag(home: &Path) -> io::Result<String> {
    identity(home).map(|(device, inode)| format!("{device:x}-{inode:x}"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_socket_in_the_home_is_its_own_by_whatever_path_and_not_a_copys() {
        let place = tempfile::tempdir().unwrap();
        let (home, copy, link) = (place.path().join("a"), place.path().join("b"), place.path().join("c"));
        fs::create_dir_all(home.join("run")).unwrap();
        fs::create_dir_all(copy.join("run")).unwrap();
        symlink(&home, &link).unwrap();
        let socket = home.join("run/socket");
        assert!(is_socket_of(&socket, &home) && is_socket_of(&socket, &link));
        assert!(!is_socket_of(&socket, &copy));
        fs::rename(&home, place.path().join("moved")).unwrap();
        assert!(!is_socket_of(&socket, &place.path().join("moved")), "nothing is there any more");
        fs::create_dir_all(home.join("run")).unwrap();
        assert!(!is_socket_of(&socket, &place.path().join("moved")), "another home took its place");
    }

    #[test]
    fn a_socket_elsewhere_is_known_by_the_name_of_its_directory_also_after_a_move() {
        let place = tempfile::tempdir().unwrap();
        let (home, moved) = (place.path().join("home"), place.path().join("moved"));
        fs::create_dir(&home).unwrap();
        let socket = Path::new("/tmp").join(directory_name(&home).unwrap()).join("socket");
        assert!(is_socket_of(&socket, &home) && !is_socket_of(&socket, place.path()));
        fs::rename(&home, &moved).unwrap();
        assert!(is_socket_of(&socket, &moved));
    }
}
