//! What a child itself has to say to the people who run its worker, beside what its bodies print.

use std::fs::File;
use std::os::fd::OwnedFd;

use crate::talk::Talk;

/// Says it where output is repeated, and waits for nobody who reads that.
#[derive(Debug)]
pub(super) struct Words {
    out: Option<OwnedFd>,
    /// Begun with the first words, since most children have none.
    talk: Option<Talk>,
    said: String,
}

impl Words {
    /// Words for `out`; without one nothing is said.
    pub(super) fn new(out: Option<OwnedFd>) -> Self {
        Self { out, talk: None, said: String::new() }
    }

    /// The same words only once.
    pub(super) fn say(&mut self, words: &str) {
        if self.said == words {
            return;
        }
        words.clone_into(&mut self.said);
        if let Some(out) = self.out.take() {
            self.talk = Some(Talk::to(File::from(out)));
        }
        if let Some(talk) = &self.talk {
            talk.say(format!("{words}\n").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_is_said_again_and_again_comes_once() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut words = Words::new(Some(writer.into()));
        ["one", "one", "two", "one"].into_iter().for_each(|said| words.say(said));
        drop(words);
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "one\ntwo\none\n");
        Words::new(None).say("to nobody");
    }
}
