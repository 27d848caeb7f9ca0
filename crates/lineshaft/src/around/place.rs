//! What a function and the one beside it have in common.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

type Thing = &'static (dyn Any + Send + Sync);

/// Everything that was made at any place: by its name, the type that it is of, and its own. Nothing goes: there is one of
/// each function, and in an `impl` with types one for each of these.
static THINGS: Mutex<Option<HashMap<Id, Thing>>> = Mutex::new(None);

type Id = (&'static str, TypeId, TypeId);

/// One thing that lives as long as the process, for each type `Of` that has it. Places of the same name have the same
/// one: two functions find each other by it where they do not know each other's path.
pub struct Place {
    name: &'static str,
    /// The first that was asked for here, and of what: the only one, but for functions of an `impl` with types.
    first: OnceLock<(TypeId, Thing)>,
}

impl Place {
    /// Nothing yet.
    pub const fn new(name: &'static str) -> Self {
        Self { name, first: OnceLock::new() }
    }

    /// What is here, made by `make` if there is nothing.
    #[inline]
    pub fn get<Of: 'static, T: Send + Sync + 'static>(&self, make: fn() -> T) -> &'static T {
        let first = self.first.get().filter(|(of, _)| *of == TypeId::of::<Of>());
        match first.and_then(|(_, first)| first.downcast_ref()) {
            Some(first) => first,
            None => self.find::<Of, T>(make),
        }
    }

    #[cold]
    fn find<Of: 'static, T: Send + Sync + 'static>(&self, make: fn() -> T) -> &'static T {
        let of = TypeId::of::<Of>();
        let mut things = THINGS.lock().unwrap_or_else(PoisonError::into_inner);
        let found = things.get_or_insert_default().entry((self.name, of, TypeId::of::<T>()));
        let thing: Thing = *found.or_insert_with(|| Box::leak(Box::new(make())));
        let _ = self.first.set((of, thing));
        thing.downcast_ref().expect("its type is a part of its id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_one_name_have_one_thing_of_each_type() {
        fn at<Of: 'static>(place: &Place) -> *const Mutex<u8> {
            std::ptr::from_ref(place.get::<Of, _>(|| Mutex::new(0_u8)))
        }
        let (one, same, other) = (Place::new("a"), Place::new("a"), Place::new("b"));
        assert_eq!(at::<()>(&one), at::<()>(&same));
        assert_ne!(at::<()>(&one), at::<()>(&other));
        assert_eq!(at::<u8>(&one), at::<u8>(&same));
        assert_ne!(at::<()>(&one), at::<u8>(&same));
        assert!(same.get::<(), _>(|| Mutex::new("text")).lock().is_ok());
        assert_eq!(at::<()>(&one), at::<()>(&same));
    }
}
