//! The rules of the engine and of shared memory, each broken on purpose: the simulation or a model must notice every one.
//!
//! A mutant is a change of the source text. `mutants`, the binary beside this one, makes all of them in a copy of the
//! workspace, each behind a number that only the copy asks for: one build has them all, what is tested is the engine as it
//! is but for one rule, and nothing of it is in what is shipped. `docs/adr/0006` says why.
//!
//! The tables stand in the files beneath, by what the rules are about; [`switched`] makes the text with all changes.

mod cache;
mod commits;
mod files;
mod jobs;
mod leases;
mod locks;
mod models;
mod requests;

use std::ops::Range;

/// The environment variable that says which rule is broken in the copy: the number of a mutant, from 1.
pub const VARIABLE: &str = "LINESHAFT_MUTANT";

/// A rule that is broken.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// Its name, for the command line.
    pub name: &'static str,
    /// The rule.
    pub rule: &'static str,
    /// The file, from the root of the workspace.
    pub file: &'static str,
    /// Stands in the file once, with the original in it; empty where that needs nothing around it to be found.
    pub within: &'static str,
    /// What stands there, once: an expression, or statements.
    pub original: &'static str,
    /// What takes its place.
    pub mutated: &'static str,
    /// A seed that notices it; `None` if none is known yet. If none of 2,000 does, that is a hole in the simulation.
    pub seed: Option<u64>,
}

/// A rule of shared memory that is broken, and the model of `lineshaft-ipc` that notices: `make test-models`.
#[derive(Clone, Copy, Debug)]
pub struct Modelled {
    /// What is broken; no seed of the simulation is about it.
    pub mutant: Mutant,
    /// The test whose orders of loads and stores show it.
    pub model: &'static str,
}

/// A mutant with its number.
type Numbered<'a> = (u32, &'a Mutant);

/// Every mutant, each with its number.
pub fn all() -> impl Iterator<Item = (u32, &'static Mutant)> {
    let tables = [
        commits::TABLE,
        requests::TABLE,
        leases::TABLE,
        locks::TABLE,
        jobs::TABLE,
        files::TABLE,
        cache::TABLE,
    ];
    (1..).zip(tables.into_iter().flatten())
}

/// Every one that models notice, each with its number: those after [`all`].
pub fn modelled() -> impl Iterator<Item = (u32, &'static Modelled)> {
    (all().count() as u32 + 1..).zip(models::TABLE)
}

fn every() -> impl Iterator<Item = (u32, &'static Mutant)> {
    all().chain(modelled().map(|(number, modelled)| (number, &modelled.mutant)))
}

/// The files that are changed.
pub fn files() -> Vec<&'static str> {
    let mut files: Vec<_> = every().map(|(_, mutant)| mutant.file).collect();
    files.sort_unstable();
    files.dedup();
    files
}

/// The `text` of `file` with every mutant in it, and each original where no number says otherwise.
///
/// Errors with a mutant that does not fit any more: what was there once is there no more, or twice, or two of them overlap.
pub fn switched(file: &str, text: &str) -> Result<String, String> {
    let mut places: Vec<(Range<usize>, Vec<Numbered<'_>>)> = Vec::new();
    for (number, mutant) in every().filter(|(_, mutant)| mutant.file == file) {
        let place = mutant.place_in(text)?;
        match places.iter_mut().find(|(other, _)| *other == place) {
            Some((_, mutants)) => mutants.push((number, mutant)),
            None => places.push((place, vec![(number, mutant)])),
        }
    }
    places.sort_unstable_by_key(|(place, _)| place.start);
    if let Some(pair) = places.windows(2).find(|pair| pair[0].0.end > pair[1].0.start) {
        return Err(format!("{} and {} overlap in {file}", pair[0].1[0].1.name, pair[1].1[0].1.name));
    }
    let mut switched = text.to_owned();
    for (place, mutants) in places.into_iter().rev() {
        let original = &text[place.clone()];
        switched.replace_range(place, &switch(original, &mutants));
    }
    Ok(switched)
}

/// What the root of every crate with mutants gets: the number of the rule that is broken, 0 for none.
pub fn number_function() -> String {
    format!(
        "
pub(crate) fn mutant() -> u32 {{
    static NUMBER: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {{
        std::env::var(\"{VARIABLE}\").ok().and_then(|number| number.parse().ok()).unwrap_or(0)
    }});
    *NUMBER
}}
"
    )
}

impl Mutant {
    fn place_in(&self, text: &str) -> Result<Range<usize>, String> {
        let place = if self.within.is_empty() {
            once(text, self.original)
        } else {
            once(text, self.within).and_then(|around| {
                let inside = once(&text[around.clone()], self.original)?;
                Some(around.start + inside.start..around.start + inside.end)
            })
        };
        place.ok_or_else(|| {
            format!(
                "{}: the rule `{}` is not in {} any more as it was: see crates/lineshaft-testkit/src/mutants.rs",
                self.name, self.rule, self.file
            )
        })
    }
}

/// Where `part` stands in `text`, if it does so once.
fn once(text: &str, part: &str) -> Option<Range<usize>> {
    let mut places = text.match_indices(part);
    let (start, _) = places.next()?;
    places.next().is_none().then_some(start..start + part.len())
}

fn switch(original: &str, mutants: &[Numbered<'_>]) -> String {
    let arms: Vec<String> =
        mutants.iter().map(|(number, mutant)| format!("{number} => {{ {} }}", mutant.mutated)).collect();
    let switch = format!("match crate::mutant() {{ {} _ => {{ {original} }} }}", arms.join(" "));
    let is_statement = original.trim_end().ends_with([';', '}']);
    if is_statement { switch } else { format!("({switch})") }
}
