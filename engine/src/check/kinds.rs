//! The type of activity that was probably meant.

use crate::activity::{Palette, Spec};
use crate::problem::did_you_mean;

/// The most types that are suggested.
const SUGGESTED_MAX: usize = 3;

/// The type that was misspelt, else those that come nearest by meaning, and all that there are.
pub(super) fn suggestion(wrong: &str, palette: Palette) -> String {
    let all: Vec<&str> = palette.iter().map(|spec| spec.kind).collect();
    if let Some(kind) = did_you_mean(wrong, all.iter().copied()) {
        return format!("did you mean \"{kind}\"?");
    }
    let all = format!("there are: {}", all.join(", "));
    let near = near(wrong, palette);
    match near.as_slice() {
        [] => all,
        near => {
            let quoted: Vec<String> = near.iter().map(|kind| format!("\"{kind}\"")).collect();
            format!("did you mean {}? {all}", quoted.join(" or "))
        }
    }
}

/// The types that come nearest by meaning.
fn near(wrong: &str, palette: Palette) -> Vec<&'static str> {
    let words = words(wrong);
    let mut scored: Vec<(usize, &'static str)> = palette.iter().map(|spec| (score(&words, spec), spec.kind)).collect();
    // Of types that score alike, the first in the palette comes first.
    scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    let best = scored.first().map_or(0, |(score, _)| *score);
    let alike = scored.into_iter().filter(|(score, _)| best > 0 && *score == best);
    alike.take(SUGGESTED_MAX).map(|(_, kind)| kind).collect()
}

/// How many of these words a type goes by, here or elsewhere; a misspelt one counts half.
fn score(wanted: &[String], spec: &Spec) -> usize {
    let own = words(spec.kind);
    let of_word = |word: &String| match own.contains(word) || spec.elsewhere.contains(&word.as_str()) {
        true => 2,
        false => usize::from(did_you_mean(word, spec.elsewhere.iter().copied()).is_some()),
    };
    wanted.iter().map(of_word).sum()
}

/// `salesforceImport` and `salesforce.import` are the words `salesforce` and `import`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for c in name.chars().take(64) {
        let begins = !c.is_alphanumeric() || (c.is_uppercase() && was_small);
        was_small = c.is_lowercase();
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
