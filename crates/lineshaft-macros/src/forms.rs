//! The forms in which the values of options are written.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{
    Error, Expr, ExprArray, ExprClosure, ExprLit, ExprPath, Lit, LitBool, LitInt, LitStr, Result, ReturnType,
};

/// Bytes of a name.
const NAME_BYTES_MAX: usize = 255;
/// What names may have beside letters and digits.
const NAME_SIGNS: &str = "_.:/@+#-";
/// Tags of a job.
const TAGS_MAX: usize = 16;

/// The error for a value of `option` that is not what was expected.
pub(crate) fn wrong(spanned: &impl Spanned, option: &str, expected: &str) -> Error {
    Error::new(spanned.span(), format!("option `{option}`: expected {expected}"))
}

fn value<T: syn::parse::Parse>(meta: &ParseNestedMeta<'_>, option: &str, expected: &str) -> Result<T> {
    let parsed = meta.value().and_then(syn::parse::ParseBuffer::parse);
    parsed.map_err(|error: Error| Error::new(error.span(), format!("option `{option}`: expected {expected}")))
}

/// The name of a task or a queue.
pub(crate) fn name(meta: &ParseNestedMeta<'_>, option: &str) -> Result<LitStr> {
    let text: LitStr = value(meta, option, "a name in quotes")?;
    check_name(&text, option)?;
    Ok(text)
}

fn check_name(text: &LitStr, option: &str) -> Result<()> {
    let name = text.value();
    let is_good = |letter: char| letter.is_alphanumeric() || NAME_SIGNS.contains(letter);
    if name.is_empty() {
        return Err(wrong(text, option, "a name of at least one letter"));
    }
    if name.len() > NAME_BYTES_MAX || name.starts_with('-') || !name.chars().all(is_good) {
        let expected = format!(
            "a name of letters, digits and {NAME_SIGNS}, not starting with `-`, of at most {NAME_BYTES_MAX} bytes"
        );
        return Err(wrong(text, option, &expected));
    }
    Ok(())
}

pub(crate) fn number(meta: &ParseNestedMeta<'_>, option: &str, least: u32, most: u32) -> Result<TokenStream> {
    let expected = format!("a number from {least} to {most}");
    let number: LitInt = value(meta, option, &expected)?;
    match number.base10_parse::<u32>() {
        Ok(value) if (least..=most).contains(&value) => Ok(number.into_token_stream()),
        _ => Err(wrong(&number, option, &expected)),
    }
}

