//! Attributes that put something around a function. It keeps its signature; what it did becomes a part of its new body.

mod alternatives;
mod cached;
mod function;
mod key;
mod logged;
mod options;
mod place;
mod retry;
mod timed;

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Ident, ItemFn, Result, parse_quote};

/// The attributes, each with what it does.
type Expand = fn(TokenStream, ItemFn) -> Result<TokenStream>;
const KINDS: [(&str, Expand); 5] = [
    ("alternatives", alternatives::expand),
    ("cached", cached::expand),
    ("logged", logged::expand),
    ("retry", retry::expand),
    ("timed", timed::expand),
];

/// Expands the attribute `kind`. Those of this kind that stand below it come first, and it afterwards around them:
/// the compiler by itself begins with the one on top, which would then be the innermost.
pub(crate) fn expand(kind: &str, options: &TokenStream, item: TokenStream) -> TokenStream {
    let expanded = parse(kind, item.clone()).and_then(|mut function| {
        if let Some(last) = function.attrs.iter().rposition(is_one) {
            let kind = Ident::new(kind, proc_macro2::Span::call_site());
            let later = parse_quote!(#[::lineshaft::around::private::around(#kind(#options))]);
            function.attrs.insert(last + 1, later);
            return Ok(quote!(#function));
        }
        expand_here(kind, options.clone(), function)
    });
    // The function stays, so that its callers are not in error too.
    expanded.unwrap_or_else(|error| {
        let error = error.into_compile_error();
        quote!(#error #item)
    })
}

/// Expands an attribute that was put off: `kind(options)`.
pub(crate) fn expand_later(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = syn::parse2(attribute).and_then(|Later { kind, options }| {
        let kind = kind.to_string();
        expand_here(&kind, options, parse(&kind, item.clone())?)
    });
    expanded.unwrap_or_else(|error| {
        let error = error.into_compile_error();
        quote!(#error #item)
    })
}

struct Later {
    kind: Ident,
    options: TokenStream,
}

impl Parse for Later {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let kind = input.parse()?;
        let options;
        syn::parenthesized!(options in input);
        Ok(Self { kind, options: options.parse()? })
    }
}

fn expand_here(kind: &str, options: TokenStream, function: ItemFn) -> Result<TokenStream> {
    let (_, expand) = KINDS.iter().find(|(name, _)| *name == kind).expect("it is one of them");
    expand(options, function)
}

fn parse(kind: &str, item: TokenStream) -> Result<ItemFn> {
    let function: ItemFn = syn::parse2(item.clone()).map_err(|error| {
        // What is wrong inside of a function is said as it is.
        let is_function = item.clone().into_iter().any(|token| token.to_string() == "fn");
        let has_body = item.clone().into_iter().last().is_some_and(|last| last.to_string().starts_with('{'));
        if is_function && has_body { error } else { wrong_item(kind, item.clone()) }
    })?;
    let signature = &function.sig;
    let refuse = |tokens: &dyn quote::ToTokens, what: &str| {
        Err(Error::new_spanned(tokens, format!("`{kind}` stands above no function that is {what}")))
    };
    if let Some(token) = &signature.constness {
        return refuse(token, "`const`");
    }
    if !matches!(signature.safety, syn::Safety::Default) {
        return refuse(&signature.safety, "`unsafe`: what it does becomes a part of another function's body");
    }
    if let Some(variadic) = &signature.variadic {
        return refuse(variadic, "called with any number of arguments");
    }
    Ok(function)
}

fn wrong_item(kind: &str, item: TokenStream) -> Error {
    Error::new_spanned(item, format!("`{kind}` stands above a function or a method with a body"))
}

/// Whether it is an attribute of this kind that is still to be expanded.
fn is_one(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|last| KINDS.iter().any(|(name, _)| last.ident == name))
}
