//! Alternatives that are refused.

struct Opaque;

fn elsewhere(text: &str) -> usize {
    text.len()
}

#[lineshaft::alternatives]
fn alone(text: &str) -> usize {
    text.len()
}

#[lineshaft::alternatives(elsewhere, verfy = 0.1)]
fn nearly_verified(text: &str) -> usize {
    text.len()
}

#[lineshaft::alternatives(elsewhere, verify = 2)]
fn more_than_all(text: &str) -> usize {
    text.len()
}

#[lineshaft::alternatives(elsewhere, equal = usize::eq)]
fn compared_with_nothing(text: &str) -> usize {
    text.len()
}

#[lineshaft::alternatives(elsewhere)]
fn changes_what_it_is_given(text: &mut str) -> usize {
    text.len()
}

#[lineshaft::alternatives(elsewhere)]
fn any_type<T: AsRef<str>>(text: T) -> usize {
    text.as_ref().len()
}

#[lineshaft::alternatives(elsewhere)]
fn of_another_type(text: &str) -> u8 {
    text.len() as u8
}

fn opaque_elsewhere(_: Opaque) -> Result<Opaque, String> {
    Ok(Opaque)
}

#[lineshaft::alternatives(opaque_elsewhere)]
fn given_twice(opaque: Opaque) -> Result<Opaque, String> {
    Ok(opaque)
}

fn make_opaque() -> Opaque {
    Opaque
}

#[lineshaft::alternatives(make_opaque, verify = 0.1)]
fn cannot_be_compared() -> Opaque {
    Opaque
}

fn main() {}
