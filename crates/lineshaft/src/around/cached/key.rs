//! What arguments and results have to be.

use std::hash::Hash;

/// What makes calls equal: an argument of a cached function, or what its option `key` gives.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a part of a key",
    label = "calls are equal if this is: it has to be `Clone`, `Eq`, `Hash` and `Send`, without borrowed data in it",
    note = "derive `Clone`, `PartialEq`, `Eq` and `Hash`, or say what makes calls equal: `key = |a, b| -> u64 {{ a.id }}`"
)]
pub trait Key: Clone + Eq + Hash + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Clone + Eq + Hash + Send + 'static> Key for T {}

/// What can be kept and given to everybody who asks.
#[diagnostic::on_unimplemented(
    message = "a result of `{Self}` cannot be kept",
    label = "everybody who asks gets a clone of it: it has to be `Clone`, `Send` and `Sync`, without borrowed data in it",
    note = "derive `Clone`, or return an `Arc` of it; of an error without `Clone`, an `Arc` of that"
)]
pub trait Kept: Clone + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> Kept for T {}

/// Fails to compile for what can be no key.
pub const fn assert_key<T: Key>() {}

/// Fails to compile for what cannot be kept.
pub const fn assert_kept<T: Kept>() {}
