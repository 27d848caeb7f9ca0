//! What kind of file system a directory is on.
//!
//! A home wants a local disk: locks and syncs of network file systems are not to be relied on, and memory forgets.

use std::fmt;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::{Error, Result};

/// The kind of file system, as far as durability and locking care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileSystem {
    /// On a disk of this host, by name (`"ext4"`).
    Local(&'static str),
    /// In memory (tmpfs, ramfs): a reboot forgets it.
    Memory,
    /// The layers of a container: they go with it.
    Overlay,
    /// On another host or shared with it, by name (`"nfs"`).
    Network(&'static str),
    /// Served by a process; behind it may be anything.
    Fuse,
    /// None of those listed, by the kernel's magic number.
    Unknown(u32),
}

use FileSystem::{Fuse, Local, Memory, Network, Overlay};

/// Magic numbers of `statfs(2)` and `linux/magic.h`.
const KINDS: [(u32, FileSystem); 44] = [
    (0xef53, Local("ext4")),
    (0x5846_5342, Local("xfs")),
    (0x9123_683e, Local("btrfs")),
    (0xf2f5_2010, Local("f2fs")),
    (0x2fc1_2fc1, Local("zfs")),
    (0xca45_1a4e, Local("bcachefs")),
    (0x5265_4973, Local("reiserfs")),
    (0x3153_464a, Local("jfs")),
    (0x3434, Local("nilfs")),
    (0x5346_544e, Local("ntfs")),
    (0x7366_746e, Local("ntfs3")),
    (0x4d44, Local("vfat")),
    (0x2011_bab0, Local("exfat")),
    (0x482b, Local("hfsplus")),
    (0x1501_3346, Local("udf")),
    (0x9660, Local("iso9660")),
    (0x7371_7368, Local("squashfs")),
    (0xe0f5_e1e2, Local("erofs")),
    (0xf15f, Local("ecryptfs")),
    (0x2405_1905, Local("ubifs")),
    (0x0102_1994, Memory),
    (0x8584_58f6, Memory),
    (0x9584_58f6, Memory),
    (0x794c_7630, Overlay),
    (0x6175_6673, Overlay),
    (0x6969, Network("nfs")),
    (0xff53_4d42, Network("cifs")),
    (0xfe53_4d42, Network("smb2")),
    (0x517b, Network("smb")),
    (0x0102_1997, Network("9p")),
    (0x00c3_6400, Network("ceph")),
    (0x5346_414f, Network("afs")),
    (0x6b41_4653, Network("afs")),
    (0x7375_7245, Network("coda")),
    (0x564c, Network("ncp")),
    (0x0bd0_0bd0, Network("lustre")),
    (0x4750_4653, Network("gpfs")),
    (0x1983_0326, Network("beegfs")),
    (0x0116_1970, Network("gfs2")),
    (0x7461_636f, Network("ocfs2")),
    (0xaad7_aaea, Network("panfs")),
    (0x786f_4256, Network("vboxsf")),
    (0xbacb_acbc, Network("vmhgfs")),
    (0x6573_5546, Fuse),
];

impl FileSystem {
    fn from_magic(magic: u32) -> Self {
        let known = KINDS.iter().find(|&&(number, _)| number == magic);
        known.map_or(Self::Unknown(magic), |&(_, kind)| kind)
    }
}

/// What a user reads: `ext4`, `nfs (network)`.
impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(name) => f.write_str(name),
            Self::Memory => f.write_str("tmpfs (memory)"),
            Self::Overlay => f.write_str("overlay (container layer)"),
            Self::Network(name) => write!(f, "{name} (network)"),
            Self::Fuse => f.write_str("fuse"),
            Self::Unknown(magic) => write!(f, "unknown ({magic:#x})"),
        }
    }
}

/// The kind of file system `path` is on, or will be: of a path that does not exist yet, its nearest parent counts.
pub fn file_system_kind(path: &Path) -> Result<FileSystem> {
    let mut probe = path;
    loop {
        let existing = if probe.as_os_str().is_empty() { Path::new(".") } else { probe };
        match rustix::fs::statfs(existing) {
            // 32 bits on every architecture; where the field is signed and narrow it arrives sign-extended.
            Ok(statfs) => return Ok(FileSystem::from_magic(statfs.f_type as u32)),
            Err(Errno::NOENT) => probe = probe.parent().ok_or_else(|| refused(path, Errno::NOENT))?,
            Err(error) => return Err(refused(path, error)),
        }
    }
}

fn refused(path: &Path, error: Errno) -> Error {
    Error::os(format!("tell the file system of {}", path.display()))(io::Error::from(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_numbers_are_listed_once() {
        let mut numbers = KINDS.map(|(number, _)| number);
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn kinds_are_told_by_their_numbers() {
        for (magic, text) in [
            (libc::EXT4_SUPER_MAGIC as u32, "ext4"),
            (libc::XFS_SUPER_MAGIC as u32, "xfs"),
            (libc::BTRFS_SUPER_MAGIC as u32, "btrfs"),
            (libc::TMPFS_MAGIC as u32, "tmpfs (memory)"),
            (libc::OVERLAYFS_SUPER_MAGIC as u32, "overlay (container layer)"),
            (libc::NFS_SUPER_MAGIC as u32, "nfs (network)"),
            (libc::SMB_SUPER_MAGIC as u32, "smb (network)"),
            (libc::FUSE_SUPER_MAGIC as u32, "fuse"),
            (libc::PROC_SUPER_MAGIC as u32, "unknown (0x9fa0)"),
        ] {
            assert_eq!(FileSystem::from_magic(magic).to_string(), text);
        }
    }
}
