//! Evaluates an expression for all records of a batch at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::Schema;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use super::bind::Bound;
use super::functions::{Function, Moment};
use super::value::{Value, as_decimal, as_float, to_micros};
use super::vector::{Integers, Vector};
use super::{Arithmetic, Comparison, Expr, ExprError, Literal, Variable, compare, kernels};
use crate::event::Vars;
use crate::types::Type;

/// What an expression sees besides the record; the same for all records of a task.
#[derive(Debug, Clone)]
pub struct Values {
    /// `vars`, which came with the population.
    pub vars: Vars,
    /// `instance.vars`, of the whole run.
    pub instance: Vars,
    /// `task.vars`, of this task.
    pub task: Vars,
    /// The options that the expression reads; see [`Expr::variables`].
    pub options: BTreeMap<String, String>,
    /// What `now()` gives.
    pub now: Timestamp,
    /// The workflow's time zone.
    pub zone: TimeZone,
}

impl Values {
    /// What a task sees.
    pub fn new(
        vars: Vars,
        instance: Vars,
        task: Vars,
        options: BTreeMap<String, String>,
        now: Timestamp,
        zone: TimeZone,
    ) -> Self {
        Self { vars, instance, task, options, now, zone }
    }

    /// No variables and no options, in UTC.
    pub fn empty(now: Timestamp) -> Self {
        Self::new(Vars::new(), Vars::new(), Vars::new(), BTreeMap::new(), now, TimeZone::UTC)
    }

    /// The value of a variable by itself; null where it is not set.
    pub fn get(&self, variable: &Variable) -> Value {
        let json = match variable {
            Variable::Event(name) => self.vars.get(name),
            Variable::Instance(name) => self.instance.get(name),
            Variable::Task(name) => self.task.get(name),
            Variable::Option(name) => return self.options.get(name).map_or(Value::Null, |v| Value::Text(v.clone())),
        };
        json.map_or(Value::Null, Value::of_json)
    }

    /// When and where.
    pub fn moment(&self) -> Moment {
        Moment { now: to_micros(self.now), zone: self.zone.clone() }
    }
}

impl Bound {
    /// Its value for each record; the type is that of [`column`](Bound::column).
    ///
    /// # Errors
    /// Where it cannot be computed for a record, such as a division by zero: [`ExprError::row`] is the first such record.
    pub fn eval(&self, batch: &RecordBatch, values: &Values) -> Result<ArrayRef, ExprError> {
        let resolved = self.resolve(values)?;
        let cx = resolved.cx(batch, values)?;
        let (data, expr) = (self.column("").data_type().clone(), resolved.expr());
        let array = cx.value(expr).and_then(|vector| {
            vector.into_array(&data, batch.num_rows()).map_err(|(row, message)| cx.fault(row, message, expr))
        });
        array.map_err(|fault| resolved.explain(fault))
    }

    /// For which records it is true; never null.
    ///
    /// # Errors
    /// As [`eval`](Bound::eval); also where it is not true or false.
    pub fn matches(&self, batch: &RecordBatch, values: &Values) -> Result<BooleanArray, ExprError> {
        let resolved = self.resolve(values)?;
        resolved.require(&Type::Bool)?;
        let cx = resolved.cx(batch, values)?;
        let truth = cx.truth(resolved.expr()).map_err(|fault| resolved.explain(fault))?;
        Ok(BooleanArray::new(truth, None))
    }

    fn cx<'a>(&'a self, batch: &'a RecordBatch, values: &Values) -> Result<Cx<'a>, ExprError> {
        for field in self.columns.fields() {
            let same =
                batch.schema_ref().field_with_name(field.name()).is_ok_and(|f| f.data_type() == field.data_type());
            if !same {
                let message = format!("column `{}` is not as it was checked, {}", field.name(), field.data_type());
                return Err(ExprError { message, help: None, at: None, row: None });
            }
        }
        Ok(Cx { batch, moment: values.moment() })
    }

    fn explain(&self, fault: Fault) -> ExprError {
        let (mut place, mut next) = (None, 0);
        self.expr().visit(&mut |expr| {
            if std::ptr::eq(expr, fault.node) {
                place = Some(next);
            }
            next += 1;
        });
        let at = place.and_then(|place| self.parsed.places.get(place).copied());
        ExprError { message: fault.message, help: None, at, row: Some(fault.row) }
    }
}

