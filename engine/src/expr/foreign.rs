//! What people write who come from SQL, Excel, JavaScript or Python, and what it is called here.

use super::functions::FUNCTIONS;
use super::parse::nearest;

/// What to write instead of a function of another language. Opposites come before names that only look alike.
const FUNCTIONS_ELSEWHERE: &[(&[&str], &str)] = &[
    (&["length", "strlen", "size", "count", "char_length"], "`len(x)`"),
    (&["lcase", "tolower", "lowercase", "to_lower", "casefold"], "`lower(x)`"),
    (&["ucase", "toupper", "uppercase", "to_upper"], "`upper(x)`"),
    (&["ltrim", "rtrim", "strip", "trim_start", "trim_end"], "`trim(x)`"),
    (&["substr", "substring", "mid", "slice"], "`sub_string(x, start, length)`"),
    (&["left"], "`sub_string(x, 0, length)`"),
    (&["right"], "`sub_string(x, -length)`"),
    (&["concatenate", "join", "group_concat"], "`concat(a, b)`"),
    (&["ifnull", "nvl", "if_null", "zn", "default"], "`coalesce(x, otherwise)`"),
    (&["str", "string", "tostring", "to_string", "text", "cast", "convert"], "`to_text(x)`"),
    (&["int", "integer", "parse_int", "parseint", "number", "to_number"], "`to_int(x)`, or `to_decimal(x)`"),
    (&["float", "double", "decimal", "parse_float", "parsefloat", "to_float", "numeric"], "`to_decimal(x)`"),
    (&["startswith", "begins_with", "beginswith", "has_prefix"], "`starts_with(x, \"part\")`"),
    (&["endswith", "has_suffix"], "`ends_with(x, \"part\")`"),
    (
        &[
            "includes",
            "like",
            "ilike",
            "instr",
            "index_of",
            "indexof",
            "find",
            "position",
            "charindex",
            "matches",
            "regexp",
        ],
        "`contains(x, \"part\")`",
    ),
    (&["iif", "iff", "decode", "choose"], "`if condition { a } else { b }`"),
    (&["getdate", "current_date", "curdate", "sysdate"], "`today()`"),
    (&["current_timestamp", "getutcdate", "utcnow"], "`now()`"),
    (&["datediff", "date_diff", "days"], "`days_between(from, to)`"),
    (&["dateadd", "date_add", "adddays", "date_sub"], "`add_days(date, days)`"),
    (&["todate", "to_date", "parse_date", "datevalue"], "`date(x)`"),
    (&["to_datetime", "to_timestamp", "timestamp", "parse_datetime"], "`datetime(x)`"),
    (&["equals_ignore_case", "equalsignorecase", "ieq", "iequals"], "`eq_ci(a, b)`"),
    (&["least"], "`min(a, b)`"),
    (&["greatest"], "`max(a, b)`"),
    (&["isnull", "is_null", "is_nil", "is_none"], "`x == ()`"),
    (&["isblank", "is_blank", "blank", "empty", "isempty"], "`is_empty(x)`"),
    (
        &[
            "is_filled",
            "is_present",
            "present",
            "exists",
            "is_set",
            "has_value",
            "hasvalue",
            "isset",
            "notnull",
            "isnotnull",
            "is_not_null",
            "not_null",
            "isnotempty",
            "notempty",
            "isnotblank",
            "is_not_blank",
            "not_blank",
        ],
        "`!is_empty(x)`",
    ),
    (&["not"], "`!x`"),
    (&["and"], "`a && b`"),
    (&["or"], "`a || b`"),
];

/// Beginnings that turn what a function says into its opposite.
const NEGATIONS: &[&str] = &["is_not_", "does_not_", "doesnt_", "not_", "isnt_"];

