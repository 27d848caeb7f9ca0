//! From what changed to what comes of it, in both directions: jobs of before that new workers run, and new jobs that old
//! workers are leased while programs of both run.

use std::collections::BTreeSet;

use super::calls::{Misfit, misfits};
use super::fit::Fit;
use super::types::{Misread, misreads};
use super::{Field, Finding, Level, Parameter, Schema, Shape, TaskSchema, Type, TypeSchema};

use Level::{Breaking, Careful, Fine};

/// What changed from `old` to `new`, the worst first.
pub fn compare(old: &Schema, new: &Schema) -> Vec<Finding> {
    let mut comparison =
        Comparison { old, new, back: Reach::default(), forth: Reach::default(), found: Vec::new() };
    for (name, task) in &old.tasks {
        comparison.task(name, task);
    }
    let added: Vec<&String> = new.tasks.keys().filter(|name| !comparison.is_of_before(name)).collect();
    for name in added {
        let finding = Finding::new(Fine, name, "task added");
        comparison.found.push(finding.effect("its jobs wait for workers of the new code"));
    }
    comparison.types();
    let mut found = comparison.found;
    found.sort_by(|a, b| b.level.cmp(&a.level).then_with(|| a.path.cmp(&b.path)));
    found.dedup();
    found
}

struct Comparison<'a> {
    old: &'a Schema,
    new: &'a Schema,
    /// Types of values of before that the new code reads.
    back: Reach<'a>,
    /// Types of new values that the old code reads.
    forth: Reach<'a>,
    found: Vec<Finding>,
}

/// Types by what their values are part of.
#[derive(Default)]
struct Reach<'a> {
    arguments: BTreeSet<&'a str>,
    results: BTreeSet<&'a str>,
}

impl Reach<'_> {
    fn has(&self, name: &str) -> bool {
        self.arguments.contains(name) || self.results.contains(name)
    }
}

impl<'a> Comparison<'a> {
    fn is_of_before(&self, name: &str) -> bool {
        let aliases = self.new.tasks.get(name).map(|task| &task.aliases);
        let mut names = aliases.into_iter().flatten().map(String::as_str).chain([name]);
        names.any(|name| self.old.task_of(name).is_some())
    }

    fn task(&mut self, name: &'a str, before: &'a TaskSchema) {
        let Some((now_name, now)) = self.new.task_of(name) else {
            let gone = Finding::new(Breaking, name, "task removed")
                .effect("jobs of before wait for a worker that knows it")
                .advice(format!("keep it until it has no jobs, or say aliases=[\"{name}\"] where it went"));
            return self.found.push(gone);
        };
        if now_name != name {
            let renamed = Finding::new(Careful, name, format!("renamed to {now_name}"));
            self.found.push(renamed.effect("jobs of the new name wait for workers of the new code"));
        }
        self.versions(now_name, before, now);
        // New jobs of a later version, or of another name, are not leased to old workers.
        let goes_back = now.from_version <= before.version;
        let goes_forth = now.version <= before.version && now_name == name;
        if goes_back {
            self.back.arguments.extend(self.old.reached(before.argument_types()));
            for misfit in misfits(&before.parameters, &now.parameters, self.new) {
                self.found.extend(of_before(now_name, misfit));
            }
            self.widened(now_name, before, now);
        }
        if goes_forth {
            self.forth.arguments.extend(self.new.reached(now.argument_types()));
            for misfit in misfits(&now.parameters, &before.parameters, self.old) {
                self.found.extend(of_now(name, misfit));
            }
        }
        self.result(now_name, before, now);
    }

    fn versions(&mut self, name: &str, before: &TaskSchema, now: &TaskSchema) {
        let (earlier, later) = (before.version, now.version);
        if later < earlier {
            let back = Finding::new(Breaking, name, format!("version went back from {earlier} to {later}"))
                .effect(format!("jobs of version {earlier} wait for a worker that knows it"))
                .advice(format!("keep version={earlier} or a later one"));
            self.found.push(back);
        }
        if later > earlier {
            let raised = Finding::new(Fine, name, format!("version raised from {earlier} to {later}"));
            self.found.push(raised.effect("old workers leave its new jobs to workers of the new code"));
        }
        if now.from_version > before.from_version {
            let (from, left) = (before.from_version, now.from_version.min(earlier + 1) - 1);
            let which =
                if from == left { format!("version {from}") } else { format!("versions {from} to {left}") };
            let waits = Finding::new(Careful, name, format!("runs no jobs of {which} any more"))
                .effect("they wait for a worker that knows it")
                .advice("keep workers of the old code until none is left");
            self.found.push(waits);
        }
    }

