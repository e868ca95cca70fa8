//! The codes by which Dataverse refuses a record: their readable names, and what now.

/// What is known of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dynamics) struct Cure {
    /// As it is spelled on the wire, in small letters.
    pub(in crate::dynamics) code: &'static str,
    /// Its name in Microsoft's list of Web service error codes.
    pub(in crate::dynamics) symbol: &'static str,
    /// What now.
    pub(in crate::dynamics) help: &'static str,
}

/// There is no such record.
pub(in crate::dynamics) const MISSING: &str = "0x80040217";
/// A record with this id is there already.
pub(in crate::dynamics) const EXISTS: &str = "0x80040237";

const fn cure(code: &'static str, symbol: &'static str, help: &'static str) -> Cure {
    Cure { code, symbol, help }
}

/// Codes with which a single record is refused, by code.
const CURES: &[Cure] = &[
    cure(
        "0x80040201",
        "InvalidAttributeValue",
        "correct the field's value to one that the column's type and list of choices take, then send the record again",
    ),
    cure(
        "0x80040203",
        "InvalidArgument",
        "the message names the value that makes no sense to the CRM: correct it and send the record again",
    ),
    cure(
        "0x80040216",
        "UnExpected",
        "the CRM failed inside: send the record again later; if it stays, show the message to the CRM's administrator",
    ),
    cure(
        MISSING,
        "ObjectDoesNotExist",
        "the record, or one that it refers to, is not there: it was deleted or merged, or its id is of another \
         environment; look the id up anew, or leave the record out",
    ),
    cure("0x80040224", "IsvUnExpected", "a plug-in of the CRM failed: show the message to who looks after it"),
    cure(
        EXISTS,
        "DuplicateRecord",
        "a record with this id is there already: update it, or upsert by its key, instead of inserting it",
    ),
    cure(
        "0x80040265",
        "IsvAborted",
        "a plug-in of the CRM has refused the record by a rule of its own: correct what its message names",
    ),
    cure(
        "0x80040333",
        "DuplicateRecordsFound",
        "a rule against duplicates in the CRM has found a similar record: merge the two, update that one, or say \
         `\"duplicateRules\": \"ignore\"`",
    ),
    cure(
        "0x8004431a",
        "PicklistValueOutOfRange",
        "the number is not in the column's list of choices: `discover` lists them; map the value to one of these",
    ),
    cure("0x80044330", "ValueOutOfRange", "bring the number within the column's limits, then send the record again"),
    cure(
        "0x80044331",
        "StringLengthTooLong",
        "shorten the text to the length that the column takes, then send it again",
    ),
    cure(
        "0x80048306",
        "PrivilegeDeniedOnRecord",
        "the application user may not write this record: give its security role the right for all business units, or \
         share the record with it",
    ),
    cure(
        "0x80048408",
        "InvalidStateCodeStatusCode",
        "state and status reason do not fit each other: send the pair that the CRM's form offers",
    ),
    cure(
        "0x80048d19",
        "BadRequestPayload",
        "the field's value is not of the column's type: convert it in the mapping, then send the record again",
    ),
    cure(
        "0x80060882",
        "ConcurrencyVersionMismatch",
        "somebody changed the record in the meantime: read it anew, then send it again",
    ),
    cure(
        "0x80060888",
        "InvalidODataRequest",
        "the message names what the CRM does not understand: correct the mapping, then send the record again",
    ),
    cure(
        "0x80060891",
        "RecordNotFoundByEntityKey",
        "no record has this value of the alternate key: correct it, or say `\"operation\": \"upsert\"`",
    ),
    cure(
        "0x80060892",
        "DuplicateRecordEntityKey",
        "another record has this value of an alternate key: upsert by that key, or correct the value",
    ),
    cure(
        "0x80073002",
        "CrmSQLUniqueIndexOrConstraintViolation",
        "another record has this unique value: find it in the CRM and update it instead",
    ),
];

/// What is known of a code; letters may be large or small.
pub(in crate::dynamics) fn cure_of(code: &str) -> Option<&'static Cure> {
    CURES.iter().find(|cure| cure.code.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_once_and_in_order() {
        assert!(CURES.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert_eq!(cure_of("0x8004431A").map(|cure| cure.symbol), Some("PicklistValueOutOfRange"));
    }
}
