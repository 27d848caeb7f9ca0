//! The options of a task.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{Expr, ExprArray, ExprLit, ExprPath, Lit, LitBool, LitInt, LitStr, Result};

/// What can be given, for errors.
const NAMES: &str =
    "`name`, `version`, `queue`, `priority`, `retries`, `timeout`, `delivery`, `result`, `tags`";

/// What was given.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    /// Fields of `Defaults` with their values.
    defaults: Vec<TokenStream>,
}

impl Options {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut options = Self::default();
        syn::meta::parser(|meta| options.take(&meta)).parse2(tokens)?;
        Ok(options)
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
        let Some(option) = meta.path.get_ident().map(ToString::to_string) else {
            return Err(meta.error(format!("an option of a task is one of {NAMES}")));
        };
        let value = match option.as_str() {
            "name" => {
                self.name = Some(text(meta, "name")?);
                return Ok(());
            }
            "version" => number(meta, "version", 1, i32::MAX as u32)?,
            "queue" => text(meta, "queue")?.into_token_stream(),
            "priority" => number(meta, "priority", 1, 9)?,
            "retries" => number(meta, "retries", 0, 9_999)?,
            "timeout" => timeout(meta)?,
            "delivery" => {
                let at_most_once = delivery(meta)?;
                self.defaults.push(quote!(at_most_once: #at_most_once));
                return Ok(());
            }
            "result" => {
                let keep_result: LitBool =
                    meta.value()?.parse().map_err(|error| wrong(&error, "result", "`true` or `false`"))?;
                self.defaults.push(quote!(keep_result: #keep_result));
                return Ok(());
            }
            "tags" => tags(meta)?,
            other => return Err(meta.error(format!("a task has no option `{other}`; it has {NAMES}"))),
        };
        let field = &meta.path;
        self.defaults.push(quote!(#field: #value));
        Ok(())
    }
}

fn text(meta: &ParseNestedMeta<'_>, option: &str) -> Result<LitStr> {
    let text: LitStr = meta.value()?.parse().map_err(|error| wrong(&error, option, "a name in quotes"))?;
    if text.value().is_empty() {
        return Err(syn::Error::new(
            text.span(),
            format!("option `{option}`: a name has at least one letter"),
        ));
    }
    Ok(text)
}

fn number(meta: &ParseNestedMeta<'_>, option: &str, least: u32, most: u32) -> Result<TokenStream> {
    let expected = format!("a number from {least} to {most}");
    let number: LitInt = meta.value()?.parse().map_err(|error| wrong(&error, option, &expected))?;
    match number.base10_parse::<u32>() {
        Ok(value) if (least..=most).contains(&value) => Ok(number.into_token_stream()),
        _ => Err(syn::Error::new(number.span(), format!("option `{option}`: expected {expected}"))),
    }
}

fn timeout(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    let value: Expr = meta.value()?.parse()?;
    let text = match &value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => text.value(),
        Expr::Lit(ExprLit { lit: Lit::Int(seconds), .. }) => seconds.base10_digits().to_owned(),
        Expr::Lit(ExprLit { lit: Lit::Float(seconds), .. }) => seconds.base10_digits().to_owned(),
        Expr::Path(ExprPath { path, .. }) if path.is_ident("None") => {
            return Ok(quote!(::core::option::Option::None));
        }
        _ => {
            let expected = "`\"30s\"`, `\"1h30m\"`, a number of seconds, or `None`";
            return Err(syn::Error::new_spanned(&value, format!("option `timeout`: expected {expected}")));
        }
    };
    Ok(quote!(::core::option::Option::Some(::lineshaft::task::private::duration(#text))))
}

fn delivery(meta: &ParseNestedMeta<'_>) -> Result<bool> {
    let expected = "`\"at_least_once\"` or `\"at_most_once\"`";
    let word: LitStr = meta.value()?.parse().map_err(|error| wrong(&error, "delivery", expected))?;
    match word.value().as_str() {
        "at_least_once" => Ok(false),
        "at_most_once" => Ok(true),
        _ => Err(syn::Error::new(word.span(), format!("option `delivery`: expected {expected}"))),
    }
}

fn tags(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    let expected = "a list of texts: `[\"a\", \"b\"]`";
    let tags: ExprArray = meta.value()?.parse().map_err(|error| wrong(&error, "tags", expected))?;
    for tag in &tags.elems {
        if !matches!(tag, Expr::Lit(ExprLit { lit: Lit::Str(_), .. })) {
            return Err(syn::Error::new_spanned(tag, format!("option `tags`: expected {expected}")));
        }
    }
    Ok(quote!(&#tags))
}

fn wrong(error: &syn::Error, option: &str, expected: &str) -> syn::Error {
    syn::Error::new(error.span(), format!("option `{option}`: expected {expected}"))
}
