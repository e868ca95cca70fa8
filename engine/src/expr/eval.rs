//! Evaluates an expression for all records of a batch at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::arithmetic::{negative, reckon, whole};
use super::bind::Bound;
use super::functions::{Function, Gives, Moment};
use super::value::Value;
use super::values::Values;
use super::vector::{Integers, Vector};
use super::{Arithmetic, Comparison, Expr, ExprError, Literal, Shared, compare, kernels};
use crate::script::Functions;
use crate::types::Type;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{filter_record_batch, nullif};
use arrow::datatypes::{DataType, Schema};

impl Bound {
    /// Its value for each record; the type is that of [`column`](Bound::column).
    ///
    /// # Errors
    /// If it cannot be computed for a record, such as a division by zero: [`ExprError::row`] is the first such record.
    pub fn eval(&self, batch: &RecordBatch, values: &Values) -> Result<ArrayRef, ExprError> {
        let (array, failing) = self.eval_each(batch, values)?;
        match failing.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(array),
        }
    }

    /// Its value for each record, and the records for which it cannot be computed, in their order, each with its own
    /// error. Their value is null.
    ///
    /// # Errors
    /// What concerns no record by itself, such as a column that is missing.
    pub fn eval_each(&self, batch: &RecordBatch, values: &Values) -> Result<(ArrayRef, Vec<Failing>), ExprError> {
        let resolved = self.resolve(values)?;
        let cx = resolved.cx(batch, values)?;
        let (data, expr) = (self.column("").data_type().clone(), resolved.expr());
        let vector = cx.value(expr).map_err(|fault| resolved.explain(fault, None))?;
        let (mut array, misfits) = vector.into_array(&data, batch.num_rows());
        for (row, message) in misfits {
            cx.fail(row, message, expr);
        }
        let faults = cx.faults.into_inner();
        if !faults.is_empty() {
            let failed: BooleanArray = (0..array.len()).map(|row| Some(faults.contains_key(&row))).collect();
            let wrong = |error: arrow::error::ArrowError| ExprError::of_batch(error.to_string());
            array = nullif(&array, &failed).map_err(wrong)?;
        }
        let explained = faults.into_iter().map(|(row, fault)| (row, resolved.explain(fault, Some(row))));
        Ok((array, explained.collect()))
    }

    /// For which records it is true; never null.
    ///
    /// # Errors
    /// As [`eval`](Bound::eval); also if it is not true or false.
    pub fn matches(&self, batch: &RecordBatch, values: &Values) -> Result<BooleanArray, ExprError> {
        let resolved = self.resolve(values)?;
        resolved.require(&Type::Bool)?;
        let cx = resolved.cx(batch, values)?;
        let truth = cx.truth(resolved.expr()).map_err(|fault| resolved.explain(fault, None))?;
        match cx.faults.into_inner().pop_first() {
            Some((row, fault)) => Err(resolved.explain(fault, Some(row))),
            None => Ok(BooleanArray::new(truth, None)),
        }
    }

    fn cx<'a>(&'a self, batch: &'a RecordBatch, values: &Values) -> Result<Cx<'a>, ExprError> {
        for field in self.columns.fields() {
            let same =
                batch.schema_ref().field_with_name(field.name()).is_ok_and(|f| f.data_type() == field.data_type());
            if !same {
                let message = format!("column `{}` is not as it was checked, {}", field.name(), field.data_type());
                return Err(ExprError::of_batch(message));
            }
        }
        Ok(Cx::new(batch, values.moment(), &self.functions))
    }

    fn explain(&self, fault: Fault, row: Option<usize>) -> ExprError {
        let (mut place, mut next) = (None, 0);
        self.expr().visit(&mut |expr| {
            if std::ptr::eq(expr, fault.node) {
                place = Some(next);
            }
            next += 1;
        });
        let at = place.and_then(|place| self.parsed.places.get(place).copied());
        ExprError { message: fault.message, help: None, at, row }
    }
}

/// The value of an expression that reads no column; `None` where it has none.
pub(super) fn constant(expr: &Expr, values: &Values, functions: &Functions) -> Option<Literal> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).ok()?;
    let cx = Cx::new(&batch, values.moment(), functions);
    let value = cx.value(expr).ok()?.row(0);
    cx.faults.into_inner().is_empty().then(|| value.literal()).flatten()
}

/// A record for which an expression cannot be computed, by its place in the batch, and why.
pub type Failing = (usize, ExprError);

/// Why there is no value, and at which part of the expression.
struct Fault {
    message: String,
    node: *const Expr,
}

