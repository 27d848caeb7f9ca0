//! Texts and functions by number, each kept once.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Frame, NODES_MAX};

/// Bytes of one name, and of all.
pub(super) const NAME_BYTES_MAX: usize = 1_024;
pub(super) const ALL_BYTES_MAX: usize = 8 << 20;
/// Functions there are numbers for.
pub(super) const FRAMES_MAX: usize = NODES_MAX;
/// Names of functions, files and tracks.
pub(super) const TEXTS_MAX: usize = 4 * FRAMES_MAX;

/// Texts and functions that are always there, in this order.
const TEXTS: [&str; 3] = ["(more)", "(deeper)", ""];
pub(super) const FRAMES: [(u32, u32, u32); 2] = [(0, 2, 0), (1, 2, 0)];
/// What stands for names that there is no room for.
pub(super) const NO_NAME: u32 = 0;

/// Number of a function of one profile.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FrameId(pub(super) u32);

impl FrameId {
    pub(super) const MORE: Self = Self(0);
    pub(super) const DEEPER: Self = Self(1);
}

/// Names of a profile.
#[derive(Clone, Debug)]
pub(super) struct Names {
    texts: Vec<Arc<str>>,
    text_index: FxHashMap<Arc<str>, u32>,
    bytes: usize,
    /// Name, file and line.
    frames: Vec<(u32, u32, u32)>,
    frame_index: FxHashMap<(u32, u32, u32), u32>,
}

/// What numbers of one profile are in another one.
pub(super) struct Moved {
    texts: Vec<u32>,
    frames: Vec<u32>,
}

impl Names {
    pub(super) fn new() -> Self {
        let mut names = Self {
            texts: Vec::new(),
            text_index: FxHashMap::default(),
            bytes: 0,
            frames: Vec::new(),
            frame_index: FxHashMap::default(),
        };
        for text in TEXTS {
            names.text(text);
        }
        for frame in FRAMES {
            names.numbered(frame);
        }
        names
    }

    /// The number of a text, which is cut if it is too long.
    pub(super) fn text(&mut self, text: &str) -> u32 {
        let text = cut(text);
        if let Some(&number) = self.text_index.get(text) {
            return number;
        }
        if self.bytes + text.len() > ALL_BYTES_MAX || self.texts.len() >= TEXTS_MAX {
            return NO_NAME;
        }
        let (text, number): (Arc<str>, _) = (text.into(), self.texts.len() as u32);
        self.bytes += text.len();
        self.texts.push(Arc::clone(&text));
        self.text_index.insert(text, number);
        number
    }

    /// The number of a text, if it has one.
    pub(super) fn find(&self, text: &str) -> Option<u32> {
        self.text_index.get(cut(text)).copied()
    }

    pub(super) fn text_of(&self, number: u32) -> &str {
        &self.texts[number as usize]
    }

    pub(super) fn frame(&mut self, frame: Frame<'_>) -> FrameId {
        let numbers = (self.text(frame.name), self.text(frame.file), frame.line);
        FrameId(self.numbered(numbers))
    }

    pub(super) fn frame_of(&self, id: FrameId) -> Frame<'_> {
        let (name, file, line) = self.frames[id.0 as usize];
        Frame { name: self.text_of(name), file: self.text_of(file), line }
    }

    /// All of another one, beside these.
    pub(super) fn merge(&mut self, other: &Self) -> Moved {
        let texts: Vec<u32> = other.texts.iter().map(|text| self.text(text)).collect();
        let moved = |number: u32| texts[number as usize];
        let frames =
            other.frames.iter().map(|&(name, file, line)| self.numbered((moved(name), moved(file), line)));
        let frames = frames.collect();
        Moved { texts, frames }
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(|text| &**text)
    }

    pub(super) fn frames(&self) -> &[(u32, u32, u32)] {
        &self.frames
    }

    /// What another one had; `None` if something is there twice, too much or missing.
    pub(super) fn restored(texts: &[String], frames: &[(u32, u32, u32)]) -> Option<Self> {
        let mut names = Self::new();
        let begins =
            texts.iter().map(String::as_str).take(TEXTS.len()).eq(TEXTS) && frames.starts_with(&FRAMES);
        let rest = texts.get(TEXTS.len()..).filter(|_| begins && frames.len() <= FRAMES_MAX)?;
        for text in rest {
            let is_new =
                names.text(text) as usize == names.texts.len() - 1 && names.texts.len() > TEXTS.len();
            if !is_new || text.len() > NAME_BYTES_MAX {
                return None;
            }
        }
        if names.texts.len() != texts.len() {
            return None;
        }
        let count = texts.len() as u32;
        for (at, frame) in frames.iter().enumerate().skip(FRAMES.len()) {
            if frame.0 >= count || frame.1 >= count || names.numbered(*frame) as usize != at {
                return None;
            }
        }
        Some(names)
    }

    fn numbered(&mut self, frame: (u32, u32, u32)) -> u32 {
        if let Some(&number) = self.frame_index.get(&frame) {
            return number;
        }
        if self.frames.len() >= FRAMES_MAX {
            return FrameId::MORE.0;
        }
        let number = self.frames.len() as u32;
        self.frames.push(frame);
        self.frame_index.insert(frame, number);
        number
    }
}

impl Moved {
    pub(super) fn text(&self, number: u32) -> u32 {
        self.texts[number as usize]
    }

    pub(super) fn frame(&self, id: FrameId) -> FrameId {
        FrameId(self.frames[id.0 as usize])
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
