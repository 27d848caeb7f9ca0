//! `#[retry]`: calls a function again that failed.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Error, Expr, Ident, ItemFn, ReceiverKind, Result, Type};

use super::function::{Argument, Function};
use super::options;
use crate::forms;

const OPTIONS: [&str; 10] =
    ["max", "on", "never", "if_result", "first", "cap", "after", "deadline", "budget", "before_pause"];

#[derive(Default)]
struct Options {
    /// Fields of `Patience` with their values.
    patience: Vec<TokenStream>,
    on: Option<Expr>,
    never: Option<Expr>,
    if_result: Option<Expr>,
    after: Option<TokenStream>,
    before_pause: Option<Expr>,
    /// Options that are about an error, with where they are given.
    of_errors: Vec<(&'static str, Span)>,
    /// Those of them that have an error to say what comes next.
    told_errors: Vec<(&'static str, Span)>,
}

pub(crate) fn expand(tokens: TokenStream, function: ItemFn) -> Result<TokenStream> {
    let mut options = Options::default();
    options::read(tokens, "`retry`", &OPTIONS, |option, meta| options.take(option, meta))?;
    let function = Function::new(function);
    check(&function, &options)?;
    Ok(function.with_body(&options.body(&function)))
}

fn check(function: &Function, options: &Options) -> Result<()> {
    if let Some((option, span)) = options.told_errors.first().filter(|_| options.if_result.is_some()) {
        let message =
            format!("option `{option}`: it is given an error, which a result of `if_result` has not");
        return Err(Error::new(*span, message));
    }
    if let Some((option, span)) = options.of_errors.first().filter(|_| !function.is_fallible()) {
        let message =
            format!("option `{option}`: the function returns no `Result`, so that there are no errors");
        return Err(Error::new(*span, message));
    }
    if !function.is_fallible() && options.if_result.is_none() {
        let span = function.output().map_or_else(Span::call_site, Spanned::span);
        return Err(Error::new(
            span,
            "a function that is tried again returns a `Result`, of which an `Err` is tried again, or has `if_result`",
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
            _ => return self.take_callable(option, meta),
        };
        let field = format_ident!("{option}");
        self.patience.push(quote!(#field: #value));
        Ok(())
    }

    fn take_callable(&mut self, option: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let span = meta.path.span();
        match option {
            "on" => {
                self.on = Some(forms::callable(meta, option, "fn(error: &Error) -> bool")?);
                self.of_errors.push(("on", span));
            }
            "never" => {
                self.never = Some(forms::callable(meta, option, "fn(error: &Error) -> bool")?);
                self.of_errors.push(("never", span));
            }
            "if_result" => self.if_result = Some(forms::callable(meta, option, "fn(result: &T) -> bool")?),
            "after" => {
                let shape = "fn(attempt: u32, error: &Error) -> Duration";
                let (pause, is_callable) = forms::pause(meta, option, shape)?;
                self.after = Some(pause);
                self.told_errors.extend(is_callable.then_some(("after", span)));
            }
            _ => {
                self.before_pause = Some(forms::callable(meta, option, "fn(retrying: &Retrying<Error>)")?);
                self.told_errors.push(("before_pause", span));
            }
        }
        Ok(())
    }

    fn body(&self, function: &Function) -> TokenStream {
        let name = function.name();
        let names: Vec<Ident> =
            function.arguments.iter().map(|argument| format_ident!("__again_{}", argument.name)).collect();
        let clones = function.arguments.iter().zip(&names).map(|(argument, name)| again(argument, name));
        let (call, patience) = (function.call_again(&names), &self.patience);
        let attempt = self.attempt(function, &call);
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
                let __pause = #attempt;
                #sleep;
            }
        }
    }

    /// One attempt: gives how long to wait before the next one, or ends the loop.
    fn attempt(&self, function: &Function, call: &TokenStream) -> TokenStream {
        let or = |given: Option<&Expr>, otherwise| given.map_or(otherwise, |given| quote!(#given));
        let never = or(self.never.as_ref(), quote!(|_| false));
        let on = or(self.on.as_ref(), quote!(|_| true));
        let of_error = self.pause(&quote!(__error), &on, &never);
        let of_value = self.if_result.as_ref().map(|if_result| {
            let pause = self.pause(&quote!(__value), &quote!(#if_result), &quote!(|_| false));
            quote!(if let ::core::option::Option::Some(pause) = #pause { pause } else)
        });
        if !function.is_fallible() {
            return quote!({ let __value = #call; #of_value { break __value } });
        }
        quote! {
            match #call {
                ::core::result::Result::Ok(__value) => #of_value { break ::core::result::Result::Ok(__value) },
                ::core::result::Result::Err(__error) => match #of_error {
                    ::core::option::Option::Some(pause) => pause,
                    ::core::option::Option::None => break ::core::result::Result::Err(__error),
                },
            }
        }
    }

    /// The pause after `what` came of an attempt, if that is tried again.
    fn pause(&self, what: &TokenStream, on: &TokenStream, never: &TokenStream) -> TokenStream {
        let before_pause = self.before_pause.as_ref().map_or_else(|| quote!(|_| ()), |told| quote!(#told));
        match &self.after {
            None => quote!(__trying.pause(&#what, #on, #never, #before_pause)),
            Some(after) => quote!(__trying.pause_after(&#what, #on, #never, #before_pause, #after)),
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
