//! Why a job refused a record, from the text in its results.

use super::Said;

/// `REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --`
pub(super) fn said(text: &str) -> Said {
    let text = text.trim().trim_end_matches("--").trim_end();
    let (code, rest) = text.split_once(':').unwrap_or(("", text));
    let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if !is_code {
        return Said { error_code: String::new(), message: text.to_owned(), fields: Vec::new() };
    }
    let (message, fields) = rest.rsplit_once(':').unwrap_or((rest, ""));
    let names: Vec<String> =
        fields.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    let is_name = |name: &String| {
        // An id after the last colon of a message is no field.
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b))
    };
    let are_names = names.iter().all(is_name);
    let (message, fields) = if are_names { (message, names) } else { (rest, Vec::new()) };
    Said { error_code: code.to_owned(), message: message.to_owned(), fields }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_refusal_is_taken_apart_whatever_its_message_holds() {
        for (text, code, message, fields) in [
            (
                "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --",
                "REQUIRED_FIELD_MISSING",
                "Required fields are missing: [LastName]",
                vec!["LastName"],
            ),
            (
                "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access:--",
                "UNABLE_TO_LOCK_ROW",
                "unable to obtain exclusive access",
                vec![],
            ),
            (
                "DUPLICATE_VALUE:duplicate value found: Ext__c duplicates value on record with id: 003000000000001 --",
                "DUPLICATE_VALUE",
                "duplicate value found: Ext__c duplicates value on record with id: 003000000000001",
                vec![],
            ),
            ("something else", "", "something else", vec![]),
            ("", "", "", vec![]),
        ] {
            let said = said(text);
            assert_eq!((said.error_code.as_str(), said.message.as_str()), (code, message));
            assert_eq!(said.fields, fields);
        }
    }
}
