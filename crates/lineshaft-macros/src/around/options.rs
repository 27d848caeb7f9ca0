//! Reading the options of an attribute.

use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{LitStr, Result};

use super::function::Argument;
use crate::nearest::unknown;
use crate::options::option_of;

/// Has `take` read each option that is given, all of which are in `known`.
pub(crate) fn read(
    tokens: TokenStream,
    owner: &str,
    known: &[&str],
    mut take: impl FnMut(&str, &ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    let mut given: Vec<String> = Vec::new();
    let parser = syn::meta::parser(|meta| {
        let option = option_of(&meta, owner, known)?;
        if given.contains(&option) {
            return Err(meta.error(format!("option `{option}` is given twice")));
        }
        take(&option, &meta)?;
        given.push(option);
        Ok(())
    });
    parser.parse2(tokens)
}

/// Refuses what `option` names if it is no argument of the function.
pub(crate) fn check_names(option: &str, names: &[LitStr], arguments: &[Argument]) -> Result<()> {
    let known: Vec<String> = arguments.iter().map(|argument| argument.name.to_string()).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    for name in names {
        let text = name.value();
        if !known.contains(&text.as_str()) {
            let message = format!("option `{option}`: the function has no argument `{text}`");
            return Err(unknown(name.span(), message, &text, &known));
        }
    }
    Ok(())
}
