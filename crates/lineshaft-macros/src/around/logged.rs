//! `#[logged]`: says when a function is called and what it gives.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{ItemFn, LitStr, Result};

use super::function::Function;
use super::options;
use crate::forms;

const OPTIONS: [&str; 7] = ["level", "target", "redact", "result", "errors", "duration", "max_length"];
const LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

struct Options {
    level: &'static str,
    target: Option<LitStr>,
    redact: Vec<LitStr>,
    result: bool,
    errors: bool,
    duration: bool,
    max_length: Option<TokenStream>,
}

pub(crate) fn expand(tokens: TokenStream, function: ItemFn) -> Result<TokenStream> {
    let options = Options::read(tokens)?;
    let function = Function::new(function);
    options::check_names("redact", &options.redact, &function.arguments)?;
    Ok(function.with_body(&options.body(&function)))
}

impl Options {
    fn read(tokens: TokenStream) -> Result<Self> {
        let mut options = Self {
            level: "info",
            target: None,
            redact: Vec::new(),
            result: true,
            errors: true,
            duration: false,
            max_length: None,
        };
        options::read(tokens, "`logged`", &OPTIONS, |option, meta| options.take(option, meta))?;
        Ok(options)
    }

    fn take(&mut self, option: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match option {
            "level" => self.level = LEVELS[forms::one_of(meta, option, &LEVELS)?],
            "target" => self.target = Some(forms::name(meta, option)?),
            "redact" => self.redact = forms::texts(meta, option)?,
            "result" => self.result = forms::flag(meta, option)?.value,
            "errors" => self.errors = forms::flag(meta, option)?.value,
            "duration" => self.duration = forms::flag(meta, option)?.value,
            _ => self.max_length = Some(forms::number(meta, option, 1, u32::MAX)?),
        }
        Ok(())
    }

    fn body(&self, function: &Function) -> TokenStream {
        let name = function.name();
        let (arguments, call) = (self.arguments(function), function.call());
        let begin = self.event(self.level, &quote!("Calling {} with arguments {}", #name, #arguments));
        let began = self.duration.then(|| {
            let (target, level) = (self.target(), level(self.level));
            quote!(let __began = ::lineshaft::around::private::began(
                ::lineshaft::around::private::tracing::enabled!(target: #target, #level)
            );)
        });
        let end = self.end(function);
        quote! {
            #begin
            #began
            let __returned = #call;
            #end
            __returned
        }
    }

    /// What is said at the end.
    fn end(&self, function: &Function) -> TokenStream {
        let name = function.name();
        let took = self.took();
        let span = function.output().map_or_else(proc_macro2::Span::call_site, Spanned::span);
        let shown = |value: TokenStream| {
            if !self.result || function.output().is_none() {
                return self.event(self.level, &quote!("{} returned{}", #name, #took));
            }
            let shown = quote_spanned!(span=> ::lineshaft::around::private::shown(#value));
            let shown = self.cut(&shown);
            self.event(self.level, &quote!("{} returned {}{}", #name, #shown, #took))
        };
        if !function.is_fallible() {
            return shown(quote_spanned!(span=> &__returned));
        }
        let succeeded = shown(quote_spanned!(span=> value));
        let failed = self.errors.then(|| {
            let text = quote_spanned! {span=> {
                #[allow(unused_imports)]
                use ::lineshaft::around::private::{ByDebug as _, ByDisplay as _};
                (&::lineshaft::around::private::Failure(error)).text()
            }};
            let text = self.cut(&text);
            self.event("error", &quote!("{} failed: {}{}", #name, #text, #took))
        });
        quote! {
            match &__returned {
                #[allow(unused_variables)]
                ::core::result::Result::Ok(value) => { #succeeded }
                #[allow(unused_variables)]
                ::core::result::Result::Err(error) => { #failed }
            }
        }
    }

    fn arguments(&self, function: &Function) -> TokenStream {
        let shown = function.arguments.iter().map(|argument| {
            let (name, ty) = (&argument.name, &argument.ty);
            if self.redact.iter().any(|redacted| *name == redacted.value()) {
                return quote!(&::lineshaft::around::private::Redacted);
            }
            quote_spanned!(ty.span()=> &::lineshaft::around::private::shown(&#name))
        });
        let max_length = self.max_length();
        quote!(::lineshaft::around::private::Arguments(&[#(#shown),*], #max_length))
    }

    /// A text or what can be shown, no longer than it may be.
    fn cut(&self, shown: &TokenStream) -> TokenStream {
        let max_length = self.max_length();
        quote!(::lineshaft::around::private::Cut(#shown, #max_length))
    }

    fn max_length(&self) -> TokenStream {
        self.max_length.clone().unwrap_or_else(|| quote!(u32::MAX))
    }

    fn took(&self) -> TokenStream {
        let began = if self.duration { quote!(__began) } else { quote!(::core::option::Option::None) };
        quote!(::lineshaft::around::private::Took(#began))
    }

    fn target(&self) -> TokenStream {
        self.target.as_ref().map_or_else(|| quote!(::core::module_path!()), |target| quote!(#target))
    }

    fn event(&self, at: &str, text: &TokenStream) -> TokenStream {
        let (target, level) = (self.target(), level(at));
        quote!(::lineshaft::around::private::tracing::event!(target: #target, #level, #text);)
    }
}

fn level(word: &str) -> TokenStream {
    let level = format_ident!("{}", word.to_uppercase());
    quote!(::lineshaft::around::private::tracing::Level::#level)
}
