//! What a job carries beside its call.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Texts that nobody here reads. Written as the metadata alone once was, so that what was written then still reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notes {
    /// Neither of them.
    #[default]
    None,
    /// The metadata.
    Metadata(Arc<str>),
    /// The context, with metadata or without.
    Context {
        /// The metadata.
        metadata: Option<Arc<str>>,
        /// Fields of all that its attempts log.
        context: Arc<str>,
    },
}

impl Notes {
    /// Those of a job with this metadata and this context.
    pub fn new(metadata: Option<Arc<str>>, context: Option<Arc<str>>) -> Self {
        match (metadata, context) {
            (metadata, Some(context)) => Self::Context { metadata, context },
            (Some(metadata), None) => Self::Metadata(metadata),
            (None, None) => Self::None,
        }
    }

    /// Free text.
    pub fn metadata(&self) -> Option<&Arc<str>> {
        match self {
            Self::None => None,
            Self::Metadata(metadata) => Some(metadata),
            Self::Context { metadata, .. } => metadata.as_ref(),
        }
    }

    /// Fields of all that its attempts log, a JSON object.
    pub fn context(&self) -> Option<&Arc<str>> {
        match self {
            Self::Context { context, .. } => Some(context),
            Self::None | Self::Metadata(_) => None,
        }
    }

    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_when_there_was_metadata_alone_reads() {
        let old: [Option<Arc<str>>; 2] = [None, Some("order 7".into())];
        for metadata in old {
            let bytes = postcard::to_allocvec(&metadata).unwrap();
            let notes: Notes = postcard::from_bytes(&bytes).unwrap();
            assert_eq!((notes.metadata(), notes.context()), (metadata.as_ref(), None));
            assert_eq!(postcard::to_allocvec(&notes).unwrap(), bytes);
        }
    }
}
