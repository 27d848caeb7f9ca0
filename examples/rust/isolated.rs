//! Functions in processes of this program: one that takes its process down fails its own item, and the others are done.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use lineshaft::Pool;
use lineshaft::pool::Error;

/// How deep the brackets of a text are nested; it calls itself for each of them.
#[lineshaft::task]
fn depth(text: String) -> Result<usize, String> {
    nested(&mut text.chars())
}

fn nested(letters: &mut std::str::Chars<'_>) -> Result<usize, String> {
    let mut deepest = 0;
    loop {
        match letters.next() {
            Some('(') => deepest = deepest.max(1 + nested(letters)?),
            Some(')') | None => return Ok(deepest),
            Some('a'..='z' | ' ') => {}
            Some(other) => return Err(format!("{other:?} has no place in it")),
        }
    }
}

fn main() -> Result<(), Error> {
    lineshaft::pool::init(); // first: workers are this program, started again
    let pool = Pool::new(2)?;
    let texts = ["(a (b c) (d))", "(a [b])", &"(".repeat(10_000_000), "()"];
    for (number, result) in pool.imap(depth::call, texts.map(String::from))?.enumerate() {
        match result {
            Ok(depth) => println!("{number}: {depth}"),
            Err(error) => println!("{number}: {error}"),
        }
    }
    Ok(())
}