/// A part of a whole.
pub(crate) fn part(meta: &ParseNestedMeta<'_>, option: &str) -> Result<TokenStream> {
    let expected = "a part of all calls, from 0 to 1";
    let number: Lit = value(meta, option, expected)?;
    fraction(&number).map(|part| quote!(#part)).ok_or_else(|| wrong(&number, option, expected))
}

/// A number from 0 to 1.
fn fraction(literal: &Lit) -> Option<f64> {
    let number = match literal {
        Lit::Float(number) => number.base10_parse::<f64>().ok(),
        Lit::Int(number) => number.base10_parse::<f64>().ok(),
        _ => None,
    };
    number.filter(|number| (0.0..=1.0).contains(number))
}

/// A function, a closure, or none.
pub(crate) fn optional_callable(
    meta: &ParseNestedMeta<'_>,
    option: &str,
    shape: &str,
) -> Result<Option<Expr>> {
    let expected = format!("a function or a closure, `{shape}`, or `None`");
    match value(meta, option, &expected)? {
        none if is_none(&none) => Ok(None),
        callable @ (Expr::Path(_) | Expr::Closure(_)) => Ok(Some(callable)),
        other => Err(wrong(&other, option, &expected)),
    }
}

/// A number, or none.
pub(crate) fn optional_number(
    meta: &ParseNestedMeta<'_>,
    option: &str,
    least: u32,
    most: u32,
) -> Result<TokenStream> {
    let expected = format!("a number from {least} to {most}, or `None`");
    let written: Expr = value(meta, option, &expected)?;
    if is_none(&written) {
        return Ok(quote!(::core::option::Option::None));
    }
    let number = match &written {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse::<u32>().ok(),
        _ => None,
    };
    let number = number.filter(|number| (least..=most).contains(number));
    number
        .map(|number| quote!(::core::option::Option::Some(#number)))
        .ok_or_else(|| wrong(&written, option, &expected))
}

fn is_none(written: &Expr) -> bool {
    matches!(written, Expr::Path(ExprPath { path, .. }) if path.is_ident("None"))
}

pub(crate) fn priority(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    let expected = "a number from 1 (first) to 9, or `\"high\"`, `\"normal\"`, `\"low\"`";
    let literal: Lit = value(meta, "priority", expected)?;
    let number = match &literal {
        Lit::Int(number) => number.base10_parse().ok().filter(|number| (1..=9).contains(number)),
        Lit::Str(word) => match word.value().as_str() {
            "high" => Some(2_u8),
            "normal" => Some(5),
            "low" => Some(8),
            _ => None,
        },
        _ => None,
    };
    number.map(|number| quote!(#number)).ok_or_else(|| wrong(&literal, "priority", expected))
}

pub(crate) fn flag(meta: &ParseNestedMeta<'_>, option: &str) -> Result<LitBool> {
    value(meta, option, "`true` or `false`")
}

/// A share of all: a number from 0 to 1, `true` for each and `false` for none.
pub(crate) fn share(meta: &ParseNestedMeta<'_>, option: &str) -> Result<TokenStream> {
    let expected = "a share of its attempts from 0 to 1, as `0.01`, or `true`, `false`";
    let literal: Lit = value(meta, option, expected)?;
    let share = match &literal {
        Lit::Bool(each) => Some(f64::from(u8::from(each.value))),
        number => fraction(number),
    };
    share
        .map(|share| quote!(::core::option::Option::Some(#share)))
        .ok_or_else(|| wrong(&literal, option, expected))
}

pub(crate) fn duration(meta: &ParseNestedMeta<'_>, option: &str) -> Result<TokenStream> {
    let expected = "`\"30s\"`, `\"1h30m\"` or a number of seconds";
    let written: Expr = value(meta, option, expected)?;
    duration_of(&written).ok_or_else(|| wrong(&written, option, expected))
}

/// A duration, or none.
pub(crate) fn optional_duration(meta: &ParseNestedMeta<'_>, option: &str) -> Result<TokenStream> {
    let expected = "`\"30s\"`, `\"1h30m\"`, a number of seconds, or `None`";
    let written: Expr = value(meta, option, expected)?;
    if is_none(&written) {
        return Ok(quote!(::core::option::Option::None));
    }
    let duration = duration_of(&written).ok_or_else(|| wrong(&written, option, expected))?;
    Ok(quote!(::core::option::Option::Some(#duration)))
}

fn duration_of(written: &Expr) -> Option<TokenStream> {
    let Expr::Lit(ExprLit { lit, .. }) = written else { return None };
    let text = match lit {
        Lit::Str(text) => text.value(),
        Lit::Int(seconds) => seconds.base10_digits().to_owned(),
        Lit::Float(seconds) => seconds.base10_digits().to_owned(),
        _ => return None,
    };
    // The number is read, and refused, where it is used: at compile time.
    let span = lit.span();
    Some(quote_spanned!(span=> ::lineshaft::task::private::duration(#text)))
}

/// A rate: how many in which time, or none.
pub(crate) fn optional_rate(meta: &ParseNestedMeta<'_>, option: &str) -> Result<Option<(u32, TokenStream)>> {
    let expected = "a number and a time, as `\"100/m\"`, `\"5/s\"` or `\"10/2h\"`, or `None`";
    let written: Expr = value(meta, option, expected)?;
    if is_none(&written) {
        return Ok(None);
    }
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &written else {
        return Err(wrong(&written, option, expected));
    };
    let (rate, span) = (text.value(), text.span());
    let parts = rate.split_once('/').map(|(count, time)| (count.trim().parse::<u32>(), time.trim()));
    let Some((Ok(count @ 1..), time)) = parts else { return Err(wrong(&written, option, expected)) };
    let time =
        if time.starts_with(|first: char| first.is_ascii_digit()) { time.into() } else { format!("1{time}") };
    Ok(Some((count, quote_spanned!(span=> ::lineshaft::task::private::duration(#time)))))
}

pub(crate) fn delivery(meta: &ParseNestedMeta<'_>) -> Result<bool> {
    one_of(meta, "delivery", &["at_least_once", "at_most_once"]).map(|place| place == 1)
}

/// The place of the value among some words.
pub(crate) fn one_of(meta: &ParseNestedMeta<'_>, option: &str, words: &[&str]) -> Result<usize> {
    let quoted: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
    let (last, others) = quoted.split_last().expect("there are words");
    let expected = format!("{} or {last}", others.join(", "));
    let word: LitStr = value(meta, option, &expected)?;
    let place = words.iter().position(|known| *known == word.value());
    place.ok_or_else(|| wrong(&word, option, &expected))
}

pub(crate) fn tags(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    let tags = texts(meta, "tags")?;
    if let Some(tag) = tags.get(TAGS_MAX) {
        return Err(wrong(tag, "tags", &format!("at most {TAGS_MAX} of them")));
    }
    Ok(quote!(&[#(#tags),*]))
}

/// Texts, or a closure that gives them.
pub(crate) fn tags_or_closure(meta: &ParseNestedMeta<'_>, option: &str) -> Result<Expr> {
    let expected = "a list of texts, `[\"a\", \"b\"]`, or a closure that gives them: `|user| [format!(\"user:{user}\")]`";
    let is_text = |written: &Expr| matches!(written, Expr::Lit(ExprLit { lit: Lit::Str(_), .. }));
    match value(meta, option, expected)? {
        Expr::Array(texts) if texts.elems.iter().all(is_text) => Ok(Expr::Array(texts)),
        closure @ Expr::Closure(_) => Ok(closure),
        other => Err(wrong(&other, option, expected)),
    }
}

/// A closure that says what it gives.
pub(crate) fn typed_closure(meta: &ParseNestedMeta<'_>, option: &str) -> Result<ExprClosure> {
    let expected = "a closure with the type of what it gives: `|user, page| -> u64 { user.id }`";
    match value(meta, option, expected)? {
        Expr::Closure(closure) if matches!(closure.output, ReturnType::Type(..)) => Ok(closure),
        other => Err(wrong(&other, option, expected)),
    }
}

pub(crate) fn names(meta: &ParseNestedMeta<'_>, option: &str) -> Result<TokenStream> {
    let names = texts(meta, option)?;
    names.iter().try_for_each(|name| check_name(name, option))?;
    Ok(quote!(&[#(#names),*]))
}

/// `["a", "b"]`, or `"a"` for one.
pub(crate) fn texts(meta: &ParseNestedMeta<'_>, option: &str) -> Result<Vec<LitStr>> {
    let expected = "a list of texts: `[\"a\", \"b\"]`";
    let text = |written: &Expr| match written {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.clone()),
        other => Err(wrong(other, option, expected)),
    };
    match value(meta, option, expected)? {
        Expr::Array(ExprArray { elems, .. }) => elems.iter().map(text).collect(),
        one => Ok(vec![text(&one)?]),
    }
}

/// Types of errors: `[io::Error, "builtins.ValueError"]`.
pub(crate) fn classes(meta: &ParseNestedMeta<'_>, option: &str) -> Result<TokenStream> {
    let expected = "a list of types of errors: `[std::io::Error, \"builtins.ValueError\"]`";
    let class = |written: &Expr| match written {
        Expr::Lit(ExprLit { lit: Lit::Str(name), .. }) => {
            Ok(quote!(::lineshaft::task::private::Class::Named(#name)))
        }
        Expr::Path(path) => Ok(quote!(::lineshaft::task::private::Class::of::<#path>())),
        other => Err(wrong(other, option, expected)),
    };
    let classes = match value(meta, option, expected)? {
        Expr::Array(ExprArray { elems, .. }) => elems.iter().map(class).collect::<Result<Vec<_>>>()?,
        one => vec![class(&one)?],
    };
    Ok(quote!(&[#(#classes),*]))
}

/// A task of this program by its path, one of another by its name, or none.
pub(crate) fn handler(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    let option = "on_failure";
    let expected = "a task by its path, the name of one in quotes, or `None`";
    match value(meta, option, expected)? {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            check_name(&text, option)?;
            Ok(quote!(::core::option::Option::Some(::lineshaft::task::Handler::named(#text))))
        }
        Expr::Path(ExprPath { path, .. }) if path.is_ident("None") => {
            Ok(quote!(::core::option::Option::None))
        }
        Expr::Path(path) => {
            let span = path.span();
            let handler = quote_spanned!(span=> <#path>::handler());
            Ok(quote!(::core::option::Option::Some(#handler)))
        }
        other => Err(wrong(&other, option, expected)),
    }
}

/// A function by its path.
pub(crate) fn function(meta: &ParseNestedMeta<'_>, option: &str) -> Result<ExprPath> {
    value(meta, option, "a function: `fn(attempt: u32, error: &Error) -> Duration`")
}

/// A duration, or a function or a closure that gives it; as one of these, and whether it was one.
pub(crate) fn pause(meta: &ParseNestedMeta<'_>, option: &str, shape: &str) -> Result<(TokenStream, bool)> {
    let expected = format!("`\"30s\"`, a number of seconds, or a function or a closure: `{shape}`");
    let written: Expr = value(meta, option, &expected)?;
    match (duration_of(&written), &written) {
        (Some(pause), _) => {
            let constant = quote!(|_, _| {
                const PAUSE: ::core::time::Duration = #pause;
                PAUSE
            });
            Ok((constant, false))
        }
        (None, Expr::Path(_) | Expr::Closure(_)) => Ok((written.into_token_stream(), true)),
        _ => Err(wrong(&written, option, &expected)),
    }
}

/// A function by its path, or a closure.
pub(crate) fn callable(meta: &ParseNestedMeta<'_>, option: &str, shape: &str) -> Result<Expr> {
    let expected = format!("a function or a closure: `{shape}`");
    match value(meta, option, &expected)? {
        callable @ (Expr::Path(_) | Expr::Closure(_)) => Ok(callable),
        other => Err(wrong(&other, option, &expected)),
    }
}
