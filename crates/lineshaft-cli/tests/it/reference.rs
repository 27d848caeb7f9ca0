//! The reference pages say what the command says. `LINESHAFT_BLESS=1` writes them.

use std::fs;
use std::path::Path;

use lineshaft_cli::reference;

fn check_page(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    if std::env::var_os("LINESHAFT_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, expected).unwrap();
    }
    let page = fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(expected.lines()).find(|(page, expected)| page != expected);
    assert!(
        page == expected,
        "docs/reference/{name} is behind: LINESHAFT_BLESS=1 writes it; the first difference is {differs:?}"
    );
}

#[test]
fn the_reference_of_the_command_line_is_what_help_says() {
    check_page("cli.md", &reference::command_line());
}

#[test]
fn the_reference_of_the_configuration_is_the_table() {
    check_page("configuration.md", &reference::configuration());
}

#[test]
fn the_file_that_the_reference_opens_with_reads() {
    let page = reference::configuration();
    let toml = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("lineshaft.toml"), toml).unwrap();
    let settings = lineshaft::config::Settings::find(directory.path()).unwrap();
    let [option] = &*settings.task_options() else { panic!() };
    assert_eq!((&*option.task, &*option.option), ("mail.send", "timeout"));
}
