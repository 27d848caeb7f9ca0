//! The tasks of this program, which a process of a pool knows by the same numbers as its parent.

use std::sync::OnceLock;

use super::Error;
use crate::task::{Name, Task};

/// A task that `#[lineshaft::task]` declares anywhere in the program. The macro registers it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Registered(pub Task);

inventory::collect!(Registered);

/// Parent and workers are the same program, which finds its tasks in the same order each time.
#[derive(Debug)]
pub(super) struct Registry {
    tasks: Vec<Task>,
}

impl Registry {
    /// As it was when it was first asked for: what the program loads later on is not in it.
    pub(super) fn get() -> &'static Self {
        static REGISTRY: OnceLock<Registry> = OnceLock::new();
        REGISTRY.get_or_init(|| Self {
            tasks: inventory::iter::<Registered>.into_iter().map(|Registered(task)| *task).collect(),
        })
    }

    pub(super) fn len(&self) -> u32 {
        self.tasks.len() as u32
    }

    pub(super) fn task(&self, number: u32) -> Option<&Task> {
        self.tasks.get(number as usize)
    }

    /// The number of the task of this name; of several the one of this version.
    fn find(&self, name: &str, version: u32) -> Result<u32, Error> {
        let unknown = |reason| Error::UnknownTask { task: name.into(), reason };
        let named = || (0..).zip(&self.tasks).filter(|(_, task)| task.names().any(|known| known == name));
        let only = |mut found: Box<dyn Iterator<Item = (u32, &Task)> + '_>| match (found.next(), found.next())
        {
            (Some((number, _)), None) => Some(number),
            _ => None,
        };
        if named().next().is_none() {
            return Err(unknown("no task of this program has this name"));
        }
        let number = only(Box::new(named()))
            .or_else(|| only(Box::new(named().filter(|(_, task)| task.version() == version))));
        number.ok_or_else(|| unknown("more than one task of this program has this name"))
    }
}

/// Looks tasks up, the same one again and again at no cost.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    last: Option<(Name, u32, u32)>,
}

impl Lookup {
    pub(super) fn find(&mut self, name: &Name, version: u32) -> Result<u32, Error> {
        if let Some((last, its_version, number)) = &self.last
            && (&**last, *its_version) == (&**name, version)
        {
            return Ok(*number);
        }
        let number = Registry::get().find(name, version)?;
        self.last = Some((name.clone(), version, number));
        Ok(number)
    }
}