    fn widened(&mut self, name: &str, before: &TaskSchema, now: &TaskSchema) {
        for parameter in &now.parameters {
            let path = format!("{name}({})", parameter.name);
            let same = before.parameters.iter().find(|it| it.name == parameter.name);
            match (same, &parameter.default) {
                (None, Some(default)) if before.parameters.len() < now.parameters.len() => {
                    let added = Finding::new(Fine, path, "parameter added");
                    self.found.push(added.effect(format!("jobs of before take its default, {default}")));
                }
                (Some(same), Some(default)) if same.default.as_ref().is_some_and(|it| it != default) => {
                    let changed = Finding::new(Fine, path, "default changed");
                    self.found
                        .push(changed.effect(format!("jobs of before that do not say it take {default}")));
                }
                (Some(same), _) if same.of != parameter.of => {
                    self.found.extend(said_anew(path, &same.of, &parameter.of, self.new));
                }
                _ => {}
            }
        }
    }

    fn result(&mut self, name: &str, before: &'a TaskSchema, now: &'a TaskSchema) {
        self.back.results.extend(self.old.reached([&before.result].into_iter()));
        self.forth.results.extend(self.new.reached([&now.result].into_iter()));
        if before.result == now.result {
            return;
        }
        let path = format!("{name}()");
        let change = format!("result changed from {} to {}", before.result, now.result);
        let effect = match super::fit::fit(&now.result, &before.result, self.old) {
            Fit::Yes => return self.found.push(Finding::new(Fine, path, change)),
            Fit::Perhaps => "whether programs of before can use it cannot be said",
            Fit::No => "programs of before do not expect it",
        };
        self.found.push(Finding::new(Careful, path, change).effect(effect));
    }

    fn types(&mut self) {
        for (name, before) in &self.old.types {
            let Some((now_name, now)) = self.new.type_of(name) else { continue };
            let mut found = Vec::new();
            if self.back.has(name) {
                let what = if self.back.arguments.contains(&**name) { "jobs" } else { "results" };
                found.extend(
                    misreads(before, now, self.new).into_iter().map(|one| read_now(now_name, one, what)),
                );
                found.extend(read_well(now_name, before, now, self.new));
            }
            if self.forth.has(now_name) {
                let in_jobs = self.forth.arguments.contains(now_name);
                let unread = misreads(now, before, self.old);
                found.extend(unread.into_iter().map(|one| read_before(name, one, in_jobs)));
                if now_name != name {
                    let renamed = Finding::new(Careful, name, format!("renamed to {now_name}"));
                    found.push(renamed.effect(left(in_jobs)));
                }
            }
            self.found.extend(found);
        }
    }
}

/// What comes of a call of before at the new function.
fn of_before(task: &str, misfit: Misfit<'_>) -> Option<Finding> {
    let path = |parameter: &Parameter| format!("{task}({})", parameter.name);
    let or_raise =
        "or raise version= and from_version=: then jobs of before wait for a worker of the old code";
    Some(match misfit {
        Misfit::Required(it) => {
            Finding::new(Breaking, path(it), "parameter without a default, which jobs of before do not have")
                .effect("they are discarded")
                .advice(format!("give `{}` a default, {or_raise}", it.name))
        }
        Misfit::Unknown(it) => Finding::new(Breaking, path(it), "parameter removed")
            .effect("jobs of before that have it are discarded")
            .advice(format!("keep `{}`, {or_raise}", it.name)),
        Misfit::Renamed(it, to) => {
            Finding::new(Breaking, path(it), format!("parameter renamed to `{}`", to.name))
                .effect("jobs of before that say its name are discarded")
                .advice(format!("keep the name `{}`, {or_raise}", it.name))
        }
        Misfit::Moved(it) => Finding::new(Breaking, path(it), "parameter moved to another place")
            .effect("arguments of before land elsewhere")
            .advice(format!("keep the order, {or_raise}")),
        Misfit::Kind(it) => Finding::new(Breaking, path(it), "parameter taken in another way")
            .effect("jobs of before that give it otherwise are discarded")
            .advice(format!("take `{}` by place and by name, {or_raise}", it.name)),
        Misfit::Type(it, to, Fit::No) => Finding::new(Breaking, path(it), changed(&it.of, &to.of))
            .effect(format!("jobs of before bring {}", it.of))
            .advice(format!("take both: {}, {or_raise}", Type::one_of([it.of.clone(), to.of.clone()]))),
        // Said by what was widened.
        Misfit::Type(..) => return None,
    })
}

/// What comes of a new call at the function of before.
fn of_now(task: &str, misfit: Misfit<'_>) -> Option<Finding> {
    let path = |parameter: &Parameter| format!("{task}({})", parameter.name);
    let (it, change, effect) = match misfit {
        Misfit::Required(it) => {
            (it, "parameter may be left out".to_owned(), "old workers discard new jobs without it")
        }
        Misfit::Unknown(it) => {
            (it, "parameter added".to_owned(), "old workers discard new jobs that have it")
        }
        Misfit::Type(it, to, Fit::No) => {
            (it, changed(&to.of, &it.of), "old workers run new jobs with what they do not expect")
        }
        // Whatever else it is, it breaks jobs of before as well.
        _ => return None,
    };
    Some(Finding::new(Breaking, path(it), change).effect(effect).advice(format!(
        "raise version= of {task}: then old workers leave new jobs to workers of the new code"
    )))
}