struct Cx<'a> {
    batch: &'a RecordBatch,
    moment: Moment,
    functions: &'a Functions,
    /// The records that have failed, each with its first fault, as the interpreter would find it. They stay in the columns,
    /// so that one record never decides what becomes of another; whatever is computed of them further on counts for nothing.
    faults: RefCell<BTreeMap<usize, Fault>>,
}

impl<'a> Cx<'a> {
    fn new(batch: &'a RecordBatch, moment: Moment, functions: &'a Functions) -> Self {
        Self { batch, moment, functions, faults: RefCell::default() }
    }

    /// A record has no value.
    fn fail(&self, row: usize, message: String, node: &Expr) {
        self.faults.borrow_mut().entry(row).or_insert(Fault { message, node });
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
            other => Ok(match self.condition(other)? {
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

    /// A value that decides. What a shared function gives may be something else, which must not pass for false.
    fn condition(&self, expr: &Expr) -> Result<Vector, Fault> {
        let vector = self.value(expr)?;
        if let (Expr::Shared(call, _), ty) = (expr, vector.ty())
            && !matches!(ty, Type::Bool | Type::Null)
        {
            for row in (0..self.batch.num_rows()).filter(|row| vector.row(*row) != Value::Null) {
                self.fail(
                    row,
                    format!("`{}` gives {}, which is not true or false", call.name, vector.row(row).quoted()),
                    expr,
                );
            }
        }
        Ok(vector)
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
            let truth = if undecided < len && self.fallible(expr) {
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
        let rest = rest.map_err(|e| Fault { message: e.to_string(), node: expr })?;
        let cx = Cx::new(&rest, self.moment.clone(), self.functions);
        let value = f(&cx, expr)?;
        let failing = cx.faults.into_inner();
        if !failing.is_empty() {
            let places: Vec<usize> = rows.set_indices().collect();
            let mut faults = self.faults.borrow_mut();
            for (row, fault) in failing {
                faults.entry(places[row]).or_insert(fault);
            }
        }
        Ok(value)
    }

    /// Whether some value could make it fail: also one of several kinds of numbers whose digits the widest kind cannot hold.
    fn fallible(&self, expr: &Expr) -> bool {
        let (mut fails, mut chooses, mut is_exact, mut is_float) = (false, false, false, false);
        expr.visit(&mut |e| match e {
            Expr::Arithmetic(..) | Expr::Negative(_) | Expr::Shared(..) => fails = true,
            Expr::If(..) => chooses = true,
            Expr::Call(function, _) => {
                fails |= function.fallible;
                chooses |= function.gives == Gives::Common;
            }
            Expr::Literal(Literal::Float(_)) => is_float = true,
            Expr::Field(name) => match self.batch.column_by_name(name).map(|column| column.data_type()) {
                Some(DataType::Float64) => is_float = true,
                Some(DataType::Int64 | DataType::Decimal128(..)) => is_exact = true,
                _ => {}
            },
            _ => {}
        });
        fails || (chooses && is_exact && is_float)
    }

    fn value(&self, expr: &Expr) -> Result<Vector, Fault> {
        let len = self.batch.num_rows();
        match expr {
            Expr::Literal(literal) => Ok(Vector::Const(literal.into())),
            Expr::Field(name) => match self.batch.column_by_name(name) {
                Some(column) => Ok(Vector::Array(Arc::clone(column))),
                None => Err(Fault { message: format!("there is no column `{name}`"), node: expr }),
            },
            Expr::Variable(variable) => {
                Err(Fault { message: format!("{variable} is not known before the run"), node: expr })
            }
            Expr::Not(_) | Expr::And(_) | Expr::Or(_) | Expr::Compare(..) | Expr::In(..) => {
                Ok(Vector::Array(Arc::new(BooleanArray::new(self.truth(expr)?, None))))
            }
            Expr::Negative(a) => Ok(self.rows(&[self.value(a)?], expr, |args| negative(&args[0]))),
            Expr::Arithmetic(op, a, b) => {
                let args = [self.value(a)?, self.value(b)?];
                Ok(match self.reckon(*op, &args, expr) {
                    Some(done) => done,
                    None => self.rows(&args, expr, |args| reckon(*op, &args[0], &args[1])),
                })
            }
            Expr::If(c, a, b) => self.choose(&self.truth(c)?, a, b),
            Expr::Call(function, args)
                if function.name == "coalesce" && args.iter().skip(1).any(|a| self.fallible(a)) =>
            {
                self.first(args, expr)
            }
            Expr::Call(function, args) => {
                let args = args.iter().map(|a| self.value(a)).collect::<Result<Vec<_>, _>>()?;
                Ok(match kernels::run(function.name, &args, len) {
                    Some(done) => done,
                    None => self.rows(&args, expr, |args| call(function, args, &self.moment)),
                })
            }
            Expr::Shared(call, args) => {
                let args = args.iter().map(|a| self.value(a)).collect::<Result<Vec<_>, _>>()?;
                Ok(self.shared(call, &args, expr))
            }
        }
    }

    /// A function of the shared scripts, record by record; once where its values are constant.
    fn shared(&self, call: &Shared, args: &[Vector], node: &Expr) -> Vector {
        let len = self.batch.num_rows();
        let is_constant = args.iter().all(|arg| matches!(arg, Vector::Const(_)));
        let mut rows: Vec<Vec<Value>> = Vec::with_capacity(len);
        for row in 0..if is_constant { len.min(1) } else { len } {
            rows.push(args.iter().map(|arg| self.exact(arg, row, row, node)).collect());
        }
        let mut results = self.functions.call(call, rows, &self.moment).into_iter();
        if is_constant {
            return Vector::Const(results.next().unwrap_or(Ok(Value::Null)).unwrap_or_else(|message| {
                (0..len).for_each(|row| self.fail(row, message.clone(), node));
                Value::Null
            }));
        }
        let taken = |(row, result): (usize, Result<Value, String>)| {
            result.unwrap_or_else(|message| {
                self.fail(row, message, node);
                Value::Null
            })
        };
        self.collected(results.enumerate().map(taken).collect(), node)
    }

    /// `if c { a } else { b }`
    fn choose(&self, first: &BooleanBuffer, a: &Expr, b: &Expr) -> Result<Vector, Fault> {
        let len = self.batch.num_rows();
        let lazy = self.fallible(a) || self.fallible(b);
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
            self.exact(side, if lazy { *next - 1 } else { row }, row, node)
        });
        Ok(self.collected(values.collect(), b_node))
    }

    /// `coalesce`, and `??`: what may fail sees only the records that have no value yet.
    fn first(&self, args: &[Expr], node: &Expr) -> Result<Vector, Fault> {
        let len = self.batch.num_rows();
        let mut values = vec![Value::Null; len];
        for arg in args {
            let open = BooleanBuffer::collect_bool(len, |row| values[row] == Value::Null);
            let some = self.only(&open, arg, |cx, e| cx.value(e))?;
            for (place, row) in open.set_indices().enumerate() {
                values[row] = self.exact(&some, place, row, arg);
            }
        }
        Ok(self.collected(values, node))
    }

    fn collected(&self, values: Vec<Value>, node: &Expr) -> Vector {
        let (vector, misfits) = Vector::collect(values);
        for (row, message) in misfits {
            self.fail(row, message, node);
        }
        vector
    }

    /// The value at a place of a vector, for this record of the batch.
    fn exact(&self, vector: &Vector, place: usize, row: usize, node: &Expr) -> Value {
        vector.exact(place).unwrap_or_else(|message| {
            self.fail(row, message, node);
            Value::Null
        })
    }

    /// Record by record.
    fn rows(&self, args: &[Vector], node: &Expr, f: impl Fn(&[Value]) -> Result<Value, String>) -> Vector {
        let len = self.batch.num_rows();
        let mut row_args: Vec<Value> = vec![Value::Null; args.len()];
        if args.iter().all(|arg| matches!(arg, Vector::Const(_))) {
            args.iter().zip(&mut row_args).for_each(|(arg, value)| *value = arg.row(0));
            return Vector::Const(f(&row_args).unwrap_or_else(|message| {
                (0..len).for_each(|row| self.fail(row, message.clone(), node));
                Value::Null
            }));
        }
        let mut values = Vec::with_capacity(len);
        for row in 0..len {
            for (value, arg) in row_args.iter_mut().zip(args) {
                *value = self.exact(arg, row, row, node);
            }
            values.push(f(&row_args).unwrap_or_else(|message| {
                self.fail(row, message, node);
                Value::Null
            }));
        }
        self.collected(values, node)
    }

    /// Whole and floating point numbers over whole columns; `None` for what goes record by record.
    fn reckon(&self, op: Arithmetic, args: &[Vector; 2], node: &Expr) -> Option<Vector> {
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
                    Err(message) => self.fail(row, message, node),
                }
            }
        }
        Some(Vector::Array(Arc::new(Int64Array::new(out.into(), valid))))
    }
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
