//! The codes of errors and their pages in `docs/errors`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use lineshaft_wire::code::{CODES, HOME_IN_USE};
use lineshaft_wire::message::RefusalCode;

fn pages() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors")
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let titles: BTreeMap<String, String> =
        CODES.iter().map(|(code, title)| (format!("{code}.md"), format!("# {code}: {title}"))).collect();
    assert_eq!(titles.len(), CODES.len(), "a code is used twice");
    let files = std::fs::read_dir(pages()).unwrap().map(|entry| entry.unwrap().file_name());
    let files: BTreeSet<String> = files.map(|name| name.to_string_lossy().into_owned()).collect();
    let expected: BTreeSet<String> = titles.keys().cloned().chain(["index.md".to_owned()]).collect();
    assert_eq!(files, expected);
    for (file, title) in titles {
        let page = std::fs::read_to_string(pages().join(&file)).unwrap();
        assert_eq!(page.lines().next(), Some(title.as_str()), "{file}");
        assert!(page.contains("**Cause.** ") && page.contains("**What to do.** "), "{file}");
    }
}

#[test]
fn the_list_of_pages_is_complete_and_in_order() {
    let index = std::fs::read_to_string(pages().join("index.md")).unwrap();
    let rows: Vec<&str> = index.lines().filter(|line| line.starts_with("| [LS")).collect();
    let expected: Vec<String> =
        CODES.iter().map(|(code, title)| format!("| [{code}]({code}.md) | {title} |")).collect();
    assert_eq!(rows, expected);
}

/// Programs and their logs hold on to these, so a code never changes its meaning.
#[test]
fn refusals_have_the_codes_of_their_pages() {
    use RefusalCode as Refused;
    for (refusal, code) in [
        (Refused::BadFrame, "LS0015"),
        (Refused::VersionMismatch, "LS0011"),
        (Refused::NotAuthorised, "LS0012"),
        (Refused::JobNotFound, "LS0020"),
        (Refused::ResultExpired, "LS0021"),
        (Refused::WrongState, "LS0022"),
        (Refused::QueueFull, "LS0016"),
        (Refused::StoreFull, "LS0006"),
        (Refused::OutcomeUnknown, "LS0013"),
        (Refused::TooLarge, "LS0023"),
        (Refused::TooSlow, "LS0017"),
        (Refused::ShuttingDown, "LS0018"),
        (Refused::Internal, "LS0019"),
    ] {
        assert_eq!(refusal.code().map(|code| code.to_string()).as_deref(), Some(code), "{refusal:?}");
    }
    assert_eq!(Refused::BadRequest.code(), None, "only its writer can mend it");
    assert_eq!(format!("{HOME_IN_USE:?}"), "LS0001");
}
