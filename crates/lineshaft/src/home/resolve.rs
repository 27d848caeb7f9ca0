//! Which home a program means.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::config::{Origin, Place, Settings, URL, Value};

/// The home's name where nobody says anything else.
const DEFAULT_NAME: &str = ".lineshaft";
/// What tells the root of a project.
const MARKERS: [&str; 4] = ["pyproject.toml", "setup.cfg", "manage.py", ".git"];

/// A home found, and why it is this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Its absolute path.
    pub path: PathBuf,
    /// What named it.
    pub source: Source,
}

/// What named a home.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// `App("…")` or `--home`.
    Explicit,
    /// `LINESHAFT_URL`.
    Environment,
    /// `url` in a configuration file.
    ConfigFile(Place),
    /// The default, beside this marker of a project's root.
    Project(PathBuf),
    /// The default, in this directory.
    Directory(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Explicit => f.write_str("given explicitly"),
            Self::Environment => f.write_str(URL.variable),
            Self::ConfigFile(place) => place.fmt(f),
            Self::Project(marker) => write!(f, "beside {}", marker.display()),
            Self::Directory(directory) => write!(f, "in {}", directory.display()),
        }
    }
}

/// Finds the home, first match: `explicit` (a path, or a path as `file:` URL) · `LINESHAFT_URL` · `url` in
/// `lineshaft.toml` or `pyproject.toml` upward of `creator_file` (of `cwd` if there is none), or in the user's
/// `config.toml` · `.lineshaft` beside the nearest project marker upward of it · `.lineshaft` beside the file.
///
/// Relative paths count from the directory of what named them: the creating file for `explicit`, `cwd` for the
/// variable, the configuration file for its url.
pub fn resolve(explicit: Option<&str>, creator_file: Option<&Path>, cwd: &Path) -> Result<Resolved, Error> {
    resolve_with(explicit, std::env::var_os(URL.variable), creator_file, cwd)
}

fn resolve_with(
    explicit: Option<&str>,
    variable: Option<OsString>,
    creator_file: Option<&Path>,
    cwd: &Path,
) -> Result<Resolved, Error> {
    let start = start_directory(creator_file, cwd);
    if let Some(url) = explicit {
        return Ok(Resolved { path: path_of(url, &start)?, source: Source::Explicit });
    }
    if let Some(url) = variable.filter(|url| !url.is_empty()) {
        let url = url.into_string().map_err(|url| unsupported(&url.to_string_lossy(), "it is not UTF-8"))?;
        return Ok(Resolved { path: path_of(&url, cwd)?, source: Source::Environment });
    }
    let found = Settings::in_files_of(&start)?.get(&URL, None)?;
    if let (Some(url), Origin::File(place)) = (found.value.and_then(Value::into_text), found.origin) {
        let path = path_of(&url, place.file.parent().unwrap_or(cwd))?;
        return Ok(Resolved { path, source: Source::ConfigFile(place) });
    }
    Ok(default_home(start))
}

/// Where the search upward begins: beside `creator_file`, else at `cwd`.
pub fn start_directory(creator_file: Option<&Path>, cwd: &Path) -> PathBuf {
    let absolute = creator_file.map(|file| cwd.join(file));
    absolute.and_then(|file| file.parent().map(Path::to_owned)).unwrap_or_else(|| cwd.to_owned())
}

fn default_home(start: PathBuf) -> Resolved {
    let marker = start.ancestors().flat_map(|directory| MARKERS.map(|name| directory.join(name)));
    match marker.into_iter().find(|marker| marker.exists()) {
        Some(marker) => {
            let root = marker.parent().unwrap_or(&start);
            Resolved { path: root.join(DEFAULT_NAME), source: Source::Project(marker) }
        }
        None => Resolved { path: start.join(DEFAULT_NAME), source: Source::Directory(start) },
    }
}

fn path_of(url: &str, base: &Path) -> Result<PathBuf, Error> {
    let text = match url.split_once(':') {
        Some(("file", rest)) => &decode_file_url(url, rest)?,
        Some((scheme, _)) if is_scheme(scheme, url) => return Err(other_scheme(scheme, url)),
        Some((host, port)) if is_address(host, port) => {
            return Err(unsupported(url, "apps and commands do not connect by TCP yet"));
        }
        _ => url,
    };
    if text.trim().is_empty() || text.contains('\0') {
        return Err(unsupported(url, "it names no directory"));
    }
    let path = base.join(expand_home(text));
    Ok(std::path::absolute(&path).unwrap_or(path))
}

fn is_scheme(scheme: &str, url: &str) -> bool {
    let well_formed = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char));
    well_formed && url[scheme.len()..].starts_with("://")
}

/// `HOST:PORT` rather than the name of a directory.
fn is_address(host: &str, port: &str) -> bool {
    let is_host =
        !host.is_empty() && host.chars().all(|char| char.is_ascii_alphanumeric() || "-.".contains(char));
    is_host && port.parse::<u16>().is_ok()
}

fn other_scheme(scheme: &str, url: &str) -> Error {
    let detail = match scheme {
        "postgres" | "postgresql" | "http" | "https" => format!("{scheme}:// is not built yet"),
        _ => format!("{scheme}:// is not known"),
    };
    unsupported(url, &detail)
}

