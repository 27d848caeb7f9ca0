//! Client and server of different versions: which is older, and what to do when they have no protocol in common.

use lineshaft_engine::ServerFacts;
use lineshaft_wire::message::{Hello, RefusalCode, Refused};
use semver::Version;

/// Whether `version` is older than `other`; false if either does not read.
pub(crate) fn is_older(version: &str, other: &str) -> bool {
    match (Version::parse(version), Version::parse(other)) {
        (Ok(version), Ok(other)) => version < other,
        _ => false,
    }
}

/// The refusal of a client that speaks none of the server's protocols: who both are, and the command that helps.
pub(crate) fn mismatch(hello: &Hello, facts: &ServerFacts, protocol: u16) -> Refused {
    let (oldest, newest) = hello.protocol;
    let message = format!(
        "no common protocol: the server ({}, version {}, process {}) speaks {protocol}, \
         the client ({}, version {}, process {}) speaks {}",
        facts.executable,
        facts.version,
        facts.pid,
        hello.executable,
        hello.version,
        hello.pid,
        if oldest == newest { oldest.to_string() } else { format!("{oldest} to {newest}") },
    );
    Refused { code: RefusalCode::VersionMismatch, message, hint: Some(remedy(hello, facts)) }
}

fn remedy(hello: &Hello, facts: &ServerFacts) -> String {
    let (home, pid) = (&facts.home, facts.pid);
    let stop = format!("`lineshaft stop --home {home}` (or `kill {pid}`)");
    if is_older(&hello.version, &facts.version) {
        return format!(
            "upgrade the client to version {}, or end the newer server with {stop}",
            facts.version
        );
    }
    if facts.on_demand {
        return format!(
            "the server gives way when nobody else is connected and nothing runs; {stop} ends it now, \
             and the next call starts one of its own version"
        );
    }
    format!("end the older server with {stop}, and start it again from the newer version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_versions_and_not_as_text() {
        assert!(is_older("0.9.0", "0.10.0"));
        assert!(is_older("1.0.0-rc.1", "1.0.0"));
        assert!(!is_older("1.0.0", "1.0.0"));
        assert!(!is_older("1.0.1", "1.0.0"));
        assert!(!is_older("unknown", "1.0.0"));
        assert!(!is_older("1.0.0", ""));
    }

    fn remedy_of(server: &str, on_demand: bool) -> String {
        let facts = ServerFacts {
            version: server.into(),
            pid: 77,
            home: "/srv/app/.lineshaft".into(),
            on_demand,
            ..ServerFacts::default()
        };
        let hello = Hello {
            protocol: (2, 2),
            version: "2.0.0".into(),
            executable: "/usr/bin/python3".into(),
            pid: 4242,
            session: None,
            open_session: false,
            token: None,
            hand_over: true,
        };
        mismatch(&hello, &facts, 1).hint.unwrap()
    }

    #[test]
    fn the_remedy_ends_the_server_unless_the_client_is_the_older_one() {
        let stop = "`lineshaft stop --home /srv/app/.lineshaft` (or `kill 77`)";
        for (server, on_demand, expected) in [
            ("1.0.0", true, "the server gives way when nobody else is connected"),
            ("1.0.0", false, "end the older server with"),
            ("3.0.0", false, "upgrade the client to version 3.0.0, or end the newer server with"),
        ] {
            let remedy = remedy_of(server, on_demand);
            assert!(remedy.starts_with(expected) && remedy.contains(stop), "{remedy}");
        }
    }
}
