//! The key of a cached call: what it is made of, and how it is looked up without being made.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprBlock, ExprClosure, Index, Pat, ReceiverKind, Result, ReturnType, Type};

use super::function::{Function, mentions};

/// An argument of a call, `self` included.
pub(crate) struct Part {
    /// A reference to what it is, behind whatever reference it is.
    value: TokenStream,
    /// The type of what it is.
    ty: TokenStream,
    /// The type of it in a key, which owns its data.
    owned: TokenStream,
    span: Span,
}

/// Refuses what cannot be cached.
pub(crate) fn check(function: &Function) -> Result<()> {
    if let Some(parameter) = function.generic() {
        let message =
            "a cached function has no types of its own, since there is one cache: write one for each type";
        return Err(Error::new_spanned(parameter, message));
    }
    let receiver = function.receiver();
    if let Some(receiver) = receiver.filter(|it| !matches!(it.kind, ReceiverKind::Reference(_, _, None))) {
        return Err(Error::new_spanned(receiver, "argument `self`: a cached method takes `&self`"));
    }
    for argument in &function.arguments {
        let (name, ty) = (&argument.name, &argument.ty);
        let problem = if argument.is_borrowed_mutably() {
            "a result that is kept cannot come with a change: take `&` or a value"
        } else if mentions(ty, "impl") {
            "a cached function has no types of its own: name it"
        } else {
            continue;
        };
        return Err(Error::new_spanned(ty, format!("argument `{name}`: {problem}")));
    }
    match function.output() {
        Some(ty) if mentions(ty, "impl") => {
            Err(Error::new_spanned(ty, "a cached function returns what can be kept: name its type"))
        }
        Some(ty) if is_borrowed(ty) => {
            Err(Error::new_spanned(ty, "a cached function returns what it owns, as `String` for `&str`"))
        }
        _ => Ok(()),
    }
}

/// Refuses a closure that does not take what the function takes.
pub(crate) fn check_closure(option: &str, closure: &ExprClosure, function: &Function) -> Result<()> {
    let (takes, given) = (closure.inputs.len(), values(function).len());
    if takes == given {
        return Ok(());
    }
    let with = if function.receiver().is_some() { ", with `self`" } else { "" };
    let message = format!("option `{option}`: it takes {takes} arguments, the function {given}{with}");
    Err(Error::new_spanned(closure, message))
}

