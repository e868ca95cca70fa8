//! Numbers with their nouns, for messages.

/// The noun for so many, such as `record` for 1 and `records` for 0 or 2; its plural must be regular.
pub fn noun(number: u64, one: &str) -> String {
    if number == 1 {
        return one.to_owned();
    }
    match one.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u'])) {
        Some(stem) => format!("{stem}ies"),
        None if one.ends_with(['s', 'x']) || one.ends_with("ch") => format!("{one}es"),
        None => format!("{one}s"),
    }
}

/// A number and its noun: `1 record`, `2 records`.
pub fn counted(number: impl TryInto<u64>, one: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {}", noun(number, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_nothing_else_is() {
        assert_eq!([0_u64, 1, 2].map(|n| counted(n, "record")), ["0 records", "1 record", "2 records"]);
        let regular = ["batch", "activity", "day", "index"].map(|one| noun(2, one));
        assert_eq!(regular, ["batches", "activities", "days", "indexes"]);
    }
}
