//! What is at an address: functions, files and lines, as far as the program has them.

/// A function, and where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// Its name with its path, or `?`.
    pub name: String,
    /// Its file; empty if it is not known.
    pub file: String,
    /// The line that runs, or from which the next function is called; 0 if it is not known.
    pub line: u32,
}

/// The functions at an address that a [`Looker`](super::Looker) gave, more than one where some were inlined: the innermost
/// first. The first one of a program takes long, up to a second, since what it says of itself has to be read.
pub fn functions_at(address: usize) -> Vec<Function> {
    let mut found = Vec::new();
    backtrace::resolve(std::ptr::without_provenance_mut(address), |symbol| {
        // Without the hash that tells versions of a crate apart.
        let name = symbol.name().map_or_else(|| "?".to_owned(), |name| format!("{name:#}"));
        let file = symbol.filename().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
        found.push(Function { name, file, line: symbol.lineno().unwrap_or(0) });
    });
    if found.is_empty() {
        found.push(Function { name: "?".to_owned(), ..Function::default() });
    }
    found
}