/// All arguments, as parts of a key.
pub(crate) fn parts(function: &Function) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    if let Some(receiver) = function.receiver() {
        let span = receiver.span();
        let this = quote_spanned!(span=> Self);
        parts.push(Part { value: quote!(self), ty: this.clone(), owned: this, span });
    }
    for argument in &function.arguments {
        let (name, ty) = (&argument.name, &argument.ty);
        let span = ty.span();
        let part = match ty {
            Type::Reference(reference) => {
                let ty = reference.elem.to_token_stream();
                let owned = quote_spanned!(span=> <#ty as ::std::borrow::ToOwned>::Owned);
                Part { value: quote!(#name), ty, owned, span }
            }
            _ => Part { value: quote!(&#name), ty: quote!(#ty), owned: quote!(#ty), span },
        };
        if is_borrowed(&part.ty) {
            let message =
                format!("argument `{name}`: a key owns its data; say by `key` what makes calls equal");
            return Err(Error::new_spanned(ty, message));
        }
        parts.push(part);
    }
    Ok(parts)
}

/// The type of the key of these parts.
pub(crate) fn owned(parts: &[Part]) -> TokenStream {
    tuple(parts.iter().map(|part| &part.owned))
}

/// What has the hash of the key.
pub(crate) fn query(parts: &[Part]) -> TokenStream {
    let query = tuple(parts.iter().map(|part| &part.value));
    if parts.len() == 1 { query } else { quote!(&#query) }
}

/// Compares the arguments with another key.
pub(crate) fn comparison(parts: &[Part]) -> TokenStream {
    if parts.is_empty() {
        return quote!(|_: &()| true);
    }
    let key = owned(parts);
    let comparisons = parts.iter().enumerate().map(|(place, Part { value, ty, .. })| {
        let index = Index::from(place);
        let other = if parts.len() == 1 { quote!(__other) } else { quote!(&__other.#index) };
        quote!(::core::borrow::Borrow::<#ty>::borrow(#other) == #value)
    });
    quote!(|__other: &#key| #(#comparisons)&&*)
}

/// Makes the key.
pub(crate) fn making(parts: &[Part]) -> TokenStream {
    let owned =
        parts.iter().map(|Part { value, ty, .. }| quote!(<#ty as ::std::borrow::ToOwned>::to_owned(#value)));
    let owned: Vec<_> = owned.collect();
    let key = tuple(owned.iter());
    quote!(|| #key)
}

/// Fails to compile, at the place of each, for what cannot be in a key and what cannot be kept.
pub(crate) fn assertions(parts: &[Part], own_key: Option<&TokenStream>, kept: Option<&Type>) -> TokenStream {
    let assert_key = |ty: &TokenStream, span: Span| quote_spanned!(span=> ::lineshaft::around::private::assert_key::<#ty>(););
    let parts = parts.iter().map(|Part { owned, span, .. }| assert_key(owned, *span));
    let own_key = own_key.map(|ty| assert_key(ty, ty.span()));
    let kept = kept.map(|ty| quote_spanned!(ty.span()=> ::lineshaft::around::private::assert_kept::<#ty>();));
    quote!(#(#parts)* #own_key #kept)
}

/// What a closure of an option gives for the arguments, which it is given by reference.
pub(crate) fn applied(closure: &ExprClosure, function: &Function) -> TokenStream {
    let bindings = closure.inputs.iter().zip(values(function)).map(|(pattern, (value, ty))| match pattern {
        Pat::Type(typed) => (typed.pat.to_token_stream(), typed.ty.to_token_stream(), value),
        _ => (pattern.to_token_stream(), ty, value),
    });
    let bindings: Vec<_> = bindings.collect();
    let patterns = tuple(bindings.iter().map(|(pattern, _, _)| pattern));
    let types = tuple(bindings.iter().map(|(_, ty, _)| ty));
    let values = tuple(bindings.iter().map(|(_, _, value)| value));
    // All at once: a closure may call its arguments as the function calls others.
    let binding = quote!(let #patterns: #types = #values;);
    let body = match &*closure.body {
        Expr::Block(ExprBlock { label: None, block, .. }) => {
            let statements = &block.stmts;
            quote!(#(#statements)*)
        }
        body => quote!(#body),
    };
    let output = &closure.output;
    let block = match output {
        ReturnType::Default => quote!(|| { #binding #body }),
        ReturnType::Type(..) => quote!(|| #output { #binding #body }),
    };
    quote!(::lineshaft::around::private::call(#block))
}

/// References to all arguments, and their types.
pub(crate) fn values(function: &Function) -> Vec<(TokenStream, TokenStream)> {
    let receiver = function.receiver().map(|_| (quote!(self), quote!(&Self)));
    let arguments = function.arguments.iter().map(|argument| {
        let (name, ty) = (&argument.name, &argument.ty);
        let is_reference = matches!(ty, Type::Reference(_));
        if is_reference { (quote!(#name), quote!(#ty)) } else { (quote!(&#name), quote!(&#ty)) }
    });
    receiver.into_iter().chain(arguments).collect()
}

/// One thing as it is, others as a tuple.
fn tuple<'t>(mut things: impl ExactSizeIterator<Item = &'t TokenStream>) -> TokenStream {
    if things.len() == 1 { things.next().cloned().unwrap_or_default() } else { quote!((#(#things),*)) }
}

/// Whether there is a reference or a lifetime in a type that is not `'static`.
fn is_borrowed(ty: &impl ToTokens) -> bool {
    fn looked_through(tokens: TokenStream) -> bool {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is_static = |at: usize| {
            matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == '\'')
                && matches!(tokens.get(at + 1), Some(TokenTree::Ident(name)) if name == "static")
        };
        tokens.iter().enumerate().any(|(at, token)| match token {
            TokenTree::Punct(punct) if punct.as_char() == '&' => !is_static(at + 1),
            TokenTree::Punct(punct) if punct.as_char() == '\'' => !is_static(at),
            TokenTree::Group(group) => looked_through(group.stream()),
            _ => false,
        })
    }
    looked_through(ty.to_token_stream())
}
