//! Random expressions over random records: whole columns agree with Rhai's interpreter.

use arrow::array::Array;
use engine::expr::{Source, Value};
use engine::script::Interpreter;
use jiff::tz::TimeZone;
use proptest::collection::vec;
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::records::{records, values, wide};

/// What each kind of expression may be, `;` between: with parts (`%t` is one of kind `t`), and without.
const PATTERNS: &[(char, &str, &str)] = &[
    // true or false
    (
        'b',
        "%t %o %t;%i %o %i;%m %o %m;%m %o %i;%f %o %f;%i %o %f;%f %o %i;%f %o %m;%d %o %d;%p %o %p;%l %o %l;\
         %c %o %c;%b && %b;%b || %b;!(%b);%t in [%t, \"ada\", ()];%i in [10, %i];is_empty(%t);\
         is_empty(tags);contains(%t, %t);contains(tags, %t);%t in tags;starts_with(%t, %t);\
         ends_with(%t, %t);eq_ci(%t, %t);flag %o true;%t == ();%m != ();if %b { %b } else { %b };\
         %i %o vars.n;%t == vars.t;%d %o vars.d;%p %o option(\"at\");%i > option(\"n\");(%b) == (%b)",
        "name == \"ada\";number > 3;flag == true;is_empty(name)",
    ),
    // text
    (
        't',
        "lower(%t);upper(%t);trim(%t);%t + %t;concat(%t, %i, %d, %m);sub_string(%t, %s);\
         sub_string(%t, %s, 2);before(%t, \"a\");after(%t, \"@\");replace(%t, \"a\", %t);\
         coalesce(%t, %t);(%t ?? %t);to_text(%p);to_text(%f);to_text(%m);to_text(%b);\
         if %b { %t } else { %t };min(%t, %t);name.trim().upper();`<${name}>`",
        "name;field(\"First Name\");\"ada\";\"\";\"É\"",
    ),
    // whole number
    (
        'i',
        "(%i + %i);(%i - %i);(%i * %i);(%i / %i);(%i % %i);-(%i);len(%t);len(tags);year(%d);\
         month(%p);day(%l);days_between(%d, %p);abs(%i);min(%i, %i);max(%i, %i, 3);to_int(%m);\
         to_int(%f);coalesce(%i, 0);if %b { %i } else { %i };round(%i)",
        "number;big;10;0;-3",
    ),
    // small number
    ('s', "0;1;-1;2", "0;1;-1;2"),
    // money
    (
        'm',
        "(%m + %m);(%m - %i);(%m * 1.5);(%m / %m);(%m % 3.3);-(%m);round(%m, 1);round(%m);abs(%m);\
         max(%m, %m);to_decimal(%i);coalesce(%m, %m);if %b { %m } else { %m }",
        "money;exact;50.25;-2.5",
    ),
    // floating point
    (
        'f',
        "(%f + %f);(%f * %m);(%f / %f);-(%f);abs(%f);round(%f, 1);min(%f, %f);coalesce(%f, ratio);\
         if %b { %f } else { %f }",
        "ratio;(ratio + 0.1)",
    ),
    // date
    (
        'd',
        "add_days(%d, %s);date(%p);date(%l);today();coalesce(%d, %d);max(%d, %d);\
         if %b { %d } else { %d }",
        "day;date(\"2012-11-01\")",
    ),
    // point in time
    (
        'p',
        "add_days(%p, %s);datetime(%d);datetime(%l);now();min(%p, %p);if %b { %p } else { %p }",
        "at;since;datetime(\"2026-03-29T01:00:00Z\")",
    ),
    // local
    ('l', "add_days(%l, %s);coalesce(%l, %l)", "local;datetime(\"2026-03-29T02:30:00\")"),
    // clock
    ('c', "time(%p);time(%l)", "clock;time(\"10:00\")"),
    // comparison
    ('o', "==;!=;<;<=;>;>=", "==;!=;<;<=;>;>="),
];

/// Makes an expression from bytes; the first choice is always the simplest, so that a failing one shrinks.
struct Writer<'a>(std::slice::Iter<'a, u8>);

impl Writer<'_> {
    fn pick<'p>(&mut self, of: &[&'p str]) -> &'p str {
        of[usize::from(*self.0.next().unwrap_or(&0)) % of.len()]
    }

    /// `pattern` with each `%x` replaced by an expression of kind `x`.
    fn write(&mut self, kind: char, depth: usize) -> String {
        let (_, more, leaves) = PATTERNS.iter().find(|(k, ..)| *k == kind).unwrap();
        // A leaf is the first choice of all.
        let leaf = depth == 0 || self.pick(&["leaf", "more", "more", "more"]) == "leaf";
        let choices: Vec<&str> = if leaf { leaves } else { more }.split(';').collect();
        let pattern = self.pick(&choices);
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
        let interpreter = Interpreter::new(&text, &values).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let (column, failing) = bound.eval_each(&batch, &values).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        prop_assert_eq!(bound.eval(&batch, &values).err().and_then(|e| e.row), failing.first().map(|(row, _)| *row));
        let promised = bound.column("x");
        prop_assert_eq!(column.data_type(), promised.data_type());
        for (row, record) in record.iter().enumerate() {
            let rhai = interpreter.eval(record);
            if let Some((_, error)) = failing.iter().find(|(failing, _)| *failing == row) {
                // A result that does not fit its column is no error of the interpreter.
                let fits = error.message.contains("does not fit");
                prop_assert!(fits || rhai.is_err(), "{text}: {error:?} in {record:?}");
                prop_assert!(column.is_null(row));
                continue;
            }
            let ours = Value::at(&column, row);
            // Rhai computes all that `coalesce` is given; we stop at the first that is there.
            let Ok(rhai) = rhai else {
                prop_assert!(text.contains("coalesce"), "{text}: {rhai:?} in {record:?}, ours {ours:?}");
                continue;
            };
            prop_assert!(same(&ours, &rhai), "{text}: ours {ours:?}, the interpreter {rhai:?} in {record:?}");
        }
    }
}
