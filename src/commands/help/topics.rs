//! The pages of the manual, which are part of the program.

/// A page of the manual.
#[derive(Debug)]
pub(super) struct Topic {
    /// Its name: the page's file without folder and ending.
    pub(super) name: &'static str,
    /// Its text, in Markdown.
    pub(super) text: &'static str,
}

macro_rules! pages {
    ($($name:literal in $folder:literal),+ $(,)?) => {
        &[$(Topic { name: $name, text: include_str!(concat!("../../../", $folder, "/", $name, ".md")) }),+]
    };
}

/// All pages, in the order in which they are best read. A test compares them with the folders.
pub(super) static PAGES: &[Topic] = pages![
    "first-workflow" in "docs/guide",
    "workflow-file" in "docs/guide",
    "import" in "docs/guide",
    "data" in "docs/guide",
    "expressions" in "docs/guide",
    "types" in "docs/guide",
    "export" in "docs/guide",
    "rejects" in "docs/guide",
    "running" in "docs/guide",
    "unattended" in "docs/guide",
    "configuration" in "docs/guide",
    "dynamics" in "docs/guide",
    "salesforce" in "docs/guide",
    "testing" in "docs/guide",
    "examples" in "docs/guide",
    "words" in "docs/guide",
    "activities" in "docs/reference",
    "problems" in "docs/reference",
];

/// The controls of the sandbox; its page lies in the sandbox's own folder.
static SANDBOX: &str = include_str!("../../../sandbox/README.md");

/// The text of a page.
pub(super) fn page(name: &str) -> Option<&'static str> {
    let name = name.trim_end_matches(".md").rsplit('/').next().unwrap_or_default();
    match name {
        "sandbox-controls" => Some(SANDBOX),
        name => PAGES.iter().find(|topic| topic.name == name).map(|topic| topic.text),
    }
}

/// A page's title.
pub(super) fn title(text: &'static str) -> &'static str {
    text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
}

/// The part of a page that is about a type of activity or the code of a problem.
pub(super) fn section(name: &str) -> Option<String> {
    let heading = format!("## {name}");
    let activities = page("activities")?;
    if let Some(begin) = activities.lines().position(|line| line == heading) {
        let part: Vec<&str> = activities.lines().skip(begin).collect();
        let end = part.iter().skip(1).position(|line| line.starts_with("## ")).map_or(part.len(), |end| end + 1);
        return Some(part[..end].join("\n"));
    }
    let cell = format!("| `{name}` |");
    let row = page("problems")?.lines().find(|line| line.starts_with(&cell))?;
    let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
    match cells.as_slice() {
        [code, means, fix] => Some(format!("{code}: {means}\n\nFix: {fix}")),
        _ => None,
    }
}

/// What [`section`] finds.
pub(super) fn sections() -> Vec<String> {
    let headings = page("activities").into_iter().flat_map(str::lines).filter_map(|line| line.strip_prefix("## "));
    let kinds = headings.filter(|heading| !heading.contains(' ')).map(str::to_owned);
    let rows = page("problems").into_iter().flat_map(str::lines).filter_map(|line| line.strip_prefix("| `"));
    let codes = rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned()));
    kinds.chain(codes).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_program_contains_every_page_of_the_guide_and_the_reference() {
        let mut missing = Vec::new();
        for folder in ["docs/guide", "docs/reference"] {
            for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                // The commands describe themselves.
                missing.extend(
                    name.strip_suffix(".md").filter(|name| *name != "cli" && page(name).is_none()).map(str::to_owned),
                );
            }
        }
        assert_eq!(missing, [""; 0], "name them in PAGES");
    }

    #[test]
    fn a_type_of_activity_and_the_code_of_a_problem_have_a_part_of_their_own() {
        assert!(section("dedupe").unwrap().starts_with("## dedupe"));
        assert!(!section("start").unwrap().contains("## end"));
        assert!(section("unknown-key").unwrap().contains("Fix: "));
        assert!(sections().iter().all(|name| section(name).is_some()), "{:?}", sections());
        assert_eq!(section("nothing"), None);
    }
}
