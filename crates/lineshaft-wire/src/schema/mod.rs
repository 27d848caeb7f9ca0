//! What tasks take and give, and whether jobs of one version of a program fit another one.
//!
//! A [`Schema`] is a document: the tasks of an app with their parameters, and the types that those name. It comes from
//! the annotations of a language, is written as JSON, and has an [id] per task and type. [`compare`] finds what
//! changed from one to another, and what that means for jobs that wait.
//!
//! The types are those of values, not of a language: what a language says beyond them is [`Type::Other`].

mod calls;
mod compare;
mod finding;
mod fit;
mod id;
mod kind;
mod types;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use compare::compare;
pub use finding::{Finding, Level};
pub use kind::Type;

/// The version of the document's form.
pub const FORMAT: u32 = 1;

/// The tasks of an app, and the types that they name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// [`FORMAT`].
    pub format: u32,
    /// By name.
    pub tasks: BTreeMap<String, TaskSchema>,
    /// By name: types with a name of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<String, TypeSchema>,
}

/// What a task takes and gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSchema {
    /// See [`Schema::task_id`]; set by [`Schema::with_ids`] and no part of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The version that its jobs are made for.
    pub version: u32,
    /// The earliest version whose jobs it runs.
    pub from_version: u32,
    /// Names of before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// In their order.
    pub parameters: Vec<Parameter>,
    /// What it returns.
    pub result: Type,
}

/// A parameter of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// How it is given.
    #[serde(default, skip_serializing_if = "ParameterKind::is_usual")]
    pub kind: ParameterKind,
    /// What it takes; of `*args` and `**kwargs` what each of them is.
    #[serde(rename = "type")]
    pub of: Type,
    /// What it has if it is not given, as text; `None` if it must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// How a parameter is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    /// By its place alone.
    PositionalOnly,
    /// By its place or its name.
    #[default]
    PositionalOrKeyword,
    /// By its name alone.
    KeywordOnly,
    /// Takes all further places: `*args`.
    VarPositional,
    /// Takes all further names: `**kwargs`.
    VarKeyword,
}

impl ParameterKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_usual(&self) -> bool {
        *self == Self::PositionalOrKeyword
    }
}

/// A type with a name of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeSchema {
    /// See [`Schema::type_id`]; set by [`Schema::with_ids`] and no part of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Names of before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What it is made of.
    #[serde(flatten)]
    pub shape: Shape,
}

/// What a type is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Shape {
    /// A dataclass, a named tuple, a model, a struct.
    Record {
        /// In their order.
        fields: Vec<Field>,
        /// Old names of fields, each with the name it has now.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        renamed: BTreeMap<String, String>,
        /// Fields of before that nobody needs any more.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        removed: Vec<String>,
        /// It keeps fields that it does not know.
        #[serde(default, skip_serializing_if = "is_false")]
        open: bool,
    },
    /// An enumeration, whose members travel by name.
    Enum {
        /// Names, those of before included.
        members: Vec<String>,
    },
    /// A set of bits.
    Flag {
        /// Bits by name.
        members: BTreeMap<String, i64>,
    },
    /// An exception, which is whatever it was made with.
    Exception,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub of: Type,
    /// What it has where a value is older than it, as text; `None` if a value must have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

impl Schema {
    /// Of these tasks and types.
    pub fn new(tasks: BTreeMap<String, TaskSchema>, types: BTreeMap<String, TypeSchema>) -> Self {
        Self { format: FORMAT, tasks, types }
    }

    /// Reads a document.
    ///
    /// Errors, in words, if it is none or one of a later form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let schema: Self = serde_json::from_str(text).map_err(|error| format!("it is no schema: {error}"))?;
        if schema.format > FORMAT {
            return Err(format!("it is of form {}, this version reads up to {FORMAT}", schema.format));
        }
        Ok(schema.canonical())
    }

    /// What is the same however it is written gets one form.
    fn canonical(mut self) -> Self {
        let parameters = self.tasks.values_mut().flat_map(|task| &mut task.parameters);
        parameters.for_each(|parameter| make_canonical(&mut parameter.of));
        self.tasks.values_mut().for_each(|task| make_canonical(&mut task.result));
        for shape in self.types.values_mut().map(|found| &mut found.shape) {
            match shape {
                Shape::Record { fields, removed, .. } => {
                    fields.iter_mut().for_each(|field| make_canonical(&mut field.of));
                    removed.sort();
                }
                Shape::Enum { members } => members.sort(),
                Shape::Flag { .. } | Shape::Exception => {}
            }
        }
        self
    }

    /// The task that runs jobs of the name `task`, and its name now.
    pub fn task_of(&self, task: &str) -> Option<(&str, &TaskSchema)> {
        let by_alias = || self.tasks.iter().find(|(_, it)| it.aliases.iter().any(|alias| alias == task));
        self.tasks.get_key_value(task).or_else(by_alias).map(|(name, found)| (&**name, found))
    }

    /// The type that reads values of the name `name`, and its name now.
    pub fn type_of(&self, name: &str) -> Option<(&str, &TypeSchema)> {
        let by_alias = || self.types.iter().find(|(_, it)| it.aliases.iter().any(|alias| alias == name));
        self.types.get_key_value(name).or_else(by_alias).map(|(name, found)| (&**name, found))
    }

    /// Adds what another document has. Of a task that both have, the later version is kept; else the other one's.
    pub fn extend(&mut self, other: Self) {
        for (name, task) in other.tasks {
            if self.tasks.get(&name).is_none_or(|known| known.version <= task.version) {
                self.tasks.insert(name, task);
            }
        }
        self.types.extend(other.types);
    }
}

fn make_canonical(of: &mut Type) {
    *of = std::mem::replace(of, Type::Any).canonical();
}

impl TaskSchema {
    /// What parameters and result are.
    pub fn types(&self) -> impl Iterator<Item = &Type> {
        self.argument_types().chain([&self.result])
    }

    /// What parameters are.
    pub fn argument_types(&self) -> impl Iterator<Item = &Type> {
        self.parameters.iter().map(|parameter| &parameter.of)
    }
}
