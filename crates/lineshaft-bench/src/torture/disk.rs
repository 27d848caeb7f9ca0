//! A small file system in memory that is full now and then. It is mounted where only this process and what it starts can
//! see it, so that it goes with them, whatever happens.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

const BYTES: &str = "64m";
const MIB: usize = 1 << 20;
/// How a mount namespace is had: by root, and by others where the system lets them.
const WAYS: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];

/// Runs `command` in place of this process, where it may mount. Returns only if that is not possible, and says why.
pub fn enter(command: &[OsString], directory: &Path) -> String {
    let Some(way) = WAYS.into_iter().find(|way| is_possible(way, directory)) else {
        return "a small file system cannot be mounted by this user".to_owned();
    };
    Command::new("unshare").args(way).arg("--").args(command).exec().to_string()
}

fn is_possible(way: &[&str], directory: &Path) -> bool {
    let mut command = Command::new("unshare");
    command.args(way).arg("--").args(mount(directory)).stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn mount(at: &Path) -> Vec<OsString> {
    let size = format!("size={BYTES},mode=700");
    let words = ["mount", "-t", "tmpfs", "-o", &size, "lineshaft-torture"];
    words.into_iter().map(OsString::from).chain([at.into()]).collect()
}

/// A file system of 64 MiB; unmounted when dropped.
#[derive(Debug)]
pub(super) struct SmallDisk {
    home: PathBuf,
    ballast: PathBuf,
}

impl SmallDisk {
    /// Mounts it at `home`, which is made.
    pub(super) fn mount(home: &Path) -> Result<Self> {
        fs::create_dir_all(home).map_err(Error::io(format!("make {}", home.display())))?;
        let words = mount(home);
        let done = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).output();
        let done = done.map_err(Error::io("run mount"))?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(Error::process(
                format!("cannot mount a small file system at {}", home.display()),
                said.trim(),
            ));
        }
        Ok(Self { home: home.to_owned(), ballast: home.join("ballast") })
    }

    /// Takes every free byte.
    pub(super) fn fill(&self) -> Result<()> {
        let failed = || Error::io(format!("fill {}", self.ballast.display()));
        let mut file = File::create(&self.ballast).map_err(failed())?;
        for bytes in [MIB, 4096] {
            loop {
                match file.write_all(&vec![0; bytes]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(failed()(error)),
                }
            }
        }
        Ok(())
    }

    /// Copies what is on it beside it, for somebody to look at: the file system itself goes with this process.
    pub(super) fn keep(&self) -> Result<()> {
        let mut command = Command::new("cp");
        command.arg("-a").arg(&self.home).arg(self.home.with_extension("kept"));
        command.status().map(drop).map_err(Error::io(format!("copy {}", self.home.display())))
    }

    /// Gives them back.
    pub(super) fn free(&self) -> Result<()> {
        match fs::remove_file(&self.ballast) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format!("remove {}", self.ballast.display()))(error))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Else its directory could not be removed. Processes that are just ending may still use it.
        let mut command = Command::new("umount");
        let _ = command.arg("--lazy").arg(&self.home).stdin(Stdio::null()).stderr(Stdio::null()).status();
    }
}
