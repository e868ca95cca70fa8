//! Links within the repository lead somewhere, and tests that a page names exist.

use std::path::{Component, Path, PathBuf};

use crate::files::{below, root, text};

#[test]
fn every_link_of_a_page_leads_to_a_file_and_a_heading_of_it() {
    let mut broken = Vec::new();
    for page in below("", "md") {
        for link in links(&text(&page)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => PathBuf::from(&page),
                file => resolved(&Path::new(&page).parent().unwrap().join(file)),
            };
            if !root().join(&target).exists() {
                broken.push(format!("{page}: {link}"));
            } else if !heading.is_empty() && !headings(&target).iter().any(|found| found == heading) {
                broken.push(format!("{page}: {link} (no such heading)"));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

/// What stands in `[…](here)`, code left out.
fn links(page: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(page) {
        let mut rest = line.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let Some((link, further)) = after.split_once(')') else { break };
            links.push(link.to_owned());
            rest = further;
        }
    }
    links
}

/// The lines outside of fenced blocks, without what stands in backticks.
fn prose(page: &str) -> Vec<String> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push(line.split('`').step_by(2).collect::<Vec<_>>().join("`"));
        }
    }
    lines
}

/// As the hosts of repositories make anchors of headings: small letters, digits, and a dash for each space.
fn headings(page: &Path) -> Vec<String> {
    let text = text(&page.to_string_lossy());
    let mut fenced = false;
    let mut headings = Vec::new();
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        let Some((marks, heading)) = line.split_once(' ').filter(|_| !fenced) else { continue };
        if !marks.is_empty() && marks.chars().all(|c| c == '#') {
            let kept = heading.trim().to_lowercase();
            let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            headings.push(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    headings
}

fn resolved(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

/// A page names a test as `path/to/file.rs::name`.
#[test]
fn every_test_that_a_page_names_exists() {
    let mut missing = Vec::new();
    for page in below("docs", "md").into_iter().chain(["README.md".to_owned()]) {
        let text = text(&page);
        for named in text.split('`').skip(1).step_by(2).filter(|code| code.contains(".rs::")) {
            let (file, test) = named.split_once("::").unwrap();
            let found = std::fs::read_to_string(root().join(file)).unwrap_or_default();
            if !found.contains(&format!("fn {test}(")) {
                missing.push(format!("{page}: {named}"));
            }
        }
    }
    assert!(missing.is_empty(), "tests that are named but not there:\n{}", missing.join("\n"));
}
