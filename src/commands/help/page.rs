//! A page in Markdown as lines of plain text, for terminals, pipes and pagers.

use unicode_width::UnicodeWidthStr;

use crate::commands::help::topics;
use crate::table::{Table, wrapped};
use crate::terminal;

/// How wide a page is where nothing else is known.
const WIDTH_DEFAULT: usize = 80;
/// Wider lines are hard to read.
const WIDTH_MAX: usize = 100;

/// How wide a page is made.
pub(super) fn width() -> usize {
    terminal::width().unwrap_or(WIDTH_DEFAULT).clamp(40, WIDTH_MAX)
}

/// The lines of a page.
pub(super) fn lines(text: &str, width: usize) -> Vec<String> {
    let mut page = Page { width, lines: Vec::new() };
    let mut rest = text.lines().peekable();
    while let Some(line) = rest.next() {
        let mut more = |is: &dyn Fn(&str) -> bool| {
            let mut block = vec![line.to_owned()];
            block.extend(std::iter::from_fn(|| rest.next_if(|line| is(line)).map(str::to_owned)));
            block
        };
        if line.starts_with("```") {
            // Code stays as it is.
            let code = more(&|line| !line.starts_with("```"));
            page.lines.extend(code.iter().skip(1).map(|line| format!("    {line}").trim_end().to_owned()));
            rest.next();
        } else if line.starts_with('|') {
            page.table(&more(&|line| line.starts_with('|')));
        } else if let Some(title) = line.strip_prefix('#') {
            page.heading(title);
        } else if line.trim().is_empty() {
            page.lines.push(String::new());
        } else {
            page.paragraph(&more(&|line| continues(line)).join("\n"));
        }
    }
    page.lines
}

/// Whether a line belongs to the paragraph before it.
fn continues(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with(['#', '|', '`']) && marker(line).is_none()
        || line.starts_with('`') && !line.starts_with("```")
}

/// The indent and mark with which an item of a list begins, such as `- ` or `2. `.
fn marker(line: &str) -> Option<usize> {
    let indent = line.len() - line.trim_start().len();
    let item = &line[indent..];
    let digits = item.bytes().take_while(u8::is_ascii_digit).count();
    if item.starts_with("- ") || item.starts_with("* ") {
        return Some(indent + 2);
    }
    (digits > 0 && item[digits..].starts_with(". ")).then_some(indent + digits + 2)
}

struct Page {
    width: usize,
    lines: Vec<String>,
}

impl Page {
    fn heading(&mut self, title: &str) {
        let is_first = !title.starts_with('#');
        let title = plain(title.trim_start_matches(['#', ' ']));
        let rule = if is_first { "═" } else { "─" };
        self.lines.push(title.clone());
        self.lines.push(rule.repeat(title.width()));
    }

    /// A paragraph or an item of a list, whose further lines stand below its first word.
    fn paragraph(&mut self, text: &str) {
        let begin = marker(text).unwrap_or(0);
        let (mark, rest) = text.split_at(begin);
        let words: Vec<&str> = rest.split_whitespace().collect();
        let plain = plain(&words.join(" "));
        for (place, line) in wrapped(&plain, self.width.saturating_sub(begin)).iter().enumerate() {
            let indent = if place == 0 { mark.to_owned() } else { " ".repeat(begin) };
            self.lines.push(format!("{indent}{line}").trim_end().to_owned());
        }
    }

    fn table(&mut self, rows: &[String]) {
        let cells = |row: &String| -> Vec<String> {
            let row = row.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{0}");
            row.split('|').map(|cell| plain(cell.trim()).replace('\u{0}', "|")).collect()
        };
        let is_rule = |row: &&String| row.chars().all(|c| "|-: ".contains(c));
        let mut rows = rows.iter().filter(|row| !is_rule(row)).map(cells);
        let Some(names) = rows.next() else { return };
        let mut table = Table::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
        rows.for_each(|row| table.row(row));
        let lines = table.lines(Some(self.width));
        // Some tables have no names.
        let has_names = names.iter().any(|name| !name.is_empty());
        self.lines.extend(lines.into_iter().skip(usize::from(!has_names)));
    }
}

/// Without marks for bold text; of links, their text, and the topic or address that they lead to.
fn plain(text: &str) -> String {
    let text = text.replace("**", "");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('[') {
        let ticks = [out.as_str(), before].into_iter().flat_map(str::chars).filter(|c| *c == '`').count();
        let is_code = ticks % 2 == 1;
        let link = after.split_once("](").and_then(|(name, after)| Some((name, after.split_once(')')?)));
        let Some((name, (target, after))) = link.filter(|_| !is_code) else {
            out.push_str(before);
            out.push('[');
            rest = after;
            continue;
        };
        out.push_str(before);
        out.push_str(name);
        out.push_str(&leads_to(target));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn leads_to(target: &str) -> String {
    let page = target.split('#').next().unwrap_or_default();
    let name = page.trim_end_matches(".md").rsplit('/').next().unwrap_or_default();
    match target {
        _ if target.starts_with("http") => format!(" ({target})"),
        _ if page.ends_with("reference/cli.md") => " (`campanile help`)".to_owned(),
        _ if page.ends_with(".md") && topics::page(name).is_some() => format!(" (`campanile help {name}`)"),
        // What only the repository has, or a place on the same page.
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_plain_text_of_its_width_and_names_other_pages_as_topics() {
        let text = "# Title\n\nSome **bold** words and a [link](import.md#how), which\ngo on.\n\n- an item with\n  two lines\n- `a[0](b)`\n\n\
                    ```sh\n  campanile run x.json   # as it is, however wide it is and however many words it has\n```\n\n\
                    | Code | Means |\n| --- | --- |\n| `a` | a long explanation of what it means |\n";
        assert_eq!(
            lines(text, 30),
            [
                "Title",
                "═════",
                "",
                "Some bold words and a link",
                "(`campanile help import`),",
                "which go on.",
                "",
                "- an item with two lines",
                "- `a[0](b)`",
                "",
                "      campanile run x.json   # as it is, however wide it is and however many words it has",
                "",
                "Code  Means",
                "`a`   a long explanation of",
                "      what it means",
            ]
        );
    }

    #[test]
    fn no_page_points_to_a_file_that_an_installed_program_lacks() {
        for topic in topics::PAGES {
            let text = lines(topic.text, 80).join("\n");
            assert!(!text.contains(".md)"), "{} has a link to a file", topic.name);
        }
    }
}