/// What comes of a value of before in the new program.
fn read_now(name: &str, misread: Misread<'_>, what: &str) -> Finding {
    let path = |field: &Field| format!("{name}.{}", field.name);
    let unread = if what == "jobs" {
        "jobs of before that have it wait for a worker of the old code"
    } else {
        "results of before cannot be read"
    };
    match misread {
        Misread::Kind => Finding::new(Breaking, name, "another kind of type").effect(unread).advice("give it another name"),
        Misread::Unknown(it) => Finding::new(Breaking, path(it), "field removed").effect(unread).advice(format!(
            "keep it, or say what became of it: @lineshaft.value(removed=[\"{0}\"]) or renamed={{\"{0}\": \"…\"}}",
            it.name
        )),
        Misread::Required(it) => Finding::new(Breaking, path(it), "field without a default, which values of before do not have")
            .effect(unread.replace(" that have it", ""))
            .advice(format!("give `{}` a default", path(it))),
        Misread::Type(it, to, Fit::No) => Finding::new(Breaking, path(to), changed(&it.of, &to.of))
            .effect(format!("{what} of before bring {}", it.of))
            .advice(format!("take both: {}", Type::one_of([it.of.clone(), to.of.clone()]))),
        Misread::Type(it, to, _) => Finding::new(Careful, path(to), changed(&it.of, &to.of)).effect(UNSURE),
        Misread::Member(it) | Misread::Bits(it) => Finding::new(Breaking, format!("{name}.{it}"), "member removed")
            .effect(unread)
            .advice(format!("keep `{it}` until no job has it")),
    }
}

/// What comes of a new value in the program of before.
fn read_before(name: &str, misread: Misread<'_>, in_jobs: bool) -> Finding {
    let path = |field: &Field| format!("{name}.{}", field.name);
    match misread {
        Misread::Kind => Finding::new(Careful, name, "another kind of type").effect(left(in_jobs)),
        Misread::Unknown(it) => Finding::new(Careful, path(it), "field added").effect(left(in_jobs)),
        Misread::Required(it) => {
            Finding::new(Careful, path(it), "field gone, which the old code needs").effect(left(in_jobs))
        }
        Misread::Type(it, to, Fit::No) => {
            let found = Finding::new(Breaking, path(to), changed(&to.of, &it.of));
            found.effect("programs of before get what they do not expect").advice(
                "add a field beside it, or raise version= of the tasks that take it and stop reading results of before",
            )
        }
        Misread::Type(it, to, _) => Finding::new(Careful, path(to), changed(&to.of, &it.of)).effect(UNSURE),
        Misread::Member(it) | Misread::Bits(it) => {
            Finding::new(Careful, format!("{name}.{it}"), "member added").effect(left(in_jobs))
        }
    }
}

/// What changed and is read all the same.
fn read_well(name: &str, before: &TypeSchema, now: &TypeSchema, new: &Schema) -> Vec<Finding> {
    let (Shape::Record { fields: before, .. }, Shape::Record { fields, renamed, removed, .. }) =
        (&before.shape, &now.shape)
    else {
        return Vec::new();
    };
    let path = |field: &str| format!("{name}.{field}");
    let has = |fields: &[Field], name: &str| fields.iter().any(|field| field.name == name);
    let mut found = Vec::new();
    for field in before.iter().filter(|field| !has(fields, &field.name)) {
        if let Some(now) = renamed.get(&field.name) {
            found.push(Finding::new(Fine, path(&field.name), format!("field renamed to `{now}`")));
        } else if removed.contains(&field.name) {
            found.push(
                Finding::new(Fine, path(&field.name), "field removed")
                    .effect("what values of before have of it is dropped"),
            );
        }
    }
    for field in fields {
        let same = before.iter().find(|it| it.name == field.name);
        match (same, &field.default) {
            (None, Some(default)) if !renamed.values().any(|now| *now == field.name) => {
                let added = Finding::new(Fine, path(&field.name), "field added");
                found.push(added.effect(format!("values of before take its default, {default}")));
            }
            (Some(same), _) if same.of != field.of => {
                found.extend(
                    said_anew(path(&field.name), &same.of, &field.of, new).filter(|it| it.level == Fine),
                );
            }
            _ => {}
        }
    }
    found
}

const UNSURE: &str = "whether every value fits cannot be said";

fn left(in_jobs: bool) -> &'static str {
    if in_jobs {
        "old workers leave new jobs that have it to workers of the new code"
    } else {
        "programs of before cannot read results that have it"
    }
}

fn changed(before: &Type, now: &Type) -> String {
    format!("type changed from {before} to {now}")
}

/// A type that still takes everything, or may.
fn said_anew(path: String, before: &Type, now: &Type, new: &Schema) -> Option<Finding> {
    match super::fit::fit(before, now, new) {
        Fit::Yes => Some(Finding::new(Fine, path, changed(before, now))),
        Fit::Perhaps => Some(Finding::new(Careful, path, changed(before, now)).effect(UNSURE)),
        Fit::No => None,
    }
}