/// The value of an expression that reads no column; `None` where it has none.
pub(super) fn constant(expr: &Expr, values: &Values) -> Option<Literal> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).ok()?;
    let cx = Cx { batch: &batch, moment: values.moment() };
    cx.value(expr).ok()?.row(0).literal()
}

/// A record for which there is no value.
struct Fault {
    row: usize,
    message: String,
    node: *const Expr,
}

struct Cx<'a> {
    batch: &'a RecordBatch,
    moment: Moment,
}

impl Cx<'_> {
    fn fault(&self, row: usize, message: String, node: &Expr) -> Fault {
        Fault { row, message, node }
    }

    /// For which records a condition holds; null counts as false.
    fn truth(&self, expr: &Expr) -> Result<BooleanBuffer, Fault> {
        let len = self.batch.num_rows();
        match expr {
            Expr::Not(a) => Ok(!&self.truth(a)?),
            Expr::And(all) => self.chain(all, true),
            Expr::Or(all) => self.chain(all, false),
            Expr::Compare(op, a, b) => Ok(compare::vectors(*op, &self.value(a)?, &self.value(b)?, len)),
            Expr::In(item, list) => {
                let item = self.value(item)?;
                let mut found = BooleanBuffer::new_unset(len);
                for other in list {
                    found = &found | &compare::vectors(Comparison::Eq, &item, &self.value(other)?, len);
                }
                Ok(found)
            }
            other => Ok(match self.value(other)? {
                Vector::Const(value) => compare::constant(value == Value::Bool(true), len),
                Vector::Array(array) => match array.as_boolean_opt() {
                    Some(bools) => match bools.nulls() {
                        Some(valid) => bools.values() & valid.inner(),
                        None => bools.values().clone(),
                    },
                    None => BooleanBuffer::new_unset(len),
                },
                Vector::Decimals(_) => BooleanBuffer::new_unset(len),
            }),
        }
    }

    /// `&&` and `||`: what may fail sees only the records that the conditions before it leave open.
    fn chain(&self, all: &[Expr], and: bool) -> Result<BooleanBuffer, Fault> {
        let len = self.batch.num_rows();
        let mut known = compare::constant(and, len);
        for expr in all {
            let open = if and { known.clone() } else { !&known };
            let undecided = open.count_set_bits();
            if undecided == 0 {
                break;
            }
            let truth = if undecided < len && fallible(expr) {
                let some = self.only(&open, expr, |cx, e| cx.truth(e))?;
                let mut some = some.iter();
                BooleanBuffer::collect_bool(len, |i| open.value(i) && some.next().unwrap_or(false))
            } else {
                self.truth(expr)?
            };
            known = if and { &known & &truth } else { &known | &truth };
        }
        Ok(known)
    }

    /// Evaluates for some of the records only.
    fn only<T>(
        &self,
        rows: &BooleanBuffer,
        expr: &Expr,
        f: impl Fn(&Cx<'_>, &Expr) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let names = expr.fields();
        let used: Vec<usize> = names.iter().filter_map(|name| self.batch.schema_ref().index_of(name).ok()).collect();
        let rest = self
            .batch
            .project(&used)
            .and_then(|batch| filter_record_batch(&batch, &BooleanArray::new(rows.clone(), None)));
        let rest = rest.map_err(|e| self.fault(0, e.to_string(), expr))?;
        let cx = Cx { batch: &rest, moment: self.moment.clone() };
        f(&cx, expr).map_err(|fault| {
            let row = rows.set_indices().nth(fault.row).unwrap_or(fault.row);
            Fault { row, ..fault }
        })
    }

    fn value(&self, expr: &Expr) -> Result<Vector, Fault> {
        let len = self.batch.num_rows();
        match expr {
            Expr::Literal(literal) => Ok(Vector::Const(literal.into())),
            Expr::Field(name) => match self.batch.column_by_name(name) {
                Some(column) => Ok(Vector::Array(Arc::clone(column))),
                None => Err(self.fault(0, format!("there is no column `{name}`"), expr)),
            },
            Expr::Variable(variable) => Err(self.fault(0, format!("the value of {variable} is not known"), expr)),
            Expr::Not(_) | Expr::And(_) | Expr::Or(_) | Expr::Compare(..) | Expr::In(..) => {
                Ok(Vector::Array(Arc::new(BooleanArray::new(self.truth(expr)?, None))))
            }
            Expr::Negative(a) => self.rows(&[self.value(a)?], expr, |args| negative(&args[0])),
            Expr::Arithmetic(op, a, b) => {
                let args = [self.value(a)?, self.value(b)?];
                match self.reckon(*op, &args, expr) {
                    Some(done) => done,
                    None => self.rows(&args, expr, |args| reckon(*op, &args[0], &args[1])),
                }
            }
            Expr::If(c, a, b) => self.choose(&self.truth(c)?, a, b),
            Expr::Call(function, args) if function.name == "coalesce" && args.iter().skip(1).any(fallible) => {
                self.first(args)
            }
            Expr::Call(function, args) => {
                let args = args.iter().map(|a| self.value(a)).collect::<Result<Vec<_>, _>>()?;
                match kernels::run(function.name, &args, len) {
                    Some(done) => Ok(done),
                    None => self.rows(&args, expr, |args| call(function, args, &self.moment)),
                }
            }
        }
    }

    /// `if c { a } else { b }`
    fn choose(&self, first: &BooleanBuffer, a: &Expr, b: &Expr) -> Result<Vector, Fault> {
        let len = self.batch.num_rows();
        let lazy = fallible(a) || fallible(b);
        let (a_node, b_node) = (a, b);
        let (a, b) = if lazy {
            (self.only(first, a, |cx, e| cx.value(e))?, self.only(&!first, b, |cx, e| cx.value(e))?)
        } else {
            (self.value(a)?, self.value(b)?)
        };
        if let (false, Vector::Array(x), Vector::Array(y)) = (lazy, &a, &b)
            && x.data_type() == y.data_type()
            && let Ok(zipped) = zip(&BooleanArray::new(first.clone(), None), x, y)
        {
            return Ok(Vector::Array(zipped));
        }
        let (mut next_a, mut next_b) = (0, 0);
        let values = (0..len).map(|row| {
            let (side, next) = if first.value(row) { (&a, &mut next_a) } else { (&b, &mut next_b) };
            *next += 1;
            let node = if first.value(row) { a_node } else { b_node };
            side.exact(if lazy { *next - 1 } else { row }).map_err(|message| self.fault(row, message, node))
        });
        Ok(Vector::collect(values.collect::<Result<_, _>>()?))
    }

    /// `coalesce`, and `??`: what may fail sees only the records that have no value yet.
    fn first(&self, args: &[Expr]) -> Result<Vector, Fault> {
        let len = self.batch.num_rows();
        let mut values = vec![Value::Null; len];
        for arg in args {
            let open = BooleanBuffer::collect_bool(len, |row| values[row] == Value::Null);
            let some = self.only(&open, arg, |cx, e| cx.value(e))?;
            for (place, row) in open.set_indices().enumerate() {
                values[row] = some.exact(place).map_err(|message| self.fault(row, message, arg))?;
            }
        }
        Ok(Vector::collect(values))
    }

    /// Record by record.
    fn rows(
        &self,
        args: &[Vector],
        node: &Expr,
        f: impl Fn(&[Value]) -> Result<Value, String>,
    ) -> Result<Vector, Fault> {
        let len = self.batch.num_rows();
        let mut row_args: Vec<Value> = vec![Value::Null; args.len()];
        let constant = args.iter().all(|a| matches!(a, Vector::Const(_)));
        let mut values = Vec::with_capacity(if constant { 1 } else { len });
        for row in 0..if constant { len.min(1) } else { len } {
            for (value, arg) in row_args.iter_mut().zip(args) {
                *value = arg.exact(row).map_err(|message| self.fault(row, message, node))?;
            }
            values.push(f(&row_args).map_err(|message| self.fault(row, message, node))?);
        }
        Ok(if constant { Vector::Const(values.pop().unwrap_or(Value::Null)) } else { Vector::collect(values) })
    }

    /// Whole and floating point numbers over whole columns; `None` for what goes record by record.
    fn reckon(&self, op: Arithmetic, args: &[Vector; 2], node: &Expr) -> Option<Result<Vector, Fault>> {
        let len = self.batch.num_rows();
        if args[0].ty() != Type::Int || args[1].ty() != Type::Int || args.iter().all(|a| matches!(a, Vector::Const(_)))
        {
            return None;
        }
        let (a, b) = (Integers::of(&args[0])?, Integers::of(&args[1])?);
        let get = |side: &Integers<'_>, row: usize| match side {
            Integers::Const(v) => *v,
            Integers::Short(all) => all[row].into(),
            Integers::Long(all) => all[row],
        };
        let valid = arrow::buffer::NullBuffer::union(args[0].valid(len).as_ref(), args[1].valid(len).as_ref());
        let mut out = vec![0i64; len];
        for (row, out) in out.iter_mut().enumerate() {
            if valid.as_ref().is_none_or(|v| v.is_valid(row)) {
                match whole(op, get(&a, row), get(&b, row)) {
                    Ok(value) => *out = value,
                    Err(message) => return Some(Err(self.fault(row, message, node))),
                }
            }
        }
        Some(Ok(Vector::Array(Arc::new(Int64Array::new(out.into(), valid)))))
    }
}

