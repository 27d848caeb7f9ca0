//! `lineshaft config show`: what every setting is, and who set it.

use lineshaft::config::{Origin, Place, SETTINGS, Setting, Settings, TaskOption, URL, Value, did_you_mean};
use lineshaft::home;
use serde_json::{Value as Json, json};

use crate::args::Config;
use crate::context::{Context, working_directory};
use crate::exit::Failure;
use crate::table::{GiveWay, table};

const PREFIX: &str = "LINESHAFT_";

/// A setting as it is shown.
struct Row {
    setting: &'static Setting,
    value: Option<String>,
    origin: Origin,
}

pub(crate) fn run(config: Config, context: &mut Context) -> Result<(), Failure> {
    let Config::Show { origin } = config;
    let settings = Settings::find(&working_directory()?)?;
    let rows: Result<Vec<Row>, Failure> =
        SETTINGS.iter().map(|setting| row(setting, &settings, context)).collect();
    let (rows, tasks) = (rows?, settings.task_options());
    for words in unknown_variables() {
        context.output.warn(&words);
    }
    if context.output.is_json() {
        return show_json(&rows, &tasks, context);
    }
    show(&rows, &tasks, origin, context)
}

fn row(setting: &'static Setting, settings: &Settings, context: &Context) -> Result<Row, Failure> {
    let given = (setting.key == URL.key).then(|| context.given_home()).flatten();
    let found = settings.get(setting, given.map(Value::Text))?;
    let mut value = found.value.map(|value| value.to_string());
    if setting.key == URL.key {
        // A home that cannot be one is shown as it was written.
        let resolved = context.home().map(|home| home.path().display().to_string());
        value = resolved.ok().or_else(|| value.as_deref().map(home::hide_password));
    }
    Ok(Row { setting, value, origin: found.origin })
}

fn show(rows: &[Row], tasks: &[TaskOption], with_origin: bool, context: &mut Context) -> Result<(), Failure> {
    let plain = |text: &str| text.replace('`', "");
    let settings = rows.iter().map(|Row { setting, value, origin }| {
        let value = value.clone().unwrap_or_else(|| plain(setting.default.words()));
        [setting.key.to_owned(), value, origin.to_string()]
    });
    let tasks = tasks.iter().map(|TaskOption { task, option, value, place }| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        [format!("tasks.{}.{option}", Json::from(task.as_str())), value, place.to_string()]
    });
    let all: Vec<[String; 3]> = settings.chain(tasks).collect();
    let lines = if with_origin {
        table(["SETTING", "VALUE", "ORIGIN"], &all, GiveWay::default(), None)
    } else {
        let rows: Vec<[String; 2]> = all.into_iter().map(|[key, value, _]| [key, value]).collect();
        table(["SETTING", "VALUE"], &rows, GiveWay::default(), None)
    };
    for line in lines {
        context.output.line(line)?;
    }
    Ok(())
}

fn show_json(rows: &[Row], tasks: &[TaskOption], context: &mut Context) -> Result<(), Failure> {
    let settings = rows.iter().map(|Row { setting, value, origin }| {
        json!({
            "key": setting.key,
            "value": value,
            "default": setting.default.words(),
            "flag": format!("--{}", setting.flag),
            "variable": setting.variable,
            "origin": origin_json(origin),
        })
    });
    let tasks = tasks.iter().map(|TaskOption { task, option, value, place }| {
        json!({ "task": task, "option": option, "value": value, "origin": file_json(place) })
    });
    let document = json!({ "settings": settings.collect::<Vec<_>>(), "tasks": tasks.collect::<Vec<_>>() });
    Ok(context.output.json(&document)?)
}

fn origin_json(origin: &Origin) -> Json {
    match origin {
        Origin::Flag(flag) => json!({ "kind": "flag", "name": format!("--{flag}") }),
        Origin::Variable(name) => json!({ "kind": "variable", "name": name }),
        Origin::File(place) => file_json(place),
        _ => json!({ "kind": "default" }),
    }
}

fn file_json(place: &Place) -> Json {
    json!({ "kind": "file", "file": place.file.display().to_string(), "line": place.line })
}

/// Variables that look like ours and are a slip of one.
fn unknown_variables() -> Vec<String> {
    let known = || SETTINGS.iter().map(|setting| setting.variable);
    let ours = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    ours.filter(|name| name.starts_with(PREFIX) && known().all(|known| known != name))
        .filter_map(|name| {
            let meant = did_you_mean(&name[PREFIX.len()..], known().map(|known| &known[PREFIX.len()..]))?;
            Some(format!("{name} is not a setting: did you mean {PREFIX}{meant}?"))
        })
        .collect()
}
