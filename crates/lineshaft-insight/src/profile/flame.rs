//! The flame graph: one SVG that needs nothing else, from the disk too.

use std::fmt::Write;

use super::cells::{Cell, What, cells};
use super::native::is_native;
use super::{Kind, Profile, Weight};

/// Sizes in pixels, which the script knows too.
const WIDTH: f64 = 1_200.0;
const MARGIN: f64 = 10.0;
const ROW: usize = 18;
const HEAD: usize = 62;
const LETTER: f64 = 7.0;
/// Cells that are narrower are not drawn.
const NARROWEST: f64 = 0.1;

/// Of functions; black text can be read on each.
const COLOURS: [&str; 16] = [
    "#f4a582", "#fdc086", "#ffd92f", "#d9ef8b", "#a6d96a", "#b2df8a", "#8dd3c7", "#80cdc1", "#9ecae1",
    "#a6bddb", "#bebada", "#cab2d6", "#e7b3d3", "#fb9a99", "#e5c494", "#d8d3a0",
];

/// Of what lines have called natively; none of the others.
const NATIVE: &str = "#c9c2b8";

const STYLE: &str = include_str!("flame.css");
const SCRIPT: &str = include_str!("flame.js");

/// A flame graph of the time of all threads, and below it one of what tasks awaited, if there are any. The widths are time
/// that passed. A click zooms, one on the lowest cell of a way leads back, and what is searched for is marked and its part
/// of the time said.
pub fn flame_graph_svg(profile: &Profile, title: &str) -> String {
    let graphs = [("threads", Kind::Thread), ("awaiting", Kind::Awaiting)]
        .map(|(name, kind)| (name, cells(profile, kind)))
        .into_iter()
        .filter(|(name, cells)| cells.len() > 1 || *name == "threads");
    let (mut body, mut top) = (String::new(), HEAD);
    for (name, cells) in graphs {
        let rows = cells.iter().map(|cell| cell.row + 1).max().unwrap_or(1);
        let _ = writeln!(body, "<g class=\"graph\" data-name=\"{name}\">");
        for cell in &cells {
            draw(&mut body, cell, cells[0].total, (name, top));
        }
        body.push_str("</g>\n");
        top += (rows + 2) * ROW;
    }
    let (head, title) = (summary(profile), escaped(title));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"lineshaft\" viewBox=\"0 0 {WIDTH} {top}\" width=\"{WIDTH}\" \
         height=\"{top}\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{top}\"/>\n\
         <text class=\"name\" x=\"{MARGIN}\" y=\"24\">{title}</text>\n\
         <text x=\"{MARGIN}\" y=\"46\">{head}</text>\n\
         <text class=\"found\" x=\"930\" y=\"46\" text-anchor=\"end\"></text>\n\
         <foreignObject x=\"940\" y=\"30\" width=\"250\" height=\"26\"><input xmlns=\"http://www.w3.org/1999/xhtml\" \
         type=\"search\" placeholder=\"search\" aria-label=\"search\"/></foreignObject>\n\
         {body}<script><![CDATA[\n{SCRIPT}]]></script>\n</svg>\n"
    )
}

/// What a profile is, in one line.
pub(super) fn summary(profile: &Profile) -> String {
    let sum = profile.total(Kind::Thread);
    if sum.samples == 0 {
        let (awaited, took) = (profile.total(Kind::Awaiting).samples, time(profile.duration_ns()));
        return match awaited {
            0 => format!("no samples in {took}"),
            _ => format!("{awaited} samples of what was awaited in {took}, none of a thread"),
        };
    }
    let cpu = percent(sum.cpu_ns, sum.wall_ns);
    format!("{} samples in {}, {cpu} of it with a processor", sum.samples, time(profile.duration_ns()))
}

fn draw(out: &mut String, cell: &Cell<'_>, all: Weight, (graph, top): (&str, usize)) {
    let scale = (WIDTH - 2.0 * MARGIN) / all.wall_ns.max(1) as f64;
    let is_all = cell.is == What::All;
    let width = if is_all { WIDTH - 2.0 * MARGIN } else { cell.total.wall_ns as f64 * scale };
    if width < NARROWEST {
        return;
    }
    let (x, y) = (MARGIN + cell.begin as f64 * scale, top + cell.row * ROW);
    let (label, place, colour) = shown(cell.is, graph);
    let (name, tip) = (escaped(&label), escaped(&format!("{label}{place}\n{}", figures(cell.total, all))));
    let text = escaped(&cut(&label, width));
    let _ = writeln!(
        out,
        "<g class=\"cell\" data-name=\"{name}\"><title>{tip}</title><rect x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" \
         height=\"{}\" fill=\"{colour}\"/><text x=\"{:.2}\" y=\"{}\">{text}</text></g>",
        ROW - 1,
        x + 3.0,
        y + 13,
    );
}

/// How a cell is called, where that is, and its colour.
fn shown(is: What<'_>, graph: &str) -> (String, String, &'static str) {
    match is {
        What::All => (format!("all {graph}"), String::new(), "#d0d0d0"),
        What::Track(name) => (name.to_owned(), String::new(), "#c3ccd6"),
        What::Function(frame) if is_native(frame) => {
            (frame.name.to_owned(), format!(" ({})", frame.file), NATIVE)
        }
        What::Function(frame) if frame.file.is_empty() => (frame.name.to_owned(), String::new(), colour("")),
        What::Function(frame) => {
            (frame.name.to_owned(), format!(" ({}:{})", frame.file, frame.line), colour(frame.file))
        }
    }
}

fn figures(weight: Weight, all: Weight) -> String {
    format!(
        "{} of the time: {}, {} with a processor, {} samples",
        percent(weight.wall_ns, all.wall_ns),
        time(weight.wall_ns),
        time(weight.cpu_ns),
        weight.samples
    )
}

/// Functions of one file have one colour, whenever and wherever it is drawn.
fn colour(file: &str) -> &'static str {
    let mixed = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = file.bytes().fold(0x811c_9dc5, mixed);
    COLOURS[(hash >> 7) as usize % COLOURS.len()]
}

fn cut(label: &str, width: f64) -> String {
    let room = ((width - 6.0) / LETTER).max(0.0) as usize;
    match label.chars().count() {
        count if count <= room => label.to_owned(),
        _ if room < 3 => String::new(),
        _ => label.chars().take(room - 2).chain("..".chars()).collect(),
    }
}

/// Text for XML and HTML, in which some signs cannot be.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(sign),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ if sign.is_control() => out.push('\u{fffd}'),
            _ => out.push(sign),
        }
    }
    out
}

pub(super) fn percent(part: u64, all: u64) -> String {
    format!("{:.1} %", 100.0 * part as f64 / all.max(1) as f64)
}

pub(super) fn time(ns: u64) -> String {
    match ns {
        0 => "0 s".to_owned(),
        1..10_000_000 => format!("{:.2} ms", ns as f64 / 1e6),
        10_000_000..1_000_000_000 => format!("{:.0} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}
