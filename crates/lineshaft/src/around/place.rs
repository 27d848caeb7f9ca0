//! What a function and the one beside it have in common.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

type Thing = &'static (dyn Any + Send + Sync);

/// Everything that was made at any place, by its name and type. Nothing goes: there is one of each function, and in an
/// `impl` with types one for each of these.
static THINGS: Mutex<Option<HashMap<(&'static str, TypeId), Thing>>> = Mutex::new(None);

/// One thing that lives as long as the process. Places of the same name have the same one, for each type that is asked
/// for: two functions find each other by it where they do not know each other's path.
pub struct Place {
    name: &'static str,
    /// The first that was asked for here: the only one, but for functions of an `impl` with types.
    first: OnceLock<Thing>,
}

impl Place {
    /// Nothing yet.
    pub const fn new(name: &'static str) -> Self {
        Self { name, first: OnceLock::new() }
    }

    /// What is here, made by `make` if there is nothing.
    #[inline]
    pub fn get<T: Send + Sync + 'static>(&self, make: fn() -> T) -> &'static T {
        match self.first.get().and_then(|first| first.downcast_ref()) {
            Some(first) => first,
            None => self.find(make),
        }
    }

    #[cold]
    fn find<T: Send + Sync + 'static>(&self, make: fn() -> T) -> &'static T {
        let mut things = THINGS.lock().unwrap_or_else(PoisonError::into_inner);
        let of_name = things.get_or_insert_default().entry((self.name, TypeId::of::<T>()));
        let thing: Thing = *of_name.or_insert_with(|| Box::leak(Box::new(make())));
        let _ = self.first.set(thing);
        thing.downcast_ref().expect("its type is a part of its name")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_one_name_have_one_thing_of_each_type() {
        let (one, same, other) = (Place::new("a"), Place::new("a"), Place::new("b"));
        let at = |place: &Place| std::ptr::from_ref(place.get(|| Mutex::new(0_u8)));
        assert_eq!(at(&one), at(&same));
        assert_ne!(at(&one), at(&other));
        assert!(same.get(|| Mutex::new("text")).lock().is_ok());
        assert_eq!(at(&one), at(&same));
    }
}
