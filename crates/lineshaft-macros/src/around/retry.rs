//! `#[retry]`: calls a function again that failed.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Error, Expr, Ident, ItemFn, ReceiverKind, Result, Type};

use super::function::{Argument, Function};
use super::options;
use crate::forms;

const OPTIONS: [&str; 8] = ["max", "on", "first", "cap", "after", "deadline", "budget", "before_pause"];

#[derive(Default)]
struct Options {
    /// Fields of `Patience` with their values.
    patience: Vec<TokenStream>,
    on: Option<Expr>,
    after: Option<TokenStream>,
    before_pause: Option<Expr>,
}

pub(crate) fn expand(tokens: TokenStream, function: ItemFn) -> Result<TokenStream> {
    let mut options = Options::default();
    options::read(tokens, "`retry`", &OPTIONS, |option, meta| options.take(option, meta))?;
    let function = Function::new(function);
    check(&function)?;
    Ok(function.with_body(&options.body(&function)))
}

fn check(function: &Function) -> Result<()> {
    if !function.is_fallible() {
        let span = function.output().map_or_else(Span::call_site, Spanned::span);
        return Err(Error::new(
            span,
            "a function that is tried again returns a `Result`: an `Err` is what is tried again",
        ));
    }
    match function.receiver().map(|receiver| (receiver, &receiver.kind)) {
        None | Some((_, ReceiverKind::Reference(..))) => Ok(()),
        Some((_, ReceiverKind::Typed(_, ty))) if matches!(**ty, Type::Reference(_)) => Ok(()),
        Some((receiver, _)) => {
            let message = "argument `self`: a method that is tried again takes `&self` or `&mut self`";
            Err(Error::new_spanned(receiver, message))
        }
    }
}

impl Options {
    fn take(&mut self, option: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let value = match option {
            "max" => forms::optional_number(meta, option, 0, 9_999)?,
            "first" | "cap" => forms::duration(meta, option)?,
            "deadline" => forms::optional_duration(meta, option)?,
            "budget" => budget(meta)?,
            "on" => {
                self.on = Some(forms::callable(meta, option, "fn(error: &Error) -> bool")?);
                return Ok(());
            }
            "after" => {
                self.after = Some(forms::pause(meta, option, "fn(attempt: u32, error: &Error) -> Duration")?);
                return Ok(());
            }
            _ => {
                self.before_pause = Some(forms::callable(meta, option, "fn(retrying: &Retrying<Error>)")?);
                return Ok(());
            }
        };
        let field = format_ident!("{option}");
        self.patience.push(quote!(#field: #value));
        Ok(())
    }

    fn body(&self, function: &Function) -> TokenStream {
        let name = function.name();
        let names: Vec<Ident> =
            function.arguments.iter().map(|argument| format_ident!("__again_{}", argument.name)).collect();
        let clones = function.arguments.iter().zip(&names).map(|(argument, name)| again(argument, name));
        let (call, patience) = (function.call_again(&names), &self.patience);
        let on = self.on.as_ref().map_or_else(|| quote!(|_| true), |on| quote!(#on));
        let before_pause = self.before_pause.as_ref().map_or_else(|| quote!(|_| ()), |told| quote!(#told));
        let pause = self.after.as_ref().map_or_else(
            || quote!(pause(&__error, #on, #before_pause)),
            |after| quote!(pause_after(&__error, #on, #before_pause, #after)),
        );
        let sleep = if function.is_async() {
            quote!(::lineshaft::around::private::sleep(__pause).await)
        } else {
            quote!(::std::thread::sleep(__pause))
        };
        quote! {
            static __LINESHAFT_PATIENCE: ::lineshaft::around::private::Patience =
                ::lineshaft::around::private::Patience {
                    #(#patience,)*
                    ..::lineshaft::around::private::Patience::DEFAULT
                }
                .checked();
            let mut __trying = __LINESHAFT_PATIENCE.begin(#name, |text| {
                ::lineshaft::around::private::tracing::warn!("{}", text);
            });
            loop {
                #(#clones)*
                let __pause = match #call {
                    ::core::result::Result::Ok(value) => break ::core::result::Result::Ok(value),
                    ::core::result::Result::Err(__error) => {
                        match __trying.#pause {
                            ::core::option::Option::Some(pause) => pause,
                            ::core::option::Option::None => break ::core::result::Result::Err(__error),
                        }
                    }
                };
                #sleep;
            }
        }
    }
}

/// An argument for one attempt, under another name.
fn again(argument: &Argument, owned: &Ident) -> TokenStream {
    let (name, ty) = (&argument.name, &argument.ty);
    if argument.is_borrowed_mutably() {
        return quote!(let #owned = &mut *#name;);
    }
    quote_spanned!(ty.span()=> let #owned = ::lineshaft::around::private::again(&#name);)
}

/// `"10/s"` of this function, or `None`.
fn budget(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    let budget = quote!(::lineshaft::around::private::Budget);
    Ok(match forms::optional_rate(meta, "budget")? {
        Some((count, period)) => quote!(#budget::own(#count, #period)),
        None => quote!(#budget::Unbounded),
    })
}
