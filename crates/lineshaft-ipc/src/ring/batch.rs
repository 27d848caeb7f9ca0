//! Messages on their way in and out.

/// A message to be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// A word that goes with it and means nothing here.
    pub tag: u32,
    /// What it says.
    pub bytes: &'a [u8],
}

/// Messages that were got, in their order. Worth keeping: what it has allocated is used again.
#[derive(Debug, Default)]
pub struct Batch {
    /// Of all, one after the other.
    bytes: Vec<u8>,
    /// Of each, its tag and where its bytes end.
    messages: Vec<(u32, usize)>,
}

impl Batch {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The messages.
    pub fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        let mut start = 0;
        self.messages.iter().map(move |&(tag, end)| {
            let bytes = &self.bytes[start..end];
            start = end;
            Message { tag, bytes }
        })
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a message whose bytes `read` appends; it is taken back if `read` refuses.
    pub(super) fn push<E>(
        &mut self,
        tag: u32,
        read: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        let result = read(&mut self.bytes);
        match result {
            Ok(()) => self.messages.push((tag, self.bytes.len())),
            Err(_) => self.bytes.truncate(start),
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_in_their_order_and_without_what_was_refused() {
        let mut batch = Batch::default();
        let mut push = |tag, bytes: &[u8], result: Result<(), ()>| {
            let _ = batch.push(tag, |into| {
                into.extend_from_slice(bytes);
                result
            });
        };
        push(1, b"one", Ok(()));
        push(2, b"broken", Err(()));
        push(3, b"", Ok(()));
        push(4, b"four", Ok(()));
        let messages: Vec<_> = batch.iter().map(|message| (message.tag, message.bytes)).collect();
        assert_eq!(messages, [(1, &b"one"[..]), (3, b""), (4, b"four")]);
    }
}
