//! Types that have a canonical name on the wire.
//!
//! Serde hands the name of a struct or enum to the format. `#[lineshaft::value("shop.Order")]` therefore renames the
//! type for serde to a prefix and its canonical names, the current one first: JSON and others never show that name, and
//! here it says that the type is a record or a member of an enumeration.

/// Before the canonical names of a record, which are separated by `|`.
pub const RECORD_PREFIX: &str = "lineshaft.record:";
/// Before the canonical names of an enumeration, which are separated by `|`.
pub const ENUM_PREFIX: &str = "lineshaft.enum:";

/// The canonical names of a type.
#[derive(Clone, Copy)]
pub(super) struct Names(&'static str);

impl Names {
    /// Those of a record.
    pub(super) fn of_record(name: &'static str) -> Option<Self> {
        name.strip_prefix(RECORD_PREFIX).map(Self)
    }

    /// Those of an enumeration.
    pub(super) fn of_enum(name: &'static str) -> Option<Self> {
        name.strip_prefix(ENUM_PREFIX).map(Self)
    }

    /// The one that is written.
    pub(super) fn current(self) -> &'static str {
        self.0.split('|').next().unwrap_or(self.0)
    }

    /// Whether a type of this name is meant.
    pub(super) fn has(self, name: &str) -> bool {
        self.0.split('|').any(|known| known == name)
    }
}
