//! Expressions: our evaluation of whole columns against Rhai's interpreter, record by record.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListBuilder,
    RecordBatch, StringArray, StringBuilder, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use engine::expr::{FUNCTIONS, Source, Value, Values};
use engine::script::eval_record;
use engine::types::Type;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::collection::vec;
use proptest::prelude::*;
use rust_decimal::Decimal;

fn values() -> Values {
    let now: Timestamp = "2026-03-03T10:00:00Z".parse().unwrap();
    Values::empty(now)
}

fn records(batch: &RecordBatch) -> Vec<BTreeMap<String, Value>> {
    let names: Vec<String> = batch.schema().fields().iter().map(|f| f.name().clone()).collect();
    let value = |row| move |(i, name): (usize, &String)| (name.clone(), Value::at(batch.column(i), row));
    (0..batch.num_rows()).map(|row| names.iter().enumerate().map(value(row)).collect()).collect()
}

/// The contacts N1 to N5 of AC-5.
fn contacts() -> RecordBatch {
    let marketing = Some("Marketing");
    let columns: [(&str, ArrayRef); 6] = [
        ("department", Arc::new(StringArray::from(vec![marketing, marketing, Some("Sales"), Some("marketing"), None]))),
        ("jobtitle", Arc::new(StringArray::from(vec![Some("CMO"), None, None, Some("CMO"), None]))),
        ("new_number", Arc::new(Int32Array::from(vec![Some(10), Some(10), Some(60000), Some(10), None]))),
        // 2012-10-31 and the two days after it.
        ("new_activity", Arc::new(Date32Array::from(vec![Some(15644), Some(15645), Some(15646), None, None]))),
        ("emailaddress1", Arc::new(StringArray::from(vec![Some("a@example.com"); 5]))),
        ("lastname", Arc::new(StringArray::from(vec![Some("Ada"); 5]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

#[test]
fn filters_choose_the_records_that_ac_5_names() {
    let mut values = values();
    values.options.insert("FLOOR".to_owned(), "50000".to_owned());
    let batch = contacts();
    for (filter, wanted) in [
        ("is_empty(department)", "N5"),
        ("new_number > 50051", "N3"),
        (
            r#"department == "Marketing" && !is_empty(emailaddress1) && !is_empty(jobtitle) && !is_empty(lastname) || new_number > 50051"#,
            "N1 N3",
        ),
        (r#"!(department == "Marketing")"#, "N3 N4 N5"),
        ("len(department) > 5 && new_number == 10", "N1 N2 N4"),
        (r#"new_number > option("FLOOR")"#, "N3"),
        (r#"department == "O'Neil""#, ""),
        (r#"new_activity >= date("2012-11-01")"#, "N2 N3"),
        (r#"new_activity > date("2012-11-01")"#, "N3"),
    ] {
        let bound = Source::from(filter).bind(batch.schema_ref()).unwrap();
        let ours = bound.matches(&batch, &values).unwrap();
        let named = |rows: Vec<bool>| {
            let rows = rows.iter().enumerate().filter(|(_, yes)| **yes);
            rows.map(|(i, _)| format!("N{}", i + 1)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(named(ours.values().iter().collect()), wanted, "ours: {filter}");
        let rhai =
            records(&batch).iter().map(|r| eval_record(filter, r, &values).unwrap() == Value::Bool(true)).collect();
        assert_eq!(named(rhai), wanted, "the interpreter: {filter}");
    }
}

#[test]
fn the_example_of_each_function_is_true() {
    let one = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    for function in FUNCTIONS {
        let example = Source::from(function.example);
        let bound = example.bind(one.schema_ref()).unwrap_or_else(|e| panic!("{}: {e:?}", function.example));
        assert!(bound.matches(&one, &values()).unwrap().value(0), "{}", function.example);
        let rhai = eval_record(function.example, &BTreeMap::new(), &values());
        assert_eq!(rhai, Ok(Value::Bool(true)), "{}", function.example);
        assert!(function.example.contains(&format!("{}(", function.name)), "{}", function.name);
    }
}

/// Where and what each broken expression is told.
#[test]
fn a_broken_expression_is_told_where_what_and_what_now() {
    let batch = wide(0);
    let mut told = String::new();
    for text in [
        "department ==",
        "name = \"Ada\"",
        "name == 'Ada'",
        "name == \"Ada",
        "lowr(name) == \"ada\"",
        "nam == \"Ada\"",
        "number > \"4\"",
        "day >= \"2012-11-01\"",
        "at >= date(\"2012-11-01\")",
        "date(\"2012-13-01\") == day",
        "number && flag",
        "name",
        "flag and number > 1",
        "number > ()",
        "default == 1",
        "until > at",
        "let x = 5; x",
        "len(name, 1, 2) > 1",
        "name + 1 == \"a1\"",
        "sub_string(name, \"1\") == nmae && contains(day, \"x\")",
        "option(name) == \"x\"",
    ] {
        let source = Source::from(text);
        let mut errors =
            source.bind(batch.schema_ref()).map_or_else(|e| e, |b| b.require(&Type::Bool).err().into_iter().collect());
        errors.iter_mut().for_each(|e| assert_ne!(e.help.as_deref(), Some(""), "{text}"));
        told.push_str(&format!("{text}\n"));
        for error in errors {
            let at = error.at.map_or("end".to_owned(), |at| at.to_string());
            told.push_str(&format!("  {at}: {}; {}\n", error.message, error.help.unwrap_or_default()));
        }
    }
    insta::assert_snapshot!(told, @"");
}

#[test]
fn an_expression_that_is_too_long_or_too_deep_is_refused() {
    // A worker's stack, where `check` reads expressions.
    let small = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let read = || {
        let error = |text: String| Source::from(text).parse().unwrap_err().message;
        [
            error("1+".repeat(2000) + "1"),
            error("(".repeat(2000) + "1"),
            error("!".repeat(4000) + "flag"),
            error("1+".repeat(5000) + "1"),
        ]
    };
    let messages = small.spawn(read).unwrap().join().unwrap();
    for (message, wanted) in messages.iter().zip(["deep", "deep", "deep", "long"]) {
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn what_cannot_be_computed_names_the_first_record() {
    let numbers =
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![4, 2, 0, 0])) as ArrayRef)]).unwrap();
    let eval = |text: &str| {
        let bound = Source::from(text).bind(numbers.schema_ref()).unwrap();
        bound.eval(&numbers, &values()).map_err(|e| (e.row, e.at, e.message))
    };
    assert_eq!(eval("100 / n").unwrap_err(), (Some(2), Some(4), "100 is divided by zero".to_owned()));
    assert_eq!(eval("n + 9223372036854775807").unwrap_err().0, Some(0));
    assert!(eval("n != 0 && 100 / n > 30").is_ok());
    assert!(eval("if n == 0 { 0 } else { 100 / n }").is_ok());
    assert_eq!(eval("n < 3 && 100 / n > 30").unwrap_err().0, Some(2), "the row is that of the whole batch");
}

#[test]
fn a_variable_becomes_what_it_meets_or_says_why_not() {
    let batch = wide(0);
    let mut values = values();
    for (name, json) in [
        ("n", serde_json::json!("12")),
        ("bad", serde_json::json!("abc")),
        ("end", serde_json::json!("2026/03/03 10:00:00")),
    ] {
        values.vars.insert(name.to_owned(), json);
    }
    let resolved = |text: &str| {
        let bound = Source::from(text).bind(batch.schema_ref()).unwrap();
        bound.resolve(&values).map(|b| format!("{:?}", b.expr())).map_err(|e| e.message)
    };
    assert_eq!(resolved("number > vars.n").unwrap(), resolved("number > 12").unwrap());
    assert_eq!(resolved("at < vars.end").unwrap(), resolved(r#"at < datetime("2026-03-03T10:00:00Z")"#).unwrap());
    assert_eq!(
        resolved("at > add_days(now(), -1)").unwrap(),
        resolved(r#"at > datetime("2026-03-02T10:00:00Z")"#).unwrap()
    );
    assert_eq!(resolved("number > vars.bad").unwrap_err(), "vars.bad is \"abc\", which is not a whole number");
    assert_eq!(resolved("vars.missing == ()").unwrap(), resolved("() == ()").unwrap());
}

/// Records with every type, nulls, letters beyond ASCII, and dates around a change of the clock.
fn wide(turn: usize) -> RecordBatch {
    const ROWS: usize = 23;
    fn column<T: Clone>(pool: &[T], step: usize, turn: usize) -> Vec<T> {
        (0..ROWS).map(|row| pool[(row * step + turn) % pool.len()].clone()).collect()
    }
    let texts = [
        None,
        Some(""),
        Some("ada"),
        Some("Ada"),
        Some("ZOË"),
        Some("zoë"),
        Some(" a b "),
        Some("ﬀ"),
        Some("10"),
        Some("İ@x"),
    ];
    let days = [None, Some(0), Some(15645), Some(15646), Some(-1), Some(20000)];
    let instants =
        [None, Some(0), Some(1_774_745_999_000_000), Some(1_774_746_000_000_000), Some(1_792_890_000_123_456)];
    let decimals = [None, Some(0i128), Some(502_500), Some(-25_000), Some(10_000), Some(9_999_999_999_999_999)];
    let mut lists = ListBuilder::new(StringBuilder::new());
    for items in column(&[None, Some(vec![]), Some(vec!["ada"]), Some(vec!["Ada", "x"])], 1, turn) {
        match items {
            Some(items) => lists.append_value(items.into_iter().map(Some)),
            None => lists.append_null(),
        }
    }
    let money = Decimal128Array::from(column(&decimals, 5, turn)).with_precision_and_scale(19, 4).unwrap();
    let exact = Decimal128Array::from(column(&decimals, 7, turn)).with_precision_and_scale(38, 10).unwrap();
    let columns: [(&str, ArrayRef); 14] = [
        ("name", Arc::new(StringArray::from(column(&texts, 3, turn)))),
        ("First Name", Arc::new(StringArray::from(column(&texts, 7, turn)))),
        ("number", Arc::new(Int32Array::from(column(&[None, Some(0), Some(10), Some(-3), Some(7)], 3, turn)))),
        (
            "big",
            Arc::new(Int64Array::from(column(
                &[None, Some(0), Some(10), Some(i64::MAX), Some(i64::MIN), Some(3)],
                5,
                turn,
            ))),
        ),
        ("money", Arc::new(money)),
        ("exact", Arc::new(exact)),
        (
            "ratio",
            Arc::new(Float64Array::from(column(
                &[None, Some(0.0), Some(-0.0), Some(0.1), Some(10.0), Some(-2.5), Some(1e300)],
                3,
                turn,
            ))),
        ),
        ("flag", Arc::new(BooleanArray::from(column(&[None, Some(true), Some(false)], 1, turn)))),
        ("day", Arc::new(Date32Array::from(column(&days, 5, turn)))),
        ("at", Arc::new(TimestampMicrosecondArray::from(column(&instants, 3, turn)).with_timezone("UTC"))),
        ("since", Arc::new(TimestampMicrosecondArray::from(column(&instants, 2, turn)).with_timezone("UTC"))),
        ("local", Arc::new(TimestampMicrosecondArray::from(column(&instants, 4, turn)))),
        (
            "clock",
            Arc::new(Time64MicrosecondArray::from(column(
                &[None, Some(0), Some(36_000_000_000), Some(86_399_999_999)],
                3,
                turn,
            ))),
        ),
        ("tags", Arc::new(lists.finish())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

/// Makes an expression from bytes; the first choice is always the simplest, so that a failing one shrinks.
struct Writer<'a>(std::slice::Iter<'a, u8>);

impl Writer<'_> {
    fn pick<'p>(&mut self, of: &[&'p str]) -> &'p str {
        of[usize::from(*self.0.next().unwrap_or(&0)) % of.len()]
    }

    /// `pattern` with each `%x` replaced by an expression of kind `x`.
    fn write(&mut self, kind: char, depth: usize) -> String {
        let shallow = usize::from(depth == 0);
        let patterns: [&[&str]; 2] = match kind {
            'b' => [
                &[
                    "%t %o %t",
                    "%i %o %i",
                    "%m %o %m",
                    "%m %o %i",
                    "%f %o %f",
                    "%f %o %m",
                    "%d %o %d",
                    "%p %o %p",
                    "%l %o %l",
                    "%c %o %c",
                    "%b && %b",
                    "%b || %b",
                    "!(%b)",
                    "%t in [%t, \"ada\", ()]",
                    "%i in [10, %i]",
                    "is_empty(%t)",
                    "is_empty(tags)",
                    "contains(%t, %t)",
                    "contains(tags, %t)",
                    "%t in tags",
                    "starts_with(%t, %t)",
                    "ends_with(%t, %t)",
                    "eq_ci(%t, %t)",
                    "flag %o true",
                    "%t == ()",
                    "%m != ()",
                    "if %b { %b } else { %b }",
                    "%i %o vars.n",
                    "%t == vars.t",
                    "%d %o vars.d",
                    "%p %o option(\"at\")",
                    "%i > option(\"n\")",
                    "(%b) == (%b)",
                ],
                &["name == \"ada\"", "number > 3", "flag == true", "is_empty(name)"],
            ],
            't' => [
                &[
                    "lower(%t)",
                    "upper(%t)",
                    "trim(%t)",
                    "%t + %t",
                    "concat(%t, %i, %d, %m)",
                    "sub_string(%t, %s)",
                    "sub_string(%t, %s, 2)",
                    "before(%t, \"a\")",
                    "after(%t, \"@\")",
                    "replace(%t, \"a\", %t)",
                    "coalesce(%t, %t)",
                    "(%t ?? %t)",
                    "to_text(%p)",
                    "to_text(%f)",
                    "to_text(%m)",
                    "to_text(%b)",
                    "if %b { %t } else { %t }",
                    "min(%t, %t)",
                    "name.trim().upper()",
                    "`<${name}>`",
                ],
                &["name", "field(\"First Name\")", "\"ada\"", "\"\"", "\"É\""],
            ],
            'i' => [
                &[
                    "(%i + %i)",
                    "(%i - %i)",
                    "(%i * %i)",
                    "(%i / %i)",
                    "(%i % %i)",
                    "-(%i)",
                    "len(%t)",
                    "len(tags)",
                    "year(%d)",
                    "month(%p)",
                    "day(%l)",
                    "days_between(%d, %p)",
                    "abs(%i)",
                    "min(%i, %i)",
                    "max(%i, %i, 3)",
                    "to_int(%m)",
                    "to_int(%f)",
                    "coalesce(%i, 0)",
                    "if %b { %i } else { %i }",
                    "round(%i)",
                ],
                &["number", "big", "10", "0", "-3"],
            ],
            's' => [&["0", "1", "-1", "2"], &["0", "1", "-1", "2"]],
            'm' => [
                &[
                    "(%m + %m)",
                    "(%m - %i)",
                    "(%m * 1.5)",
                    "(%m / %m)",
                    "(%m % 3.3)",
                    "-(%m)",
                    "round(%m, 1)",
                    "round(%m)",
                    "abs(%m)",
                    "max(%m, %m)",
                    "to_decimal(%i)",
                    "coalesce(%m, %m)",
                    "if %b { %m } else { %m }",
                ],
                &["money", "exact", "50.25", "-2.5"],
            ],
            'f' => [
                &[
                    "(%f + %f)",
                    "(%f * %m)",
                    "(%f / %f)",
                    "-(%f)",
                    "abs(%f)",
                    "round(%f, 1)",
                    "min(%f, %f)",
                    "coalesce(%f, ratio)",
                    "if %b { %f } else { %f }",
                ],
                &["ratio", "(ratio + 0.1)"],
            ],
            'd' => [
                &[
                    "add_days(%d, %s)",
                    "date(%p)",
                    "date(%l)",
                    "today()",
                    "coalesce(%d, %d)",
                    "max(%d, %d)",
                    "if %b { %d } else { %d }",
                ],
                &["day", "date(\"2012-11-01\")"],
            ],
            'p' => [
                &[
                    "add_days(%p, %s)",
                    "datetime(%d)",
                    "datetime(%l)",
                    "now()",
                    "min(%p, %p)",
                    "if %b { %p } else { %p }",
                ],
                &["at", "since", "datetime(\"2026-03-29T01:00:00Z\")"],
            ],
            'l' => [&["add_days(%l, %s)", "coalesce(%l, %l)"], &["local", "datetime(\"2026-03-29T02:30:00\")"]],
            'c' => [&["time(%p)", "time(%l)"], &["clock", "time(\"10:00\")"]],
            _ => [&["==", "!=", "<", "<=", ">", ">="], &["==", "!=", "<", "<=", ">", ">="]],
        };
        // A leaf is the first choice of all.
        let leaf = shallow == 1 || self.pick(&["leaf", "more", "more", "more"]) == "leaf";
        let pattern = self.pick(patterns[usize::from(leaf)]);
        let mut out = String::new();
        let mut chars = pattern.chars().peekable();
        while let Some(char) = chars.next() {
            match (char, chars.peek().copied()) {
                ('%', Some(kind)) if kind.is_alphabetic() => {
                    chars.next();
                    out.push_str(&self.write(kind, depth.saturating_sub(1)));
                }
                _ => out.push(char),
            }
        }
        out
    }
}

/// The same value, where numbers of several kinds are equal and a column keeps so many digits only.
fn same(ours: &Value, rhai: &Value) -> bool {
    let number = |v: &Value| match v {
        Value::Int(v) => Some(Decimal::from(*v)),
        Value::Decimal(v) => Some(*v),
        _ => None,
    };
    match (ours, rhai) {
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Decimal(a), b) if number(b).is_some() => {
            (a - number(b).unwrap()).abs() * Decimal::TWO <= Decimal::new(1, a.scale())
        }
        _ => ours == rhai,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whole_columns_agree_with_the_interpreter(tape in vec(any::<u8>(), 0..40), kind in 0usize..9, turn in 0usize..5, zone in 0usize..3) {
        let batch = wide(turn);
        let kind = ['b', 't', 'i', 'm', 'f', 'd', 'p', 'l', 'c'][kind];
        let text = Writer(tape.iter()).write(kind, 3);
        let mut values = values();
        values.zone = TimeZone::get(["UTC", "Europe/Paris", "America/St_Johns"][zone]).unwrap();
        values.vars = serde_json::from_str(r#"{"n": 10, "t": "ada", "d": "2012/11/01"}"#).unwrap();
        values.options = [("at".to_owned(), "2026/03/29 01:00:00".to_owned()), ("n".to_owned(), "7.5".to_owned())].into();

        let bound = Source::from(text.as_str()).bind(batch.schema_ref()).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let record = records(&batch);
        match bound.eval(&batch, &values) {
            Err(error) => {
                let row = error.row.unwrap_or_else(|| panic!("{text}: {error:?}"));
                // A result that does not fit its column is no error of the interpreter.
                let fits = error.message.contains("does not fit");
                prop_assert!(fits || eval_record(&text, &record[row], &values).is_err(), "{text}: {error:?} in {:?}", record[row]);
            }
            Ok(column) => {
                let promised = bound.column("x");
                prop_assert_eq!(column.data_type(), promised.data_type());
                for (row, record) in record.iter().enumerate() {
                    let (ours, rhai) = (Value::at(&column, row), eval_record(&text, record, &values));
                    // Rhai computes all that `coalesce` is given; we stop at the first that is there.
                    let Ok(rhai) = rhai else {
                        prop_assert!(text.contains("coalesce"), "{text}: {rhai:?} in {record:?}, ours {ours:?}");
                        continue;
                    };
                    prop_assert!(same(&ours, &rhai), "{text}: ours {ours:?}, the interpreter {rhai:?} in {record:?}");
                }
            }
        }
    }
}

/// The table of functions in the guide; `UPDATE_DOCS=1 cargo nextest run -p engine` writes it.
#[test]
fn the_guide_lists_every_function() {
    let mut table = String::from("| Function | Gives |\n| --- | --- |\n");
    for function in FUNCTIONS {
        let cell = |text: &str| text.replace('|', "\\|");
        table.push_str(&format!(
            "| `{}` | {}. `{}` |\n",
            function.signature(),
            cell(function.doc),
            cell(function.example)
        ));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/expressions.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (start, end) = ("<!-- functions -->\n", "<!-- /functions -->");
    let (before, rest) = page.split_once(start).unwrap();
    let (now, after) = rest.split_once(end).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{start}{table}{end}{after}")).unwrap();
    } else {
        assert_eq!(now, table, "run with UPDATE_DOCS=1");
    }
}
