//! The flags of settings, made from the table of settings.

use std::collections::BTreeMap;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, ValueHint};
use clap_complete::ArgValueCandidates;
use lineshaft::config::{Kind, QUEUES, SETTINGS, Scope, Setting, URL, Value};

use crate::args::EVERYWHERE;
use crate::complete;

/// What the command line says about settings.
#[derive(Clone, Debug, Default)]
pub struct Given(BTreeMap<&'static str, Value>);

impl Given {
    /// What it says about this one.
    pub fn get(&self, setting: &Setting) -> Option<Value> {
        self.0.get(setting.key).cloned()
    }
}

macro_rules! flags {
    ($(#[$doc:meta])* $name:ident, $scope:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub struct $name(pub Given);

        impl Args for $name {
            fn augment_args(command: Command) -> Command {
                augment(command, $scope)
            }

            fn augment_args_for_update(command: Command) -> Command {
                augment(command, $scope)
            }
        }

        impl FromArgMatches for $name {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
                Ok(Self(given(matches, $scope)))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
                self.0.0.extend(given(matches, $scope).0);
                Ok(())
            }
        }
    };
}

flags!(
    /// Of every command.
    HomeFlags,
    Scope::Everywhere
);
flags!(
    /// Of commands that run tasks.
    WorkerFlags,
    Scope::Worker
);
flags!(
    /// Of `serve`.
    ServeFlags,
    Scope::Serve
);

fn of(scope: Scope) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(move |setting| setting.scope == scope)
}

fn augment(command: Command, scope: Scope) -> Command {
    command.args(of(scope).map(flag))
}

fn flag(setting: &'static Setting) -> Arg {
    let everywhere = setting.scope == Scope::Everywhere;
    let arg = Arg::new(setting.key)
        .long(setting.flag)
        .value_name(setting.value_name)
        .help(format!("{} [default: {}]", setting.help, setting.default.words().replace('`', "")))
        .global(everywhere)
        .help_heading(everywhere.then_some(EVERYWHERE))
        .action(if matches!(setting.kind, Kind::Names) { ArgAction::Append } else { ArgAction::Set })
        .value_parser(parser(setting.kind))
        .value_hint(hint(setting.kind));
    if setting.key == QUEUES.key { arg.add(ArgValueCandidates::new(complete::queues)) } else { arg }
}

fn hint(kind: Kind) -> ValueHint {
    match kind {
        Kind::Home => ValueHint::DirPath,
        Kind::Path => ValueHint::ExecutablePath,
        _ => ValueHint::Other,
    }
}

fn parser(kind: Kind) -> ValueParser {
    if let Kind::Choice(words, _) = kind {
        let words = words.iter().map(|(word, meaning)| PossibleValue::new(*word).help(*meaning));
        return PossibleValuesParser::new(words).map(Value::Text).into();
    }
    ValueParser::new(move |text: &str| kind.read(text).ok_or_else(|| kind.reason(text).replace('`', "")))
}

fn given(matches: &ArgMatches, scope: Scope) -> Given {
    let found = of(scope).filter_map(|setting| {
        let values = matches.try_get_many::<Value>(setting.key).ok().flatten()?;
        Some((setting.key, values.cloned().reduce(together)?))
    });
    Given(found.collect())
}

/// A flag of names may be given more than once.
fn together(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Names(mut first), Value::Names(second)) => {
            first.extend(second);
            Value::Names(first)
        }
        (_, second) => second,
    }
}

impl HomeFlags {
    /// The home, as it was typed.
    pub fn home(&self) -> Option<String> {
        self.0.get(&URL).and_then(Value::into_text)
    }
}