/// Whether some value could make it fail.
fn fallible(expr: &Expr) -> bool {
    let mut found = false;
    expr.visit(&mut |e| {
        found |= match e {
            Expr::Arithmetic(..) | Expr::Negative(_) => true,
            Expr::Call(function, _) => function.fallible,
            _ => false,
        }
    });
    found
}

fn call(function: &Function, args: &[Value], moment: &Moment) -> Result<Value, String> {
    match function.call(args, moment)? {
        // Only constant text may be without zone, and that is no call any more.
        Value::LocalDateTime(_) if function.name == "datetime" => {
            Err(format!("\"{}\" has no zone; write `datetime(text + \"Z\")` where it is UTC", args[0]))
        }
        value => Ok(value),
    }
}

/// Without or with its sign; null stays null.
pub(crate) fn negative(value: &Value) -> Result<Value, String> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::Float(v) => Ok(Value::Float(-v)),
        Value::Decimal(v) => Ok(Value::Decimal(-v)),
        other => reckon(Arithmetic::Sub, &Value::Int(0), other),
    }
}

fn whole(op: Arithmetic, a: i64, b: i64) -> Result<i64, String> {
    let result = match op {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Sub => a.checked_sub(b),
        Arithmetic::Mul => a.checked_mul(b),
        Arithmetic::Div | Arithmetic::Rem if b == 0 => return Err(format!("{a} is divided by zero")),
        Arithmetic::Div => a.checked_div(b),
        Arithmetic::Rem => a.checked_rem(b),
    };
    result.ok_or_else(|| format!("{a} {} {b} is too large for a whole number", sign(op)))
}

