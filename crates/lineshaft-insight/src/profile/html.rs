//! The flame graph with the tables of functions and lines, as one page.

use std::fmt::Write;

use super::flame::{escaped, percent, summary, time};
use super::{Kind, Profile, flame_graph_svg};

const STYLE: &str = include_str!("page.css");
const ROWS: usize = 30;

/// What gives the text of a line of a file, where that is known.
pub type Source<'a> = &'a dyn Fn(&str, u32) -> Option<String>;

/// A page that needs nothing else: the flame graph, advice, and tables of the hottest functions and lines, and
/// of those that keep memory if that was looked for.
pub fn html(profile: &Profile, title: &str, source: Source<'_>) -> String {
    let (name, svg, head) = (escaped(title), flame_graph_svg(profile, title), summary(profile));
    let (advice, functions, lines) = (advice(profile), functions(profile), lines(profile, source));
    let memory = memory(profile, source);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{name}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n<p>{head}</p>\n{advice}{svg}\
         <h2>Functions</h2>\n{functions}<h2>Lines</h2>\n{lines}{memory}</body>\n</html>\n"
    )
}

fn advice(profile: &Profile) -> String {
    let sentences = profile.advice();
    if sentences.is_empty() {
        return String::new();
    }
    let mut items = String::new();
    for sentence in &sentences {
        let _ = writeln!(items, "<li>{}</li>", escaped(sentence));
    }
    format!("<ul>\n{items}</ul>\n")
}

fn functions(profile: &Profile) -> String {
    let all = profile.total(Kind::Thread).wall_ns;
    let mut rows = String::new();
    for one in profile.hot_functions(ROWS) {
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            percent(one.own.wall_ns, all),
            time(one.own.wall_ns),
            time(one.own.cpu_ns),
            percent(one.total.wall_ns, all),
            time(one.awaited.wall_ns),
            escaped(&format!("{} ({}:{})", one.name, one.file, one.line)),
        );
    }
    table(&["self", "time", "processor", "with calls", "awaited", "function"], &rows)
}

fn lines(profile: &Profile, source: Source<'_>) -> String {
    let all = profile.total(Kind::Thread).wall_ns;
    let mut rows = String::new();
    for one in profile.hot_lines(ROWS) {
        let text = source(one.file, one.line).unwrap_or_default();
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td><code>{}</code></td></tr>",
            percent(one.own.wall_ns, all),
            time(one.own.wall_ns),
            escaped(&format!("{}:{}", one.file, one.line)),
            escaped(text.trim()),
        );
    }
    table(&["self", "time", "line", "source"], &rows)
}

/// Nothing where nobody looked for it.
fn memory(profile: &Profile, source: Source<'_>) -> String {
    let allocations = profile.allocations();
    if allocations.is_empty() && profile.memory_bytes_max() == 0 {
        return String::new();
    }
    let mut rows = String::new();
    for (file, line, one) in allocations.into_iter().take(ROWS) {
        let text = source(file, line).unwrap_or_default();
        let _ = writeln!(
            rows,
            "<tr><td>{:+.1} KiB</td><td>{:+}</td><td>{}</td><td><code>{}</code></td></tr>",
            one.bytes as f64 / 1024.0,
            one.blocks,
            escaped(&format!("{file}:{line}")),
            escaped(text.trim()),
        );
    }
    let most = profile.memory_bytes_max() as f64 / 1024.0;
    let table = table(&["not given back", "blocks", "line", "source"], &rows);
    format!("<h2>Memory</h2>\n<p>at most {most:.1} KiB more than at the beginning</p>\n{table}")
}

fn table(heads: &[&str], rows: &str) -> String {
    let heads = heads.join("</th><th>");
    format!("<table>\n<tr><th>{heads}</th></tr>\n{rows}</table>\n")
}
