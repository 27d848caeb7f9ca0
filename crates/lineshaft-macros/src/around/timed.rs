//! `#[timed]`: how long the calls of a function take.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Expr, ItemFn, Result};

use super::function::Function;
use super::{options, place};
use crate::forms;

const OPTIONS: [&str; 2] = ["slow", "report"];

pub(crate) fn expand(tokens: TokenStream, function: ItemFn) -> Result<TokenStream> {
    let (mut slow, mut report) = (None, None);
    options::read(tokens.clone(), "`timed`", &OPTIONS, |option, meta| {
        match option {
            "slow" => slow = Some(forms::duration(meta, option)?),
            _ => report = Some(forms::callable(meta, option, "fn(name: &str, took: Duration)")?),
        }
        Ok(())
    })?;
    if let (None, Some(report)) = (&slow, &report) {
        return Err(Error::new_spanned(
            report,
            "option `report`: beside it there is `slow`, from when on it is called",
        ));
    }
    let function = Function::new(function);
    let (name, place) = (function.name(), place::of(&function.name()));
    let timing = quote!(::lineshaft::around::Timing);
    let start = start(&name, slow.as_ref(), report.as_ref());
    let body = function.body();
    let timed = function.with_body(&quote! {
        #place
        let __running = __LINESHAFT_PLACE.get::<(), #timing>(::core::default::Default::default).#start;
        #body
    });
    let companion = function.companion(
        "timing",
        &format!("How long the calls of `{name}` took."),
        &timing,
        &quote!(#place __LINESHAFT_PLACE.get::<(), #timing>(::core::default::Default::default)),
    );
    Ok(quote!(#timed #companion))
}

/// The call that begins to take the time.
fn start(name: &str, slow: Option<&TokenStream>, report: Option<&Expr>) -> TokenStream {
    let Some(slow) = slow else { return quote!(start()) };
    let report = report.map_or_else(
        || {
            quote!(|name, took| ::lineshaft::around::private::tracing::warn!(
                "{} took {}",
                name,
                ::lineshaft::around::private::Rough(took)
            ))
        },
        |report| quote!(#report),
    );
    quote!(start_with(#name, { const SLOW: ::core::time::Duration = #slow; SLOW }, #report))
}
