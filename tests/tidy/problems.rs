//! `docs/reference/problems.md` has a line for each code that the code reports, and none besides.

use std::collections::BTreeSet;

use crate::files::{code, code_of, text};

/// Functions whose first plain text among their arguments is the code of a problem.
const REPORTS: [&str; 7] =
    ["problem(", "risk(", "problem_at(", "problem_of_key(", "problem_within(", "one_problem(", "one("];
/// Functions whose first argument is the code of a reject.
const REFUSES: [&str; 1] = ["Reject::new("];

#[test]
fn every_problem_and_reject_has_its_line_in_the_reference() {
    let page = text("docs/reference/problems.md");
    let files = code().into_iter().filter(|file| !file.starts_with("sandbox/") && !file.starts_with("crm/"));
    let mut reported = BTreeSet::new();
    for file in files {
        let code = code_of(&file);
        let problems = REPORTS.iter().flat_map(|report| calls(&code, report));
        reported.extend(problems.filter_map(|call| plain_texts(&call).into_iter().find(|text| is_problem(text))));
        let rejects = REFUSES.iter().flat_map(|refuse| calls(&code, refuse));
        reported.extend(rejects.filter_map(|call| plain_texts(&call).into_iter().find(|text| is_reject(text))));
    }
    assert!(reported.len() > 40, "the codes are not found in the code any more: {reported:?}");
    let told: BTreeSet<String> = page.lines().filter_map(code_of_row).collect();
    let untold: Vec<_> = reported.difference(&told).collect();
    assert!(untold.is_empty(), "docs/reference/problems.md does not explain {untold:?}");
    let gone =
        |code: &&String| !reported.contains(*code) && (is_problem(code) || OF_ACTIVITIES.contains(&code.as_str()));
    let gone: Vec<_> = told.iter().filter(gone).collect();
    assert!(gone.is_empty(), "docs/reference/problems.md explains {gone:?}, which nothing reports");
}

/// The rejects of the palette; the page also has those of the database, which it finds at run time.
const OF_ACTIVITIES: [&str; 6] =
    ["ID_MALFORMED", "VALUE_TYPE", "EXPRESSION", "JOIN_AMBIGUOUS", "KEY_EMPTY", "KEY_REPEATED"];

/// The code that a row of a table is about: its first cell, in backticks.
fn code_of_row(line: &str) -> Option<String> {
    let code = line.strip_prefix("| `")?.split_once('`')?.0;
    (is_problem(code) || is_reject(code)).then(|| code.to_owned())
}

fn is_problem(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn is_reject(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// The arguments of each call of a function.
fn calls(code: &str, function: &str) -> Vec<String> {
    let begins = code.match_indices(function).map(|(at, _)| at);
    // Not the end of a longer name, and not the definition.
    let whole = begins.filter(|at| {
        let before = &code[..*at];
        !before.ends_with(|c: char| c.is_alphanumeric() || c == '_') && !before.ends_with("fn ")
    });
    whole.map(|at| arguments(&code[at + function.len()..])).collect()
}

/// Where in code a walk is: how deep in brackets, and whether in a text.
#[derive(Default)]
struct Place {
    depth: i32,
    in_text: bool,
    escaped: bool,
}

impl Place {
    fn pass(&mut self, c: char) {
        match c {
            _ if self.escaped => self.escaped = false,
            '\\' if self.in_text => self.escaped = true,
            '"' => self.in_text = !self.in_text,
            '(' | '[' | '{' if !self.in_text => self.depth += 1,
            ')' | ']' | '}' if !self.in_text => self.depth -= 1,
            _ => {}
        }
    }
}

/// What stands before the bracket that closes the call.
fn arguments(after: &str) -> String {
    let mut place = Place { depth: 1, ..Place::default() };
    let end = after.char_indices().find(|(_, c)| {
        place.pass(*c);
        place.depth == 0
    });
    end.map_or_else(String::new, |(end, _)| after[..end].to_owned())
}

/// The arguments that are nothing but a text.
fn plain_texts(arguments: &str) -> Vec<String> {
    let mut place = Place::default();
    let parts = arguments.split(|c: char| {
        place.pass(c);
        c == ',' && place.depth == 0 && !place.in_text
    });
    let texts = parts.map(str::trim).filter_map(|part| part.strip_prefix('"')?.strip_suffix('"'));
    texts.map(str::to_owned).collect()
}
