//! Settings from flags, variables and files, and what `config show` says about them.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::command::{Ended, Shell, ended};

fn write(shell: &Shell, name: &str, text: &str) -> PathBuf {
    let path = shell.directory().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

/// `config show` with a user's configuration in the shell's directory.
fn show(shell: &Shell, words: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = shell.command(&[&["config", "show"], words].concat());
    command.env("XDG_CONFIG_HOME", shell.directory().join("xdg")).env_remove("LINESHAFT_URL");
    ended(command.envs(variables.iter().copied()).output().unwrap())
}

#[test]
fn every_setting_is_shown_with_who_set_it() {
    let shell = Shell::new();
    let project = write(
        &shell,
        "pyproject.toml",
        "[tool.lineshaft]\nprocesses = 3\n\n[tool.lineshaft.tasks.\"mail.send\"]\ntimeout = \"2m\"\n",
    );
    let user = write(&shell, "xdg/lineshaft/config.toml", "# mine\ngrace = \"5s\"\nprocesses = 9\n");
    let shown = show(&shell, &["--origin", "--home", "jobs"], &[("LINESHAFT_LOG", "debug")]);
    let expected = "\
SETTING                    VALUE                                                               ORIGIN
url                        DIR/jobs --home
processes                  3 PROJECT:2
slots                      1; with kind thread 4 per core, with async 1,000 default
kind                       process default
queues                     all default
grace                      5s USER:2
recycle_jobs               never default
recycle_age                never default
recycle_growth             never default
watchdog                   1m default
gc                         between default
worker_log                 warning default
python                     the one that runs lineshaft, else that of $VIRTUAL_ENV, .venv, PATH default
listen                     the home's Unix socket alone default
durability                 sync default
history_days               7 default
history_bytes              10GiB default
memory_bytes               a quarter of the memory default
cache_bytes                256MiB default
log                        debug LINESHAFT_LOG
log_format                 text default
log_file                   standard error; on demand always output/server.log of the home default
log_file_size              10MiB default
log_file_keep              3 default
tasks.\"mail.send\".timeout 2m PROJECT:5
";
    let squeezed = |text: &str| {
        let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.collect::<Vec<_>>().join("\n")
    };
    let expected = expected
        .replace("DIR", &shell.directory().display().to_string())
        .replace("PROJECT", &project.display().to_string())
        .replace("USER", &user.display().to_string());
    assert_eq!((shown.code, squeezed(&shown.out)), (0, squeezed(&expected)), "{}", shown.err);
    assert!(!show(&shell, &[], &[]).out.contains("default"), "origins are shown when asked for");
}

#[test]
fn settings_as_json_have_their_origins() {
    let shell = Shell::new();
    let project = write(&shell, "lineshaft.toml", "queues = [\"a\", \"b\"]\n[tasks.send]\nretries = 3\n");
    let shown = show(&shell, &["--json"], &[]);
    let document: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    let file = |line: u32| json!({ "kind": "file", "file": project, "line": line });
    let queues = document["settings"].as_array().unwrap().iter().find(|row| row["key"] == "queues").unwrap();
    assert_eq!((&queues["value"], &queues["origin"]), (&"a,b".into(), &file(1)));
    assert_eq!(
        document["tasks"],
        json!([{ "task": "send", "option": "retries", "value": 3, "origin": file(3) }])
    );
}

#[test]
fn unknown_keys_are_errors_with_file_and_line_and_slips_of_variables_are_warned_of() {
    let shell = Shell::new();
    let path = write(&shell, "pyproject.toml", "[project]\nname = \"x\"\n[tool.lineshaft]\nprocesess = 3\n");
    let shown = show(&shell, &[], &[]);
    let expected = format!(
        "error[LS0024]: {}:4: unknown key `procesess` in [tool.lineshaft]: did you mean `processes`?\n\
         hint: known keys: url, processes, slots, kind, queues, grace, recycle_jobs, recycle_age, recycle_growth, watchdog, gc, worker_log, python, listen, durability, history_days, history_bytes, memory_bytes, cache_bytes, log, log_format, log_file, log_file_size, log_file_keep, tasks\n",
        path.display()
    );
    assert_eq!((shown.code, shown.err), (2, expected));

    fs::remove_file(path).unwrap();
    let shown = show(&shell, &[], &[("LINESHAFT_GRAEC", "1s")]);
    assert_eq!(
        (shown.code, &*shown.err),
        (0, "warning: LINESHAFT_GRAEC is not a setting: did you mean LINESHAFT_GRACE?\n")
    );
    let shown = show(&shell, &[], &[("LINESHAFT_GRACE", "soon")]);
    assert_eq!(shown.code, 2);
    assert!(
        shown
            .err
            .starts_with("error: option `LINESHAFT_GRACE`: \"soon\" is not a duration\nhint: accepted: "),
        "{}",
        shown.err
    );
}

#[test]
fn passwords_do_not_show() {
    let shell = Shell::new();
    write(&shell, "lineshaft.toml", "url = \"postgres://app:secret@db/jobs\"\n");
    for words in [&["--origin"][..], &["--json"]] {
        let shown = show(&shell, words, &[]);
        assert!(shown.out.contains("postgres://app:***@db/jobs"), "{}", shown.out);
        assert!(!shown.out.contains("secret") && !shown.err.contains("secret"), "{shown:?}");
    }
}

#[test]
fn a_server_takes_its_settings_from_variables_and_files() {
    let shell = Shell::new();
    write(&shell, "lineshaft.toml", "listen = \"nowhere\"\n");
    let refused = shell.run(&["serve"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("`listen` in the file is \"nowhere\""), "{}", refused.err);
    assert!(!shell.home().exists(), "a mistake opens nothing");
    write(&shell, "lineshaft.toml", "");

    let output = shell.command(&["serve", "--log", "=,="]).output().unwrap();
    let refused = ended(output);
    assert_eq!(refused.code, 2);
    assert!(
        refused.err.starts_with("error: the log filter does not read: filter \"=,=\""),
        "{}",
        refused.err
    );
}

#[test]
fn a_server_on_demand_listens_to_nobody_else() {
    let shell = Shell::new();
    write(&shell, "lineshaft.toml", "listen = \"127.0.0.1:0\"\n");
    shell.out(&["enqueue", "add"]);
    let addresses = fs::read_to_string(shell.home().join("run/address")).unwrap();
    assert_eq!(addresses.lines().count(), 1, "{addresses}");
}
