//! The reference pages `docs/reference/cli.md` and `docs/reference/configuration.md`, written by what they describe.

use std::fmt::Write;

use clap::{Command, CommandFactory};
use lineshaft::config::{SETTINGS, Scope, Setting};

use crate::args::{Arguments, HELP_COLUMNS};

const COMMAND_LINE: &str = r#"# Command line: reference

```python
# run: python commands.py
import json
import subprocess


def lineshaft(*words: str) -> str:
    return subprocess.run(["lineshaft", *words], check=True, capture_output=True, text=True).stdout


lineshaft("enqueue", "mail.send", '"a@b"', "--queue", "mail")
for line in lineshaft("job", "list", "--queue", "mail", "--jsonl").splitlines():
    job = json.loads(line)
    print(job["task"], job["state"])
```

```text
mail.send available
```

What `--help` says, for every command. The [guide](../guides/command-line.md) says how they belong together; every flag that is a
setting can also be a variable or a line in a file: [configuration](configuration.md). This page is written by
`LINESHAFT_BLESS=1 cargo test -p lineshaft-cli --test it reference`.
"#;

const CONFIGURATION: &str = r#"# Configuration: reference

```python
# run: python settings.py
import json
import subprocess

words = ["lineshaft", "config", "show", "--json"]
shown = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
print([setting["value"] for setting in shown["settings"] if setting["key"] == "grace"])
```

```text
['30s']
```

```toml
# lineshaft.toml
"#;

const CONFIGURATION_END: &str = r#"
[tasks."mail.send"]
timeout = "2m"
```

Every setting has one flag, one variable and one key. The first that says something wins:

1. the flag on the command line, or what the code says: `App("…")`, `app.workers(4)`, `@app.task(…)`;
2. the variable;
3. the project's files, `lineshaft.toml` and `[tool.lineshaft]` in `pyproject.toml`, upward from the app (the command
   line: from the target, else from where it is called), the nearest first, `lineshaft.toml` before `pyproject.toml`;
4. the user's file, `$XDG_CONFIG_HOME/lineshaft/config.toml` (`~/.config/lineshaft/config.toml`);
5. the default.

In `lineshaft.toml` and in the user's file the keys are at the top, or below `[tool.lineshaft]` as in `pyproject.toml`.
A key that does not exist is an error that names the file, the line and the key that was probably meant.
`lineshaft config show --origin` says what everything is and who set it. The [guide](../guides/configuration.md) shows
it at work. This page is written by `LINESHAFT_BLESS=1 cargo test -p lineshaft-cli --test it reference`.

## Settings
"#;

const TASKS: &str = r#"
## Options of tasks

Below `tasks."NAME"` stands what replaces the options that `@app.task(...)` gave the task of this name: everything that
can be written in a file, under the same names, but not `name` and `aliases`. What `task.using(...)` says still wins. An
option that does not exist is an error; a task that does not exist is a warning when a worker starts.
"#;

/// The page about the commands.
pub fn command_line() -> String {
    let mut page = COMMAND_LINE.to_owned();
    let mut command = Arguments::command().term_width(HELP_COLUMNS);
    command.build();
    add(&mut page, &mut command, "");
    page
}

fn add(page: &mut String, command: &mut Command, above: &str) {
    let name = format!("{above}{}", command.get_name());
    let help = command.render_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(page, "\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    let above = format!("{name} ");
    for inner in command.get_subcommands_mut() {
        if inner.get_name() != "help" && !inner.is_hide_set() {
            add(page, inner, &above);
        }
    }
}

/// The page about the settings.
pub fn configuration() -> String {
    let mut page = CONFIGURATION.to_owned();
    for setting in &SETTINGS {
        let _ = writeln!(page, "{} = {}", setting.key, setting.example);
    }
    page += CONFIGURATION_END;
    page += "\n| key | flag | variable | of | default |\n|---|---|---|---|---|\n";
    SETTINGS.iter().for_each(|setting| row(&mut page, setting));
    SETTINGS.iter().for_each(|setting| section(&mut page, setting));
    page += TASKS;
    page
}

fn row(page: &mut String, setting: &Setting) {
    let Setting { key, flag, variable, default, .. } = setting;
    let of = scope(setting);
    let _ = writeln!(page, "| [`{key}`](#{key}) | `--{flag}` | `{variable}` | {of} | {} |", default.words());
}

fn section(page: &mut String, setting: &Setting) {
    let Setting { key, help, kind, example, .. } = setting;
    let _ = write!(
        page,
        "\n### {key}\n\n{help}. Takes {}: {}. In a file: `{key} = {example}`.\n",
        kind.what(),
        kind.forms()
    );
}

fn scope(setting: &Setting) -> &'static str {
    match setting.scope {
        Scope::Everywhere => "every command",
        Scope::Worker if setting.is_of_commands() => "`worker`, `dev`",
        Scope::Worker => "`worker`, `dev`, `app.workers()`",
        Scope::Serve => "`serve`",
    }
}
