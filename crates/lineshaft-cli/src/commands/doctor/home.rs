//! The home itself: whose it is, who may read it, and whether it is whole enough to be opened.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use lineshaft::home::{Home, SOCKET_PATH_BYTES_MAX};
use lineshaft_store::home::FORMAT_VERSION;
use rustix::fs::{Access, access};

use super::finding::Finding;
use crate::context::Context;

pub(super) fn check(home: &Home, _: &mut Context) -> Vec<Finding> {
    let path = home.path();
    let Ok(found) = fs::metadata(path) else { return vec![missing(path)] };
    if !found.is_dir() {
        let fix = "move the file away, or set LINESHAFT_URL to a directory";
        return vec![Finding::problem("home", "it is a file, not a directory", fix)];
    }
    let mut findings = vec![
        judge_owner(path, found.uid(), rustix::process::geteuid().as_raw()),
        judge_mode(path, found.mode()),
    ];
    if access(path, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        findings.push(Finding::problem(
            "home",
            "it cannot be written to",
            format!("chmod u+rwx {}", path.display()),
        ));
    }
    findings.extend(fs::read(path.join("FORMAT")).ok().map(|text| judge_format(&text)));
    findings.extend(
        fs::metadata(home.token_file()).ok().and_then(|found| judge_token(&home.token_file(), found.mode())),
    );
    findings.push(judge_socket(&home.default_socket()));
    findings
}

/// A home is made where it can be; whether it can is seen above it.
fn missing(path: &Path) -> Finding {
    let above = path.ancestors().skip(1).find(|above| above.exists());
    match above {
        Some(above) if access(above, Access::WRITE_OK | Access::EXEC_OK).is_err() => Finding::problem(
            "home",
            format!("there is none yet, and {} cannot be written to", above.display()),
            "set LINESHAFT_URL to a directory of your own",
        ),
        _ => Finding::fine("home", "there is none yet: the first job makes it"),
    }
}

fn judge_owner(path: &Path, owner: u32, me: u32) -> Finding {
    if owner == me {
        return Finding::fine("home", "it is yours");
    }
    let message = format!("it belongs to user {owner}, and this is user {me}");
    let fix = format!("run as that user, or `sudo chown -R {me} {}`", path.display());
    Finding::problem("home", message, fix)
}

fn judge_mode(path: &Path, mode: u32) -> Finding {
    if !is_open(mode) {
        return Finding::fine("home", "nobody else can enter it");
    }
    let message = format!("others may enter it (mode {:04o}): it holds arguments and results", mode & 0o7777);
    Finding::warning("home", message, format!("chmod 700 {}", path.display()))
}

/// Whether others than the owner may do anything with it.
fn is_open(mode: u32) -> bool {
    mode & 0o077 != 0
}

fn judge_format(text: &[u8]) -> Finding {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_end();
    if text == format!("lineshaft home {FORMAT_VERSION}") {
        return Finding::fine("format", text);
    }
    let (message, fix) = match text {
        "lineshaft restore" => {
            ("a restore did not come to its end".to_owned(), "remove the home and restore again")
        }
        _ if text.starts_with("lineshaft home ") => (
            format!("{text}, and this version has {FORMAT_VERSION}"),
            "an older one: `lineshaft store upgrade`; a newer one: use the version that wrote it",
        ),
        _ => ("its FORMAT file is damaged".to_owned(), "`lineshaft store doctor` looks at the rest"),
    };
    Finding::problem("format", message, fix)
}

fn judge_token(path: &Path, mode: u32) -> Option<Finding> {
    let message = format!("others may read the token for TCP (mode {:04o})", mode & 0o7777);
    let fix = format!("remove {} and restart the server, which makes another one", path.display());
    is_open(mode).then(|| Finding::problem("token", message, fix))
}

fn judge_socket(path: &Path) -> Finding {
    let length = path.as_os_str().len();
    if length <= SOCKET_PATH_BYTES_MAX {
        return Finding::fine("socket", path.display().to_string());
    }
    let message =
        format!("its path would have {length} bytes: the socket lies elsewhere, run/address says where");
    Finding::fine("socket", message)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity::{Fine, Problem, Warning};
    use super::*;

    #[test]
    fn a_home_of_others_or_open_to_them_is_told_with_the_command_that_mends_it() {
        let path = Path::new("/srv/home");
        assert_eq!(judge_owner(path, 7, 7).severity, Fine);
        let found = judge_owner(path, 0, 7);
        assert_eq!(
            (found.severity, found.fix.unwrap().ends_with("`sudo chown -R 7 /srv/home`")),
            (Problem, true)
        );
        let found = judge_mode(path, 0o40755);
        assert_eq!((found.severity, found.fix.as_deref()), (Warning, Some("chmod 700 /srv/home")));
        assert!(found.message.contains("mode 0755"), "{found:?}");
        assert_eq!(judge_mode(path, 0o40700).severity, Fine);
        assert!(judge_token(path, 0o100_600).is_none());
        assert_eq!(judge_token(path, 0o100_644).unwrap().severity, Problem);
    }

    #[test]
    fn formats_that_cannot_be_opened_are_told() {
        let check = |text: &str, message: &str| {
            let found = judge_format(text.as_bytes());
            assert!(found.severity == Problem && found.message.contains(message), "{found:?}");
        };
        check("lineshaft restore\n", "did not come to its end");
        check("lineshaft home 99\n", "lineshaft home 99, and this version has");
        check("\u{0}\u{0}", "damaged");
        assert_eq!(judge_format(format!("lineshaft home {FORMAT_VERSION}\n").as_bytes()).severity, Fine);
    }

    #[test]
    fn a_long_path_of_the_socket_is_said() {
        let long = format!("/{}/run/socket", "x".repeat(SOCKET_PATH_BYTES_MAX));
        assert!(judge_socket(Path::new(&long)).message.contains("lies elsewhere"));
    }
}
