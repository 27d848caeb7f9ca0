//! Pages of errors, from the command itself.

use crate::command::Shell;

#[test]
fn an_error_is_explained_by_its_code() {
    let shell = Shell::new();
    let page = shell.out(&["explain", "LS0007"]);
    assert!(page.starts_with("# LS0007: the disk failed\n"), "{page}");
    assert!(page.ends_with("If it fails\nat once with LS0004, go on there."), "{page}");
    assert_eq!(shell.out(&["explain", "[ls0007]"]), page, "as it was copied");
    let document = shell.json(&["explain", "7"]);
    assert_eq!((&document["code"], &document["title"]), (&"LS0007".into(), &"the disk failed".into()));
}

#[test]
fn all_codes_are_listed() {
    let shell = Shell::new();
    let list = shell.out(&["explain"]);
    assert!(list.starts_with("LS0001  the home is in use\nLS0002  "), "{list}");
    assert_eq!(list.lines().count(), shell.out(&["explain", "--jsonl"]).lines().count());
    let unknown = shell.run(&["explain", "LS9999"]);
    assert_eq!((unknown.code, &*unknown.out), (2, ""));
    let expected = "error: invalid value 'LS9999' for '[CODE]': `lineshaft explain` lists them\n";
    assert!(unknown.err.starts_with(expected), "{}", unknown.err);
}