/// What to write instead of a function that does not exist.
pub(crate) fn function(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    if let Some((_, here)) = FUNCTIONS_ELSEWHERE.iter().find(|(elsewhere, _)| elsewhere.contains(&lower.as_str())) {
        return Some(format!("write {here}"));
    }
    let positive = NEGATIONS.iter().find_map(|negation| lower.strip_prefix(negation));
    if let Some(positive) = positive {
        // `is_not_empty` is the opposite of `is_empty`, `does_not_contain` of `contains`.
        let words = [positive.to_owned(), format!("is_{positive}"), format!("{positive}s")];
        let function = words.iter().find_map(|word| FUNCTIONS.iter().find(|function| function.name == word));
        let signature = function.map(|function| format!("write `!{}`", function.signature()));
        return Some(signature.unwrap_or_else(|| "`!` negates: `!is_empty(x)`".to_owned()));
    }
    nearest(name, FUNCTIONS.iter().map(|function| function.name)).map(|near| format!("did you mean `{near}`?"))
}

/// What to write instead of an operator or a word of another language.
pub(crate) fn word(word: &str) -> Option<&'static str> {
    Some(match word.to_lowercase().as_str() {
        "and" => "write `a && b`",
        "or" => "write `a || b`",
        "not" => "write `!condition`; of a list, `!(x in [1, 2])`",
        "xor" => "write `a != b`",
        "eq" | "===" => "write `==`",
        "ne" | "<>" | "!==" | "neq" => "write `!=`",
        "gt" => "write `>`",
        "ge" | "gte" => "write `>=`",
        "lt" => "write `<`",
        "le" | "lte" => "write `<=`",
        "is" => "write `x == ()` for null, `x != ()` otherwise",
        "isnull" => "write `x == ()`",
        "like" | "ilike" | "similar" | "regexp" | "rlike" | "matches" | "~" | "=~" => {
            "write `contains(x, \"part\")`, `starts_with(x, \"part\")` or `ends_with(x, \"part\")`"
        }
        "contains" | "includes" => "write `contains(x, \"part\")`",
        "startswith" | "starts_with" => "write `starts_with(x, \"part\")`",
        "endswith" | "ends_with" => "write `ends_with(x, \"part\")`",
        "in" => "write `x in [1, 2]`, with square brackets",
        "between" => "write two comparisons: `x >= 1 && x <= 5`",
        "case" | "when" | "then" | "end" | "?" | "elif" | "elsif" => "write `if condition { a } else { b }`",
        "**" | "^" | "mod" | "div" => "expressions have `+ - * / %`",
        _ => return None,
    })
}

/// What follows a word at a place.
pub(super) fn after(text: &str, at: Option<usize>, word: &str) -> String {
    text.chars().skip(at.unwrap_or(usize::MAX).saturating_add(word.chars().count())).collect()
}

/// The word of another language at a place or just before it, and what to write instead.
pub(super) fn at(text: &str, at: Option<usize>) -> Option<(String, &'static str)> {
    let at = at.unwrap_or_else(|| text.chars().count());
    let (before, rest): (String, String) = (text.chars().take(at).collect(), text.chars().skip(at).collect());
    let of_word = |c: &char| c.is_alphanumeric() || *c == '_';
    let of_sign = |c: &char| "=<>!~*^?".contains(*c);
    let last = |is: &dyn Fn(&char) -> bool| -> String {
        let reversed: Vec<char> = before.trim_end().chars().rev().take_while(is).collect();
        reversed.into_iter().rev().collect()
    };
    let here = |is: &dyn Fn(&char) -> bool| -> String { rest.chars().take_while(is).collect() };
    let signs = format!("{}{}", last(&of_sign), here(&of_sign));
    // `x in (1, 2)` fails at the comma.
    let opened = before.rfind('(').map(|open| before[..open].trim_end());
    let list = opened.and_then(|before| before.rsplit(|c| !of_word(&c)).next()).filter(|word| *word == "in");
    let words = [here(&of_word), here(&of_sign), signs, last(&of_word), list.unwrap_or_default().to_owned()];
    words.into_iter().find_map(|word| self::word(&word).map(|help| (word, help)))
}

/// Whether it looks as if a constant text was meant, such as `New York` or `n/a`.
pub(super) fn is_plain_text(text: &str) -> bool {
    text.chars().any(char::is_alphabetic) && text.chars().all(|c| c.is_alphanumeric() || " -_/.,:'&".contains(c))
}

/// How a constant text is written as an expression in a workflow file, where the quotes of the file need their own.
pub(super) fn constant_text(text: &str) -> String {
    format!("a constant text is written {}", serde_json::Value::from(format!("{text:?}")))
}
