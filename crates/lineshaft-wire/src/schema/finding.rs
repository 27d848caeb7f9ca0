//! What changed from one schema to another, and what that means.

use serde::Serialize;

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Where: `shop.send`, `shop.send(to)`, `shop.Order.priority`.
    pub path: String,
    /// What changed.
    pub change: String,
    /// What comes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// How bad a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing comes of it.
    Fine,
    /// While programs of both run, or as long as jobs of before are left, something waits or has to be looked at.
    Careful,
    /// Jobs are discarded, get what they do not expect, or wait for ever.
    Breaking,
}

impl Level {
    /// As a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Careful => "careful",
            Self::Breaking => "breaking",
        }
    }
}

impl Finding {
    pub(super) fn new(level: Level, path: impl Into<String>, change: impl Into<String>) -> Self {
        Self { level, path: path.into(), change: change.into(), effect: None, advice: None }
    }

    pub(super) fn effect(mut self, effect: impl Into<String>) -> Self {
        self.effect = Some(effect.into());
        self
    }

    pub(super) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}
