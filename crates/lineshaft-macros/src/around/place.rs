//! What a function and the one beside it have in common, although neither can name the other: in an `impl` it would be
//! `Self::fib_cache`, elsewhere `fib_cache`, and an attribute does not see where it stands.

use std::sync::atomic::{AtomicU64, Ordering};

use proc_macro2::TokenStream;
use quote::quote;

/// The item `__LINESHAFT_PLACE`, once for both bodies: they find the same by its name.
pub(crate) fn of(function: &str) -> TokenStream {
    // Two functions of a macro may have the same name and stand in the same line.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("::{function}#{number}");
    quote! {
        static __LINESHAFT_PLACE: ::lineshaft::around::private::Place = ::lineshaft::around::private::Place::new(
            ::core::concat!(::core::file!(), ":", ::core::module_path!(), #name)
        );
    }
}
