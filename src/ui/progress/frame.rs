//! One picture of a run, folded to the size of a terminal. Pure: lines out, none wider or more than there is room for.

use std::time::Duration;

use crate::address::Address;
use crate::env::clock::Timestamp;
use crate::plan::forecast::Rest;
use crate::ui::paint::{Paint, duration, tame};
use crate::ui::progress::course::{Component, Course, Running};

/// Columns under which words are left out.
const NARROW: usize = 60;

/// So many resources of a component are named, at most.
const NAMED: usize = 5;

/// How a picture is drawn.
#[derive(Clone, Copy)]
pub(super) struct Look {
    /// Colours.
    pub(super) paint: Paint,
    /// Characters beyond ASCII.
    pub(super) unicode: bool,
    /// Time is simulated.
    pub(super) simulated: bool,
    /// Which picture it is, for what turns.
    pub(super) tick: usize,
    /// Lines there is room for.
    pub(super) rows: usize,
    /// Columns there are.
    pub(super) columns: usize,
}

impl Look {
    fn spinner(&self) -> char {
        let signs: &[char] = match self.unicode {
            true => &['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'],
            false => &['|', '/', '-', '\\'],
        };
        signs[self.tick % signs.len()]
    }

    fn mark(&self) -> &'static str {
        if self.unicode { "»" } else { ">" }
    }

    fn ellipsis(&self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    fn is_narrow(&self) -> bool {
        self.columns < NARROW
    }

    /// Cut at the terminal's edge, between characters: what wraps would be drawn twice.
    fn cut(&self, line: &str) -> String {
        console::truncate_str(line, self.columns, self.ellipsis()).into_owned()
    }
}

fn width(text: &str) -> usize {
    console::measure_text_width(text)
}

/// The picture.
pub(super) fn frame(course: &Course, now: Timestamp, look: Look) -> Vec<String> {
    let rest = course.rest(now);
    let active = course.active(rest.critical);
    if active.is_empty() || look.rows == 0 || look.columns < 8 {
        return Vec::new();
    }
    let mut lines = vec![header(course, now, &rest, &look)];
    let pending = course.pending(&rest);
    let mut room = look.rows.saturating_sub(1);
    let footer = !pending.is_empty() && room > active.len().min(2);
    room -= usize::from(footer);
    let (shown, folded) = match active.len() <= room {
        true => (active.len(), 0),
        // One line says how many there are besides.
        false => (room.saturating_sub(1), active.len() - room.saturating_sub(1)),
    };
    let mut spare = room - shown - usize::from(folded > 0 && room > 0);
    let names = active.iter().take(shown).map(|(name, _)| width(&tame(name))).max().unwrap_or(0);
    let names = names.min(if look.is_narrow() { 16 } else { 28 });
    for (name, component) in active.iter().take(shown) {
        let is_critical = rest.critical == Some(*name);
        let children = match component.running.len() {
            _ if component.resources <= 1 => 0,
            running => running.min(NAMED).min(spare),
        };
        lines.push(row(name, component, now, is_critical, (names, children == 0), &look));
        // A line that only says that there are more is worth less than one that says what.
        spare -= children;
        for (at, (address, running)) in longest(component).into_iter().take(children).enumerate() {
            let more = component.running.len() - children;
            let last = at + 1 == children;
            lines.push(child(address, running, now, (last, if last { more } else { 0 }), &look));
        }
    }
    if folded > 0 && room > 0 {
        let rest = active.iter().skip(shown).map(|(name, _)| tame(name)).collect::<Vec<_>>();
        lines.push(listed(&format!("    {folded} more: "), &rest, &look));
    }
    if footer {
        let rest = pending.iter().map(|name| tame(name)).collect::<Vec<_>>();
        lines.push(look.paint.dim(&listed("    then: ", &rest, &look)));
    }
    lines.truncate(look.rows);
    lines.iter().map(|line| look.cut(line)).collect()
}

/// What goes on longest is most worth knowing.
fn longest(component: &Component) -> Vec<(&Address, &Running)> {
    let mut running = component.running.iter().collect::<Vec<_>>();
    running.sort_by_key(|(address, running)| (running.begun, *address));
    running
}

/// `first, second and 4 more`, as many as fit.
fn listed(lead: &str, names: &[String], look: &Look) -> String {
    for shown in (1..=names.len()).rev() {
        let more = names.len() - shown;
        let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
        let line = format!("{lead}{}{tail}", names[..shown].join(", "));
        if width(&line) <= look.columns || shown == 1 {
            return line;
        }
    }
    lead.to_owned()
}

