//! `#[value]`: the names of a type on the wire, and what serde needs.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Data, DeriveInput, Error, Fields, Ident, LitStr, Path, Result, Token, bracketed, parse_quote,
};

/// What `lineshaft_wire::value::typed` knows the names of a type by.
const RECORD_PREFIX: &str = "lineshaft.record:";
const ENUM_PREFIX: &str = "lineshaft.enum:";
/// The longest name of a type.
const NAME_BYTES_MAX: usize = 255;

/// `"shop.Order", aliases = ["shop.OldOrder"]`
struct Names {
    all: Vec<LitStr>,
}

impl Parse for Names {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let expected = "expected the type's name: `#[lineshaft::value(\"shop.Order\")]`";
        let name: LitStr = input.parse().map_err(|error| Error::new(error.span(), expected))?;
        let mut all = vec![name];
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let option: Ident = input.parse()?;
            if option != "aliases" {
                return Err(Error::new(
                    option.span(),
                    format!("a value has no option `{option}`; it has `aliases`"),
                ));
            }
            input.parse::<Token![=]>()?;
            let names;
            bracketed!(names in input);
            all.extend(Punctuated::<LitStr, Token![,]>::parse_terminated(&names)?);
        }
        Ok(Self { all })
    }
}

impl Names {
    /// As serde gets them.
    fn joined(&self, prefix: &str) -> Result<String> {
        let mut texts = Vec::with_capacity(self.all.len());
        for name in &self.all {
            let text = name.value();
            if text.is_empty() || text.len() > NAME_BYTES_MAX || text.contains('|') {
                let message = format!("the name of a type has 1 to {NAME_BYTES_MAX} bytes and no `|`");
                return Err(Error::new(name.span(), message));
            }
            texts.push(text);
        }
        Ok(format!("{prefix}{}", texts.join("|")))
    }
}

pub(crate) fn expand(names: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let names: Names = syn::parse2(names)?;
    let mut input: DeriveInput = syn::parse2(item)?;
    let (prefix, is_record) = kind(&input)?;
    let name = names.joined(prefix)?;
    // A field that the type does not have is refused, as in Python; a flattened one takes what is left.
    let strict = (is_record && !has_flattened(&input)).then(|| quote!(, deny_unknown_fields));
    let missing = missing_derives(&input.attrs)?;
    let derives = (!missing.is_empty()).then(|| quote!(#[derive(#(::lineshaft::serde::#missing),*)]));
    let path = (!missing.is_empty()).then(|| quote!(crate = "::lineshaft::serde",));
    // Behind every derive, since one of them introduces it.
    input.attrs.push(parse_quote!(#[serde(#path rename = #name #strict)]));
    Ok(quote!(#derives #input))
}

/// What the names stand behind, and whether it is a record.
fn kind(input: &DeriveInput) -> Result<(&'static str, bool)> {
    match &input.data {
        Data::Struct(data) if matches!(data.fields, Fields::Named(_)) => Ok((RECORD_PREFIX, true)),
        Data::Enum(data) => {
            match data.variants.iter().find(|variant| !matches!(variant.fields, Fields::Unit)) {
                Some(variant) => {
                    let message = format!(
                        "variant `{}` holds data: only an enum without data is the member of a Python `Enum`",
                        variant.ident
                    );
                    Err(Error::new_spanned(variant, message))
                }
                None => Ok((ENUM_PREFIX, false)),
            }
        }
        _ => Err(Error::new_spanned(
            &input.ident,
            "a value with a name is a struct with named fields, or an enum",
        )),
    }
}

fn has_flattened(input: &DeriveInput) -> bool {
    let Data::Struct(data) = &input.data else { return false };
    let serde = data
        .fields
        .iter()
        .flat_map(|field| &field.attrs)
        .filter(|attribute| attribute.path().is_ident("serde"));
    serde.into_iter().any(|attribute| {
        let mut found = false;
        let _ = attribute.parse_nested_meta(|meta| {
            found |= meta.path.is_ident("flatten");
            if meta.input.peek(Token![=]) {
                meta.value()?.parse::<syn::Expr>()?;
            }
            Ok(())
        });
        found
    })
}

/// The traits of serde that the type does not derive itself.
fn missing_derives(attributes: &[Attribute]) -> Result<Vec<Ident>> {
    let mut missing: Vec<Ident> =
        ["Serialize", "Deserialize"].map(|name| Ident::new(name, proc_macro2::Span::call_site())).into();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
        let derived = attribute.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated)?;
        for path in derived {
            missing.retain(|name| path.segments.last().is_none_or(|last| last.ident != *name));
        }
    }
    Ok(missing)
}
