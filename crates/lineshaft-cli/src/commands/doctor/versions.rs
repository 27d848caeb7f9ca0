//! Whether command, server and Python package are of one version.

use lineshaft::config::{PYTHON, Settings};
use lineshaft::home::Home;
use lineshaft::launch;
use lineshaft_wire::message::Welcome;

use super::finding::Finding;
use crate::context::{Context, working_directory};
use crate::python;

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn check(home: &Home, context: &mut Context) -> Vec<Finding> {
    let mut findings = vec![Finding::fine("version", format!("this is lineshaft {VERSION}"))];
    if launch::is_answering(home) {
        match context.running_client() {
            Ok(client) => findings.extend(client.welcome().map(|welcome| judge_server(&welcome))),
            Err(failure) => {
                let fix = failure.hint.unwrap_or_else(|| "restart the server with this version".to_owned());
                findings.push(Finding::problem("version", format!("the server: {}", failure.message), fix));
            }
        }
    }
    let set = working_directory().and_then(|cwd| Ok(Settings::find(&cwd)?.get(&PYTHON, None)?));
    match set {
        Ok(set) => findings.extend(python::look(set, context).map(judge_python)),
        Err(failure) => findings.push(Finding::problem("python", failure.message, "mend that setting")),
    }
    findings
}

fn judge_server(welcome: &Welcome) -> Finding {
    let Welcome { version, executable, pid, .. } = welcome;
    let message = format!("the server (process {pid}) is lineshaft {version}, {executable}");
    if version != VERSION {
        return Finding::warning(
            "version",
            message,
            "update every program of the home, then restart the server",
        );
    }
    // As somebody would run it: with an interpreter, the rest are its arguments.
    let program = executable.strip_suffix(" -m lineshaft").unwrap_or(executable);
    if program.ends_with(" (deleted)") || !std::path::Path::new(program).exists() {
        return Finding::warning(
            "version",
            format!("{message}, which is gone"),
            "restart the server: `lineshaft stop`",
        );
    }
    Finding::fine("version", message)
}

/// The interpreter that workers would run with, or why none fits.
fn judge_python(looked: Result<String, String>) -> Finding {
    match looked {
        Ok(interpreter) => Finding::fine("python", format!("{interpreter} has lineshaft {VERSION}")),
        Err(why) => Finding::warning(
            "python",
            format!("no interpreter has lineshaft {VERSION}: {why}"),
            format!("`pip install lineshaft=={VERSION}`; without tasks in Python none is needed"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity::{Fine, Warning};
    use super::*;

    #[test]
    fn another_version_and_an_executable_that_is_gone_are_told() {
        let welcome = |version: &str, executable: &str| {
            judge_server(&Welcome {
                protocol: 1,
                version: version.to_owned(),
                executable: executable.to_owned(),
                pid: 7,
                home: "/srv".to_owned(),
                on_demand: false,
                epoch: 1,
                session: None,
                frame_bytes_max: 1,
                payload_bytes_max: 1,
                window: 1,
            })
        };
        let found =
            [welcome(VERSION, "/bin/sh"), welcome("0.0.1", "/bin/sh"), welcome(VERSION, "/none/lineshaft")];
        assert_eq!(found.map(|found| found.severity), [Fine, Warning, Warning]);
        // Every server of the Python package was told to be gone.
        let found = [welcome(VERSION, "/bin/sh -m lineshaft"), welcome(VERSION, "/none/python -m lineshaft")];
        assert_eq!(found.map(|found| found.severity), [Fine, Warning]);
        assert_eq!(judge_python(Err("none was found".to_owned())).severity, Warning);
    }
}
