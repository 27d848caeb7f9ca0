//! What a check found, and what to do about it.

use serde_json::{Value as Json, json};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// As it should be.
    Fine,
    /// It works, but could be better, or may not work one day.
    Warning,
    /// It does not work.
    Problem,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// What was looked at, in a word.
    pub(super) check: &'static str,
    pub(super) severity: Severity,
    /// What is so.
    pub(super) message: String,
    /// What to do; everything that is not fine has it.
    pub(super) fix: Option<String>,
}

impl Finding {
    pub(super) fn fine(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, severity: Severity::Fine, message: message.into(), fix: None }
    }

    pub(super) fn warning(check: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, severity: Severity::Warning, message: message.into(), fix: Some(fix.into()) }
    }

    pub(super) fn problem(check: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, severity: Severity::Problem, message: message.into(), fix: Some(fix.into()) }
    }

    pub(super) fn document(&self) -> Json {
        let Self { check, severity, message, fix } = self;
        json!({ "check": check, "severity": severity.as_str(), "message": message, "fix": fix })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let line = format!("{:<8} {:<9} {}", self.severity.as_str(), self.check, self.message);
        let fix = self.fix.iter().map(|fix| format!("{:<8} {:<9} fix: {fix}", "", ""));
        [line].into_iter().chain(fix).collect()
    }
}