/// Reckons with two values; null makes null.
pub(crate) fn reckon(op: Arithmetic, a: &Value, b: &Value) -> Result<Value, String> {
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) => return Ok(Value::Null),
        (Value::Int(a), Value::Int(b)) => return whole(op, *a, *b).map(Value::Int),
        (Value::Text(a), Value::Text(b)) if op == Arithmetic::Add => return Ok(Value::Text(format!("{a}{b}"))),
        _ => {}
    }
    let zero = matches!(op, Arithmetic::Div | Arithmetic::Rem) && as_float(b) == Some(0.0);
    if zero {
        return Err(format!("{a} is divided by zero"));
    }
    let too_large = || format!("{a} {} {b} is too large", sign(op));
    if let (Some(x), Some(y)) = (as_decimal(a), as_decimal(b)) {
        let result: Option<Decimal> = match op {
            Arithmetic::Add => x.checked_add(y),
            Arithmetic::Sub => x.checked_sub(y),
            Arithmetic::Mul => x.checked_mul(y),
            Arithmetic::Div => x.checked_div(y),
            Arithmetic::Rem => x.checked_rem(y),
        };
        return result.map(Value::Decimal).ok_or_else(too_large);
    }
    let (Some(x), Some(y)) = (as_float(a), as_float(b)) else {
        return Err(format!("{} and {} cannot be reckoned with", a.ty(), b.ty()));
    };
    let result = match op {
        Arithmetic::Add => x + y,
        Arithmetic::Sub => x - y,
        Arithmetic::Mul => x * y,
        Arithmetic::Div => x / y,
        Arithmetic::Rem => x % y,
    };
    if result.is_finite() { Ok(Value::Float(result)) } else { Err(too_large()) }
}

fn sign(op: Arithmetic) -> char {
    match op {
        Arithmetic::Add => '+',
        Arithmetic::Sub => '-',
        Arithmetic::Mul => '*',
        Arithmetic::Div => '/',
        Arithmetic::Rem => '%',
    }
}