/// `file:///a/b`, `file://localhost/a/b` and `file:a/b`, with `%20` and the like.
fn decode_file_url(url: &str, rest: &str) -> Result<String, Error> {
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(local) if local.starts_with('/') => local,
        Some(remote) => {
            remote.strip_prefix("localhost").ok_or_else(|| unsupported(url, "it names another host"))?
        }
    };
    percent_decode(path).ok_or_else(|| unsupported(url, "its %-escapes do not read"))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok()
}

fn expand_home(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}

fn unsupported(url: &str, detail: &str) -> Error {
    Error::Home {
        message: format!("{:?} cannot be used as a home: {detail}", hide_password(url)),
        hint: "accepted: a directory such as `jobs` or `/var/lib/app/.lineshaft`, or the same as `file:///…`"
            .into(),
    }
}

/// A url without what stands between `:` and `@`, since errors end up in logs.
pub fn hide_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((user, host)) => {
            let name = user.split(':').next().unwrap_or_default();
            let password = if user.contains(':') { ":***" } else { "" };
            format!("{scheme}://{name}{password}@{host}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn check_path(url: &str, expected: &str) {
        assert_eq!(path_of(url, Path::new("/base")).unwrap(), Path::new(expected), "{url}");
    }

    fn check_refused(url: &str, expected: &str) {
        let error = path_of(url, Path::new("/base")).unwrap_err();
        assert_eq!(error.to_string(), expected, "{url}");
        assert!(error.hint().unwrap().starts_with("accepted: a directory"));
    }

    #[test]
    fn paths_and_file_urls_are_homes() {
        check_path("jobs", "/base/jobs");
        check_path("./jobs", "/base/jobs");
        check_path("/var/jobs", "/var/jobs");
        check_path("a:b", "/base/a:b");
        check_path("./a:1", "/base/a:1");
        check_path("file:///var/my%20jobs", "/var/my jobs");
        check_path("file://localhost/var/jobs", "/var/jobs");
        check_path("file:jobs", "/base/jobs");
    }

    #[test]
    fn other_urls_are_refused_without_their_password() {
        check_refused(
            "127.0.0.1:7070",
            "\"127.0.0.1:7070\" cannot be used as a home: apps and commands do not connect by TCP yet",
        );
        check_refused(
            "postgres://me:secret@db/app",
            "\"postgres://me:***@db/app\" cannot be used as a home: postgres:// is not built yet",
        );
        check_refused("https://host", "\"https://host\" cannot be used as a home: https:// is not built yet");
        check_refused("redis://host", "\"redis://host\" cannot be used as a home: redis:// is not known");
        check_refused("file://nas/x", "\"file://nas/x\" cannot be used as a home: it names another host");
        check_refused("file:///x%zz", "\"file:///x%zz\" cannot be used as a home: its %-escapes do not read");
        check_refused("", "\"\" cannot be used as a home: it names no directory");
    }

    #[test]
    fn the_first_source_that_names_a_home_wins() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let inner = root.join("src/shop");
        fs::create_dir_all(&inner).unwrap();
        fs::write(root.join("pyproject.toml"), "[project]\nname = \"shop\"\n").unwrap();
        let file = inner.join("app.py");
        let resolve = |explicit, variable: Option<&str>| {
            resolve_with(explicit, variable.map(OsString::from), Some(&file), Path::new("/elsewhere"))
                .unwrap()
        };
        let resolved = |path, source| Resolved { path, source };

        let marker = root.join("pyproject.toml");
        assert_eq!(resolve(None, None), resolved(root.join(".lineshaft"), Source::Project(marker)));

        fs::write(root.join("lineshaft.toml"), "[tool.lineshaft]\nurl = \"var/jobs\"\n").unwrap();
        let config = Source::ConfigFile(Place { file: root.join("lineshaft.toml"), line: 2 });
        assert_eq!(resolve(None, None), resolved(root.join("var/jobs"), config.clone()));
        assert_eq!(resolve(None, Some("")).source, config);
        assert_eq!(resolve(None, Some("x")), resolved("/elsewhere/x".into(), Source::Environment));
        assert_eq!(resolve(Some("y"), Some("x")), resolved(inner.join("y"), Source::Explicit));
    }

    #[test]
    fn without_project_or_configuration_the_home_is_beside_the_file() {
        let root = tempfile::tempdir().unwrap();
        if root.path().ancestors().any(|directory| MARKERS.iter().any(|name| directory.join(name).exists())) {
            return;
        }
        let file = root.path().join("app.py");
        let found = resolve_with(None, None, Some(&file), Path::new("/")).unwrap();
        assert_eq!(found.path, root.path().join(".lineshaft"));
    }

    #[test]
    fn a_configuration_that_does_not_read_is_an_error_naming_the_file() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("pyproject.toml"), "[tool.lineshaft]\nurl = 7\n").unwrap();
        let error = resolve_with(None, None, None, root.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("pyproject.toml:2: `url` in [tool.lineshaft] is 7: this is not a directory"),
            "{error}"
        );
    }
}
