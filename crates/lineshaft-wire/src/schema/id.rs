//! Ids: what is equal has the same one, in every language and version.

use std::collections::BTreeMap;

use blake2::digest::consts::U8;
use blake2::{Blake2b, Digest};

use super::{Schema, TaskSchema, TypeSchema};

impl Schema {
    /// The id of a task: 16 hexadecimal digits that follow from its versions, parameters and result, and from the types
    /// that these reach. Its name is no part of it.
    pub fn task_id(&self, task: &TaskSchema) -> String {
        let task = TaskSchema { id: String::new(), ..task.clone() };
        hash(&(&task, self.bare_types(task.types())))
    }

    /// The id of a type: the same of its shape.
    pub fn type_id(&self, name: &str) -> Option<String> {
        let (name, _) = self.type_of(name)?;
        Some(hash(&self.bare_types([super::Type::Named(name.to_owned())].iter())))
    }

    /// The document with the ids of all that is in it.
    #[must_use]
    pub fn with_ids(mut self) -> Self {
        let tasks: Vec<String> = self.tasks.values().map(|task| self.task_id(task)).collect();
        let types: Vec<String> = self.types.keys().filter_map(|name| self.type_id(name)).collect();
        for (task, id) in self.tasks.values_mut().zip(tasks) {
            task.id = id;
        }
        for (found, id) in self.types.values_mut().zip(types) {
            found.id = id;
        }
        self
    }

    fn bare_types<'a>(
        &'a self,
        types: impl Iterator<Item = &'a super::Type>,
    ) -> BTreeMap<String, TypeSchema> {
        let named = self.reached(types);
        let found = named.into_iter().filter_map(|name| self.types.get_key_value(name));
        found.map(|(name, it)| (name.clone(), TypeSchema { id: String::new(), ..it.clone() })).collect()
    }
}

/// Of its JSON: fields in their order, maps sorted, no spaces.
fn hash(what: &impl serde::Serialize) -> String {
    use std::fmt::Write;

    let canonical = serde_json::to_vec(what).expect("a schema is JSON");
    let digest = Blake2b::<U8>::digest(canonical);
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
