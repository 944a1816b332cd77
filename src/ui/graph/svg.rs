//! A drawing as SVG: from left to right in the order in which things are made.
//!
//! As a file of its own it brings its colours, light and dark; inside a page the page has them. Every box has a title
//! that a screen reader says, and nothing is told by colour alone. All text is escaped.

use crate::plan::model::Action;
use crate::ui::graph::layout::{Input, Layout, layout, reduced};
use crate::ui::graph::{Drawing, Node, spoken, word};
use crate::ui::paint::{count, tame};

/// Where a drawing goes.
#[derive(Clone, Copy)]
pub enum Home<'a> {
    /// A file.
    File,
    /// A page, where each box is a link to an anchor.
    Page(&'a dyn Fn(&Node) -> String),
}

const HEIGHT: f64 = 42.0;
const MARGIN: f64 = 12.0;
/// A letter of the name, of the line below it, and what is around them.
const LETTER: f64 = 8.4;
const SMALL: f64 = 6.6;
const PADDING: f64 = 26.0;
/// Longer names are cut: the title has the whole.
const LONGEST: usize = 36;

/// Light and dark, as the page of a report has them too.
const STYLE: &str = "\
.node rect{fill:#f6f8fa;stroke:#656d76;stroke-width:1.2}.node text{fill:#1f2328;font:600 13px system-ui,sans-serif}\
.node .sub{fill:#59636e;font:400 11px system-ui,sans-serif}.line{fill:none;stroke:#818b98;stroke-width:1.3}\
.back{fill:#fff}.create rect{fill:#dafbe1;stroke:#1a7f37}.update rect{fill:#fff8c5;stroke:#9a6700}\
.replace rect{fill:#ffe0cc;stroke:#bc4c00}.delete rect,.forget rect{fill:#ffebe9;stroke:#cf222e}\
.adopt rect,.run rect{fill:#ddf4ff;stroke:#0969da}\
@media (prefers-color-scheme:dark){.back{fill:#0d1117}.node rect{fill:#21262d;stroke:#9198a1}.node text{fill:#f0f6fc}\
.node .sub{fill:#9198a1}.line{stroke:#656c76}.create rect{fill:#12261e;stroke:#3fb950}\
.update rect{fill:#272115;stroke:#d29922}.replace rect{fill:#2b1d10;stroke:#f0883e}\
.delete rect,.forget rect{fill:#2d1416;stroke:#f85149}.adopt rect,.run rect{fill:#0c2d4a;stroke:#58a6ff}}";

/// Text as XML and HTML have it, with control characters made visible.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in tame(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The two lines of a box.
fn lines(node: &Node) -> (String, String) {
    let symbol = node.action.filter(|action| *action != Action::NoOp).map(Action::symbol);
    let symbol = symbol.map_or(String::new(), |symbol| format!("{symbol} "));
    if node.name == node.component {
        let below = match node.action {
            Some(action) => format!("{}, {}", word(action), count(node.resources, "resource")),
            None => count(node.resources, "resource"),
        };
        return (format!("{symbol}{}", cut(&node.name)), below);
    }
    let own = node.name.strip_prefix(&node.component).map_or(node.name.as_str(), |rest| rest.trim_start_matches('/'));
    // The name is what people look for; its kind stands below.
    let (kind, name) = own.split_once('/').unwrap_or(("", own));
    let name = name.rsplit('/').next().unwrap_or(name);
    let kind = kind.split('.').next().unwrap_or(kind);
    let below = if kind.is_empty() { cut(&node.component) } else { cut(&format!("{kind} · {}", node.component)) };
    (format!("{symbol}{}", cut(name)), below)
}

fn cut(text: &str) -> String {
    let tamed = tame(text);
    match tamed.chars().count() > LONGEST {
        true => format!("{}…", tamed.chars().take(LONGEST - 1).collect::<String>()),
        false => tamed,
    }
}

#[expect(clippy::cast_precision_loss, reason = "names are short")]
fn width((name, below): &(String, String)) -> f64 {
    let wide = |text: &str, letter: f64| text.chars().count() as f64 * letter;
    (wide(name, LETTER).max(wide(below, SMALL)) + PADDING).round()
}

