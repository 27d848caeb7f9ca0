//! The options of a task.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{LitStr, Result};

use crate::forms;
use crate::nearest::unknown;
use crate::parameter::Parameter;

/// What can be given.
const NAMES: [&str; 18] = [
    "name",
    "version",
    "from_version",
    "aliases",
    "queue",
    "priority",
    "retries",
    "retry",
    "timeout",
    "expires",
    "deadline",
    "unique",
    "cache",
    "delivery",
    "result",
    "tags",
    "on_failure",
    "profile",
];
const RETRY_NAMES: [&str; 5] = ["on", "never", "first", "cap", "after"];
const UNIQUE_NAMES: [&str; 3] = ["by", "while", "period"];

/// What was given.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    /// Fields of `Defaults` with their values.
    defaults: Vec<TokenStream>,
    given: Vec<String>,
    /// Arguments that `unique` names.
    unique_by: Vec<LitStr>,
}

impl Options {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut options = Self::default();
        syn::meta::parser(|meta| options.take(&meta)).parse2(tokens)?;
        Ok(options)
    }

    /// Refuses names that are not those of parameters.
    pub(crate) fn check(&self, parameters: &[Parameter]) -> Result<()> {
        let known: Vec<String> = parameters.iter().map(|parameter| parameter.name.to_string()).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        for name in &self.unique_by {
            let text = name.value();
            if !known.contains(&text.as_str()) {
                let message = format!("option `unique`: the task has no argument `{text}`");
                return Err(unknown(name.span(), message, &text, &known));
            }
        }
        Ok(())
    }

    /// The defaults of the task's jobs.
    pub(crate) fn defaults(&self) -> TokenStream {
        let fields = &self.defaults;
        quote! {
            ::lineshaft::task::private::Defaults {
                #(#fields,)*
                ..::lineshaft::task::private::Defaults::DEFAULT
            }
        }
    }

    fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let option = option_of(meta, "a task", &NAMES)?;
        if self.given.contains(&option) {
            return Err(meta.error(format!("option `{option}` is given twice")));
        }
        let (field, value) = match option.as_str() {
            "name" => {
                self.name = Some(forms::name(meta, "name")?);
                return Ok(());
            }
            "version" => (quote!(version), forms::number(meta, "version", 1, i32::MAX as u32)?),
            "from_version" => {
                (quote!(from_version), forms::number(meta, "from_version", 1, i32::MAX as u32)?)
            }
            "aliases" => (quote!(aliases), forms::names(meta, "aliases")?),
            "queue" => {
                let queue = forms::name(meta, "queue")?;
                (quote!(queue), quote!(#queue))
            }
            "priority" => (quote!(priority), forms::priority(meta)?),
            "retries" => (quote!(retries), forms::number(meta, "retries", 0, 9_999)?),
            "retry" => (quote!(retry), retry(meta)?),
            "timeout" => (quote!(timeout), forms::optional_duration(meta, "timeout")?),
            "expires" => (quote!(expires), forms::optional_duration(meta, "expires")?),
            "deadline" => (quote!(deadline), forms::optional_duration(meta, "deadline")?),
            "unique" => (quote!(unique), self.unique(meta)?),
            "cache" => (quote!(cache), forms::optional_duration(meta, "cache")?),
            "delivery" => {
                let at_most_once = forms::delivery(meta)?;
                (quote!(at_most_once), quote!(#at_most_once))
            }
            "result" => {
                let keep = forms::flag(meta, "result")?;
                (quote!(keep_result), quote!(#keep))
            }
            "tags" => (quote!(tags), forms::tags(meta)?),
            "profile" => (quote!(profile), forms::share(meta, "profile")?),
            _ => (quote!(on_failure), forms::handler(meta)?),
        };
        self.defaults.push(quote!(#field: #value));
        self.given.push(option);
        Ok(())
    }

    /// `unique = "args"` or `unique(by = ["tenant"], while = "queued", period = "1h")`.
    fn unique(&mut self, meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
        let (mut names, mut while_queued, mut period) =
            (quote!(::core::option::Option::None), false, quote!(::core::option::Option::None));
        if meta.input.peek(syn::token::Paren) {
            meta.parse_nested_meta(|inner| {
                match option_of(&inner, "`unique`", &UNIQUE_NAMES)?.as_str() {
                    "by" => {
                        let by = forms::texts(&inner, "by")?;
                        names = quote!(::core::option::Option::Some(&[#(#by),*]));
                        self.unique_by.extend(by);
                    }
                    "while" => while_queued = forms::one_of(&inner, "while", &["unfinished", "queued"])? == 1,
                    _ => period = forms::optional_duration(&inner, "period")?,
                }
                Ok(())
            })?;
        } else {
            let expected = "`\"args\"`, or `unique(by = [\"name\"], while = \"queued\", period = \"1h\")`";
            let word: Result<LitStr> = meta.value().and_then(syn::parse::ParseBuffer::parse);
            let word = word.map_err(|error| forms::wrong(&error.span(), "unique", expected))?;
            if word.value() != "args" {
                return Err(forms::wrong(&word, "unique", expected));
            }
        }
        Ok(quote!(::core::option::Option::Some(::lineshaft::task::private::UniqueBy {
            names: #names,
            while_queued: #while_queued,
            period: #period,
        })))
    }
}

/// `retry(on = [io::Error], never = ["shop.Bounced"], first = "2s", cap = "5m", after = backoff)`
fn retry(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    if !meta.input.peek(syn::token::Paren) {
        return Err(meta.error(
            "write `retries = 3` for their number, `retry(first = \"2s\", cap = \"5m\")` for the rest",
        ));
    }
    let mut fields = Vec::new();
    meta.parse_nested_meta(|inner| {
        fields.push(match option_of(&inner, "`retry`", &RETRY_NAMES)?.as_str() {
            "on" => {
                let classes = forms::classes(&inner, "on")?;
                quote!(on: #classes)
            }
            "never" => {
                let classes = forms::classes(&inner, "never")?;
                quote!(never: #classes)
            }
            "first" => {
                let first = forms::duration(&inner, "first")?;
                quote!(first: #first)
            }
            "cap" => {
                let cap = forms::duration(&inner, "cap")?;
                quote!(cap: #cap)
            }
            _ => {
                let after = forms::function(&inner, "after")?;
                quote!(after: ::core::option::Option::Some(#after))
            }
        });
        Ok(())
    })?;
    Ok(quote! {
        ::lineshaft::task::private::Retry { #(#fields,)* ..::lineshaft::task::private::Retry::DEFAULT }
    })
}

/// The name that is given, which has to be one of those that `owner` has.
pub(crate) fn option_of(meta: &ParseNestedMeta<'_>, owner: &str, known: &[&str]) -> Result<String> {
    let given = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
    if known.contains(&given.as_str()) {
        return Ok(given);
    }
    let span = syn::spanned::Spanned::span(&meta.path);
    Err(unknown(span, format!("{owner} has no option `{given}`"), &given, known))
}
