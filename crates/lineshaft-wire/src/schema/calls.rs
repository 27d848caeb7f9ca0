//! Whether calls of one signature bind to another one.

use super::fit::{Fit, fit};
use super::{Parameter, ParameterKind, Schema};

use ParameterKind::{KeywordOnly, PositionalOnly, PositionalOrKeyword, VarKeyword, VarPositional};

/// Why some calls of the writer's signature do not fit the reader's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit<'a> {
    /// The reader must have it, and not every call does.
    Required(&'a Parameter),
    /// The reader does not take this one of the writer's.
    Unknown(&'a Parameter),
    /// The reader takes the writer's parameter under another name.
    Renamed(&'a Parameter, &'a Parameter),
    /// The reader has another parameter in its place.
    Moved(&'a Parameter),
    /// The reader takes it in another way, by name alone or by place alone.
    Kind(&'a Parameter),
    /// The reader's may be of another type.
    Type(&'a Parameter, &'a Parameter, Fit),
}

/// Everything that may go wrong with calls of `written` at a function with the parameters `read`.
pub(super) fn misfits<'a>(
    written: &'a [Parameter],
    read: &'a [Parameter],
    reader: &Schema,
) -> Vec<Misfit<'a>> {
    let (given, taken) = (Signature(written), Signature(read));
    let mut found = Vec::new();
    for (place, parameter) in given.places().enumerate() {
        found.push(taken.at_place(place, parameter));
    }
    for parameter in written.iter().filter(|parameter| parameter.kind == KeywordOnly) {
        found.push(taken.by_name(parameter));
    }
    for parameter in written.iter().filter(|parameter| matches!(parameter.kind, VarPositional | VarKeyword)) {
        found.push(taken.rest(parameter));
    }
    let is_wrong = |misfit: &Misfit<'_>| match misfit {
        Misfit::Type(written, read, _) => fit(&written.of, &read.of, reader) > Fit::Yes,
        _ => true,
    };
    found.retain(is_wrong);
    for misfit in &mut found {
        if let Misfit::Type(written, read, worst) = misfit {
            *worst = fit(&written.of, &read.of, reader);
        }
    }
    found.extend(taken.required().filter(|one| !given.always_has(one, read)).map(Misfit::Required));
    found
}

#[derive(Clone, Copy)]
struct Signature<'a>(&'a [Parameter]);

impl<'a> Signature<'a> {
    fn places(self) -> impl Iterator<Item = &'a Parameter> {
        self.0.iter().filter(|it| matches!(it.kind, PositionalOnly | PositionalOrKeyword))
    }

    fn of_kind(self, kind: ParameterKind) -> Option<&'a Parameter> {
        self.0.iter().find(|it| it.kind == kind)
    }

    /// The one that a keyword goes to.
    fn named(self, name: &str) -> Option<&'a Parameter> {
        let named =
            self.0.iter().find(|it| it.name == name && matches!(it.kind, PositionalOrKeyword | KeywordOnly));
        named.or_else(|| self.of_kind(VarKeyword))
    }

    fn required(self) -> impl Iterator<Item = &'a Parameter> {
        let can_miss =
            |it: &&Parameter| matches!(it.kind, VarPositional | VarKeyword) || it.default.is_some();
        self.0.iter().filter(move |it| !can_miss(it))
    }

    /// What becomes of the writer's parameter at this place; of those that a name gives too, also by name.
    fn at_place(self, place: usize, parameter: &'a Parameter) -> Misfit<'a> {
        let by_name = self.named(&parameter.name);
        let Some(here) = self.places().nth(place).or_else(|| self.of_kind(VarPositional)) else {
            return if by_name.is_some() { Misfit::Kind(parameter) } else { Misfit::Unknown(parameter) };
        };
        if parameter.kind == PositionalOnly || here.name == parameter.name {
            let is_only_placed = parameter.kind == PositionalOrKeyword && here.kind == PositionalOnly;
            let taken = Misfit::Type(parameter, here, Fit::Yes);
            return if is_only_placed { Misfit::Kind(parameter) } else { taken };
        }
        match by_name {
            Some(other) if other.kind != VarKeyword => Misfit::Moved(parameter),
            Some(_) => Misfit::Type(parameter, here, Fit::Yes),
            None if here.kind == VarPositional => Misfit::Kind(parameter),
            None => Misfit::Renamed(parameter, here),
        }
    }

    fn by_name(self, parameter: &'a Parameter) -> Misfit<'a> {
        match self.named(&parameter.name) {
            Some(here) => Misfit::Type(parameter, here, Fit::Yes),
            None if self.places().any(|it| it.name == parameter.name) => Misfit::Kind(parameter),
            None => Misfit::Unknown(parameter),
        }
    }

    fn rest(self, parameter: &'a Parameter) -> Misfit<'a> {
        let here = self.of_kind(parameter.kind);
        here.map_or(Misfit::Unknown(parameter), |here| Misfit::Type(parameter, here, Fit::Yes))
    }

    /// Whether every call has what `parameter`, one of `others`, takes.
    fn always_has(self, parameter: &Parameter, others: &[Parameter]) -> bool {
        let place = Signature(others).places().position(|it| it == parameter);
        let same = place.and_then(|place| self.places().nth(place));
        let same = same.or_else(|| self.0.iter().find(|it| it.name == parameter.name));
        same.is_some_and(|it| it.default.is_none() && !matches!(it.kind, VarPositional | VarKeyword))
    }
}