/// The drawing.
pub fn svg(drawing: &Drawing, home: Home<'_>) -> String {
    let texts = drawing.boxes.iter().map(lines).collect::<Vec<_>>();
    // What is needed stands on the left.
    let edges = drawing.lines.iter().map(|line| (line.to, line.from)).collect::<Vec<_>>();
    let edges = reduced(drawing.boxes.len(), &edges);
    let input = Input {
        widths: texts.iter().map(width).collect(),
        lines: edges.clone(),
        height: HEIGHT,
        gap: 14.0,
        aisle: 56.0,
    };
    let laid = layout(&input);
    let (wide, high) = (laid.width + MARGIN * 2.0, laid.height + MARGIN * 2.0);
    let title = format!("Dependencies of {}", escaped(&drawing.stack));
    let tells = format!(
        "{} from left to right in the order in which they are made; lines lead from what is needed to what needs it.",
        count(drawing.boxes.len(), if is_by_component(drawing) { "component" } else { "resource" })
    );
    let mut out = match home {
        Home::File => format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide:.0} {high:.0}\" width=\"{wide:.0}\" height=\"{high:.0}\" role=\"group\" aria-labelledby=\"title desc\">\n\
             <title id=\"title\">{title}</title>\n<desc id=\"desc\">{tells}</desc>\n<style>{STYLE}</style>\n\
             <rect class=\"back\" width=\"100%\" height=\"100%\"/>\n"
        ),
        Home::Page(_) => format!(
            "<svg viewBox=\"0 0 {wide:.0} {high:.0}\" width=\"{wide:.0}\" height=\"{high:.0}\" role=\"group\" aria-label=\"{title}: {tells}\">\n"
        ),
    };
    out.push_str("<g class=\"lines\" aria-hidden=\"true\">\n");
    for (points, (from, to)) in laid.lines.iter().zip(&edges) {
        let path = curve(points);
        match home {
            Home::File => out.push_str(&format!("<path class=\"line\" d=\"{path}\"/>\n")),
            Home::Page(_) => {
                out.push_str(&format!("<path class=\"line\" data-from=\"{from}\" data-to=\"{to}\" d=\"{path}\"/>\n"));
            }
        }
    }
    out.push_str("</g>\n");
    boxes(drawing, &texts, &input, &laid, home, &mut out);
    out.push_str("</svg>\n");
    out
}

fn is_by_component(drawing: &Drawing) -> bool {
    drawing.boxes.iter().all(|node| node.name == node.component)
}

fn boxes(
    drawing: &Drawing,
    texts: &[(String, String)],
    input: &Input,
    laid: &Layout,
    home: Home<'_>,
    out: &mut String,
) {
    // In reading order: a keyboard walks from left to right, and down each column.
    let mut order = (0..drawing.boxes.len()).collect::<Vec<_>>();
    order.sort_by(|&a, &b| {
        laid.boxes[a].0.total_cmp(&laid.boxes[b].0).then(laid.boxes[a].1.total_cmp(&laid.boxes[b].1))
    });
    for at in order {
        let (node, (name, below)) = (&drawing.boxes[at], &texts[at]);
        let (x, y) = (laid.boxes[at].0 + MARGIN, laid.boxes[at].1 + MARGIN);
        let class = node.action.map_or("plain", word);
        let said = escaped(&spoken(node));
        match home {
            Home::File => out.push_str(&format!("<g class=\"node {class}\" role=\"img\" aria-label=\"{said}\">")),
            Home::Page(link) => out.push_str(&format!(
                "<a class=\"node {class}\" href=\"#{}\" data-node=\"{at}\" data-component=\"{}\" aria-label=\"{said}\">",
                escaped(&link(node)),
                escaped(&node.component)
            )),
        }
        out.push_str(&format!(
            "<title>{said}</title><rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{:.0}\" height=\"{HEIGHT:.0}\" rx=\"7\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\">{}</text><text class=\"sub\" x=\"{:.0}\" y=\"{:.0}\">{}</text>",
            input.widths[at],
            x + 12.0,
            y + 18.0,
            escaped(name),
            x + 12.0,
            y + 33.0,
            escaped(below)
        ));
        out.push_str(if matches!(home, Home::File) { "</g>\n" } else { "</a>\n" });
    }
}

/// A line through points that leaves and arrives level.
fn curve(points: &[(f64, f64)]) -> String {
    let mut out = String::new();
    for (number, (x, y)) in points.iter().map(|(x, y)| (x + MARGIN, y + MARGIN)).enumerate() {
        match number.checked_sub(1).map(|before| points[before]) {
            None => out.push_str(&format!("M{x:.0} {y:.0}")),
            Some((px, py)) => {
                let (px, py) = (px + MARGIN, py + MARGIN);
                if (py - y).abs() < 0.5 {
                    out.push_str(&format!("L{x:.0} {y:.0}"));
                } else {
                    let middle = px.midpoint(x);
                    out.push_str(&format!("C{middle:.0} {py:.0} {middle:.0} {y:.0} {x:.0} {y:.0}"));
                }
            }
        }
    }
    out
}
