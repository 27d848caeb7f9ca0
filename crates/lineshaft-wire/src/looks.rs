//! How the attempts of jobs are looked at.

use std::ops::{BitOr, BitOrAssign};

use serde::{Deserialize, Serialize};

use crate::message::{PROFILE_MEMORY_TAG, PROFILE_NATIVE_TAG, PROFILE_TAG};

/// What is found out about an attempt: a set of bits, one byte on the wire. Bits that are not known are kept, and say no
/// more than that it is profiled.
///
/// ```
/// use lineshaft_wire::Looks;
///
/// let looks = Looks::MEMORY | Looks::of_tag("lineshaft:profile-native");
/// assert!(looks.is_profiled() && looks.has(Looks::MEMORY) && looks.has(Looks::NATIVE));
/// assert!(!Looks::default().is_profiled());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Looks(u8);

/// Words by which programs say what they want, with what that is.
const WORDS: [(&str, Looks); 2] = [("memory", Looks::MEMORY), ("native", Looks::NATIVE)];

impl Looks {
    /// It is not looked at.
    pub const NONE: Self = Self(0);
    /// Where its time goes. Whatever else is found out, that is too.
    pub const PLAIN: Self = Self(1);
    /// And which lines keep memory.
    pub const MEMORY: Self = Self(1 | 2);
    /// And in which functions of machine code.
    pub const NATIVE: Self = Self(1 | 4);

    /// What the word of an option means; `None` for one that is none.
    pub fn named(word: &str) -> Option<Self> {
        WORDS.iter().find(|(known, _)| *known == word).map(|(_, looks)| *looks)
    }

    /// What the tag of a job means: nothing, for most.
    pub fn of_tag(tag: &str) -> Self {
        // Most tags are nothing of the kind, and every lease asks.
        if !tag.starts_with(PROFILE_TAG) {
            return Self::NONE;
        }
        match tag {
            PROFILE_TAG => Self::PLAIN,
            PROFILE_MEMORY_TAG => Self::MEMORY,
            PROFILE_NATIVE_TAG => Self::NATIVE,
            _ => Self::NONE,
        }
    }

    /// Whether it is profiled at all.
    pub const fn is_profiled(self) -> bool {
        self.0 != 0
    }

    /// Whether more than the time is found out.
    pub const fn is_closer(self) -> bool {
        self.0 & !Self::PLAIN.0 != 0
    }

    /// Whether all of `other` is part of it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it is not looked at; for serde.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

impl BitOr for Looks {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Looks {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_words_say_how_and_each_of_them_means_profiled() {
        let expected = [
            (PROFILE_TAG, Looks::PLAIN),
            (PROFILE_MEMORY_TAG, Looks::MEMORY),
            (PROFILE_NATIVE_TAG, Looks::NATIVE),
            ("lineshaft:profile-other", Looks::NONE),
            ("welcome", Looks::NONE),
        ];
        for (tag, looks) in expected {
            assert_eq!(Looks::of_tag(tag), looks, "{tag}");
            assert_eq!(looks.is_profiled(), looks != Looks::NONE);
        }
        assert_eq!(
            (Looks::named("memory"), Looks::named("native")),
            (Some(Looks::MEMORY), Some(Looks::NATIVE))
        );
        assert_eq!((Looks::named("plain"), Looks::named("")), (None, None));
    }

    #[test]
    fn sets_are_joined_and_what_a_newer_one_says_means_profiled() {
        let both = Looks::MEMORY | Looks::NATIVE;
        assert!(both.has(Looks::MEMORY) && both.has(Looks::NATIVE) && both.is_closer());
        assert!(!Looks::PLAIN.is_closer() && !Looks::PLAIN.has(Looks::MEMORY));
        assert!(Looks(64).is_profiled() && !Looks(64).has(Looks::MEMORY));
    }
}
