//! `lineshaft doctor`: looks at the machine, the home and the server, and says what to mend and how.
//!
//! Each check is a file with a function that gives its findings; [`CHECKS`] lists them. Nothing is changed but for a small
//! file, written to measure the disk and removed again.

mod clock;
mod disk;
mod finding;
mod home;
mod limits;
mod server;
mod versions;

use lineshaft::home::Home;
use serde_json::json;

use crate::context::Context;
use crate::exit::{FAILED, Failure};
use finding::{Finding, Severity};

type Check = fn(&Home, &mut Context) -> Vec<Finding>;

const CHECKS: [Check; 6] =
    [home::check, disk::check, server::check, versions::check, limits::check, clock::check];

pub(crate) fn run(context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    let findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&home, context)).collect();
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (problems, warnings) = (count(Severity::Problem), count(Severity::Warning));
    if context.output.is_json() {
        let place = home.path().display().to_string();
        let list: Vec<_> = findings.iter().map(Finding::document).collect();
        context.output.json(&json!({
            "home": place, "problems": problems, "warnings": warnings, "findings": list,
        }))?;
    } else {
        context.output.line(format!("{}", home.path().display()))?;
        for line in findings.iter().flat_map(Finding::lines) {
            context.output.line(line)?;
        }
    }
    match problems {
        0 => Ok(()),
        1 => Err(Failure::new(FAILED, "a problem was found")),
        _ => Err(Failure::new(FAILED, format!("{problems} problems were found"))),
    }
}
