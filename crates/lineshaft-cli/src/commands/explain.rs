//! `lineshaft explain`: the page of an error code, from `docs/errors`.

use lineshaft_wire::code::{CODES, Code};
use serde_json::{Value as Json, json};

use crate::context::Context;
use crate::exit::Failure;
use crate::output::Form;

macro_rules! pages {
    ($($code:literal)*) => {
        [$(($code, include_str!(concat!("../../../../docs/errors/LS", $code, ".md")))),*]
    };
}

/// The pages by the digits of their codes.
static PAGES: [(&str, &str); 32] = pages! {
    "0001" "0002" "0003" "0004" "0005" "0006" "0007" "0008" "0009" "0010" "0011" "0012" "0013" "0014" "0015" "0016"
    "0017" "0018" "0019" "0020" "0021" "0022" "0023" "0024" "0025" "0026" "0030" "0031" "0032" "0033"
    "0040" "0041"
};

pub(crate) fn run(code: Option<(Code, &'static str)>, context: &mut Context) -> Result<(), Failure> {
    match code {
        Some((code, title)) => explain(code, title, context),
        None => list(context),
    }
}

fn explain(code: Code, title: &str, context: &mut Context) -> Result<(), Failure> {
    let page = page(code);
    if context.output.is_json() {
        let document = json!({ "code": code.to_string(), "title": title, "page": page });
        return Ok(context.output.json(&document)?);
    }
    Ok(context.output.line(without_links(page).trim_end())?)
}

fn list(context: &mut Context) -> Result<(), Failure> {
    let documents = || CODES.iter().map(|(code, title)| json!({ "code": code.to_string(), "title": title }));
    match context.output.form {
        Form::Json => context.output.json(&json!({ "errors": documents().collect::<Vec<Json>>() }))?,
        Form::Lines => documents().try_for_each(|document| context.output.json(&document))?,
        Form::Text => {
            CODES.iter().try_for_each(|(code, title)| context.output.line(format!("{code}  {title}")))?;
        }
    }
    Ok(())
}

fn page(code: Code) -> &'static str {
    let code = code.to_string();
    PAGES.iter().find(|(digits, _)| code.ends_with(digits)).map_or("", |(_, page)| page)
}

/// The page with the text of its links alone: nobody follows `LS0004.md` in a terminal.
fn without_links(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut rest = page;
    while let Some(middle) = rest.find("](") {
        let opening = rest[..middle].rfind('[');
        let closing = rest[middle..].find(')').map(|at| middle + at);
        let (Some(opening), Some(closing)) = (opening, closing) else { break };
        text.push_str(&rest[..opening]);
        text.push_str(&rest[opening + 1..middle]);
        rest = &rest[closing + 1..];
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_page_and_every_page_its_code() {
        for (code, title) in CODES {
            assert!(page(*code).starts_with(&format!("# {code}: {title}\n")), "{code}");
        }
        assert_eq!(PAGES.len(), CODES.len());
    }

    #[test]
    fn links_are_shown_by_their_text() {
        assert_eq!(without_links("see [LS0004](LS0004.md), or [a](b) (c) [d]"), "see LS0004, or a (c) [d]");
        assert_eq!(without_links("[broken](x"), "[broken](x");
    }
}
