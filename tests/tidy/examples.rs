//! The page of examples names each of them, and none that is not there.

use std::collections::BTreeSet;

use crate::files::{below, text};

#[test]
fn the_page_of_examples_names_each_and_none_besides() {
    let workflows = below("workflows", "json").into_iter().filter(|file| !file.ends_with(".test.json"));
    let there: BTreeSet<String> =
        workflows.map(|file| file.trim_start_matches("workflows/").trim_end_matches(".json").to_owned()).collect();
    let page = text("docs/guide/examples.md");
    // The last cell of each row of the table.
    let cells = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit_once(" | "));
    let named: BTreeSet<String> =
        cells.flat_map(|(_, cell)| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect();
    assert_eq!(named, there, "docs/guide/examples.md and workflows/ do not have the same examples");
}