fn header(course: &Course, now: Timestamp, rest: &Rest<'_>, look: &Look) -> String {
    let (done, total) = course.counted();
    let elapsed = course.begun.map_or(Duration::ZERO, |begun| now.since(begun));
    let left = match (rest.total.as_secs(), look.is_narrow()) {
        (0, _) => String::new(),
        (_, true) => format!(", ~{} left", duration(rest.total)),
        (_, false) => format!(", about {} left", duration(rest.total)),
    };
    let simulated = if look.simulated && !look.is_narrow() { " simulated" } else { "" };
    let figures = format!("{done}/{total}  {}{simulated}{left}", duration(elapsed));
    let verb = if course.destroy { "Destroying" } else { "Applying" };
    let title = if look.is_narrow() { String::new() } else { format!("{verb} {}  ", tame(&course.stack)) };
    let room = look.columns.saturating_sub(width(&title) + width(&figures) + 2);
    let bar = bar(course.fraction(rest), room.min(24), look);
    let gap = if bar.is_empty() { "" } else { "  " };
    format!("{}{bar}{gap}{figures}", look.paint.bold(&title))
}

fn bar(fraction: f64, columns: usize, look: &Look) -> String {
    if columns < 4 {
        return String::new();
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few columns"
    )]
    let full = ((columns as f64 * fraction) as usize).min(columns);
    let (done, ahead) = if look.unicode { ("━", "╌") } else { ("#", "-") };
    format!("{}{}", look.paint.green(&done.repeat(full)), look.paint.dim(&ahead.repeat(columns - full)))
}

fn row(
    name: &str,
    component: &Component,
    now: Timestamp,
    critical: bool,
    (names, alone): (usize, bool),
    look: &Look,
) -> String {
    let mark = if critical { look.paint.yellow(look.mark()) } else { " ".to_owned() };
    let name = console::truncate_str(&tame(name), names, look.ellipsis()).into_owned();
    let padding = " ".repeat(names.saturating_sub(width(&name)));
    let counted = if component.total > 1 { format!("{}/{} ", component.done, component.total) } else { String::new() };
    let elapsed = component.begun.map_or(Duration::ZERO, |begun| now.since(begun));
    let usual = component.usual;
    let time = match (usual.is_zero(), look.is_narrow(), elapsed <= usual) {
        (true, ..) | (_, true, true) => duration(elapsed),
        (_, true, false) => format!("{}!", duration(elapsed)),
        (_, _, true) => format!("{} of ~{}", duration(elapsed), duration(usual)),
        (_, _, false) => format!("{} (usually {})", duration(elapsed), duration(usual)),
    };
    let lead = format!("{mark} {} {}{padding} {counted}{time}", look.spinner(), look.paint.bold(&name));
    // What it waits for is told once: here, or with the resource that does.
    let waiting = longest(component).into_iter().find_map(|(_, running)| running.waiting.as_deref());
    match waiting.filter(|_| alone) {
        Some(words) => format!("{lead}  {}", last_words(words, look.columns.saturating_sub(width(&lead) + 2))),
        None => lead,
    }
}

fn child(address: &Address, running: &Running, now: Timestamp, (last, more): (bool, usize), look: &Look) -> String {
    let branch = match (look.unicode, last) {
        (true, false) => "├",
        (true, true) => "└",
        (false, _) => "-",
    };
    let also = if more > 0 { format!(" (+{more})") } else { String::new() };
    let lead = format!("    {branch} {} {}{also}", short(address), duration(now.since(running.begun)));
    match &running.waiting {
        Some(words) => format!("{lead}  {}", last_words(words, look.columns.saturating_sub(width(&lead) + 2))),
        None => lead,
    }
}

/// `Deployment istiod` of `addons.istio/Deployment.apps/istio-system/istiod`.
fn short(address: &Address) -> String {
    let Some(key) = address.object_key() else { return tame(address.as_str()) };
    let kind = key.split(['/', '.']).next().unwrap_or_default();
    let name = key.rsplit('/').next().unwrap_or_default();
    tame(&format!("{kind} {name}"))
}

/// The end of a chain of causes, as much of it as there is room for: what is waited for in the end is said last.
fn last_words(words: &str, room: usize) -> String {
    let words = tame(&words.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut rest = words.as_str();
    while width(rest) > room {
        match rest.split_once(": ") {
            Some((_, after)) if !after.is_empty() => rest = after,
            _ => break,
        }
    }
    rest.to_owned()
}
