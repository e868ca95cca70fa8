//! An expression meets its columns: names and types are checked, and constants take the type of what they meet.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use indexmap::IndexMap;

use super::foreign::constant_text;
use super::functions::Function;
use super::meet::{self, Typed};
use super::parse::{Parsed, error, nearest};
use super::reads::COALESCE;
use super::value::Value;
use super::values::Values;
use super::{Arithmetic, Comparison, Expr, ExprError, Literal, Variable};
use crate::outside::crm::{CHOICES_TOLD_MAX, choices};
use crate::script::Functions;
use crate::types::{MONEY, Type, meta};

/// Digits after the point that a computed decimal has at most.
const SCALE_MAX: i8 = 18;
/// Digits after the point that a division adds.
const DIVISION_DIGITS: i8 = 6;

/// An expression whose columns are known.
#[derive(Debug, Clone)]
pub struct Bound {
    pub(super) parsed: Parsed,
    ty: Type,
    pub(super) columns: SchemaRef,
    pub(super) functions: Arc<Functions>,
}

impl Bound {
    /// Looks up the columns and checks the types.
    ///
    /// # Errors
    /// All that is wrong; [`Source::bind`](super::Source::bind) also tells the places.
    pub fn bind(expr: &Expr, columns: &Schema) -> Result<Self, Vec<ExprError>> {
        Self::bind_parsed(&Parsed { expr: expr.clone(), places: Vec::new() }, columns, &Arc::default())
    }

    /// As [`bind`](Bound::bind), with the places of what is wrong, and with the functions of shared scripts.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn bind_parsed(parsed: &Parsed, columns: &Schema, functions: &Arc<Functions>) -> Result<Self, Vec<ExprError>> {
        let used = parsed.expr.fields();
        let kept = columns.fields().iter().filter(|f| used.contains(&f.name().as_str())).cloned();
        let kept = Arc::new(Schema::new(kept.collect::<Vec<FieldRef>>()));
        let mut binder = Binder::new(columns, parsed, functions, None);
        let typed = binder.expr(&parsed.expr);
        match binder.errors {
            errors if errors.is_empty() => {
                Ok(Self { parsed: typed.parsed, ty: typed.ty, columns: kept, functions: Arc::clone(functions) })
            }
            errors => Err(errors),
        }
    }

    /// The expression, with constants typed as what they meet.
    pub fn expr(&self) -> &Expr {
        &self.parsed.expr
    }

    /// What it gives; `Any` where only variables tell. What a function of the shared scripts gives by itself is kept as
    /// text.
    pub fn ty(&self) -> Type {
        if self.decides_later() { Type::Text } else { self.ty.clone() }
    }

    /// Whether only each record tells what it gives, since a function of the shared scripts gives it.
    fn decides_later(&self) -> bool {
        matches!((self.expr(), &self.ty), (Expr::Shared(..), Type::Any))
    }

    /// The column of its results. A plain column stays as it is, under the new name.
    pub fn column(&self, name: &str) -> FieldRef {
        if let Expr::Field(field) = self.expr()
            && let Ok(field) = self.columns.field_with_name(field)
        {
            return Arc::new(field.clone().with_name(name).with_nullable(true));
        }
        match self.ty {
            Type::Decimal => Arc::new(Field::new(name, self.decimal(), true)),
            _ => self.ty.column(name),
        }
    }

    /// Whether it gives this, or only its variables or each record tell what it gives.
    pub(crate) fn may_give(&self, wanted: &Type) -> bool {
        self.ty == *wanted || matches!(self.ty, Type::Any | Type::Null)
    }

    /// Refuses an expression that gives something else, such as a filter that is not true or false.
    ///
    /// # Errors
    /// What it gives instead, and what to write.
    pub fn require(&self, wanted: &Type) -> Result<(), ExprError> {
        if self.may_give(wanted) {
            return Ok(());
        }
        let at = self.parsed.places.first().copied();
        let message = format!("this gives {}, but {wanted} is needed", self.ty);
        Err(ExprError { message, help: meet::cure(&self.ty, wanted, self.expr()), at, row: None })
    }

    /// The expression with the variables' values in place of the variables; what is constant then is computed.
    ///
    /// # Errors
    /// A variable that is not set, or is not what it meets: `vars.limit` is "abc" and is compared with a number.
    pub fn resolve(&self, values: &Values) -> Result<Self, ExprError> {
        let parsed = &self.parsed;
        let mut binder = Binder::new(&self.columns, parsed, &self.functions, Some(values));
        let typed = binder.expr(&parsed.expr);
        match binder.errors.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(Self { parsed: typed.parsed, ty: typed.ty, ..self.clone() }),
        }
    }

    fn decimal(&self) -> DataType {
        match scale(self.expr(), &self.columns) {
            ..=4 => MONEY,
            scale => DataType::Decimal128(38, scale.min(SCALE_MAX)),
        }
    }
}

/// Digits after the point that exact arithmetic needs.
fn scale(expr: &Expr, columns: &Schema) -> i8 {
    let of = |e: &Expr| scale(e, columns);
    match expr {
        Expr::Literal(Literal::Decimal(v)) => i8::try_from(v.scale()).unwrap_or(SCALE_MAX),
        Expr::Field(name) => match columns.field_with_name(name).map(Field::data_type) {
            Ok(DataType::Decimal128(_, scale)) => *scale,
            _ => 0,
        },
        Expr::Variable(_) => 4,
        Expr::Negative(a) => of(a),
        Expr::Arithmetic(Arithmetic::Mul, a, b) => of(a).saturating_add(of(b)),
        Expr::Arithmetic(Arithmetic::Div, a, b) => of(a).max(of(b)).saturating_add(DIVISION_DIGITS),
        Expr::Arithmetic(_, a, b) | Expr::If(_, a, b) => of(a).max(of(b)),
        Expr::Call(function, args) => match (function.name, args.get(1)) {
            ("round", None) => 0,
            ("round", Some(Expr::Literal(Literal::Int(digits)))) => i8::try_from(*digits).unwrap_or(SCALE_MAX),
            ("to_decimal", _) if !matches!(args[0], Expr::Literal(_)) => of(&args[0]).max(4),
            _ => args.iter().map(of).max().unwrap_or(0),
        },
        _ => 0,
    }
}

struct Binder<'a> {
    columns: &'a Schema,
    parsed: &'a Parsed,
    next: usize,
    /// Variables stand for themselves until their values are known.
    values: Option<&'a Values>,
    functions: &'a Functions,
    /// Whether what is not set may be read here: a default follows, or what was read before has decided.
    excused: bool,
    errors: Vec<ExprError>,
}

impl<'a> Binder<'a> {
    fn new(columns: &'a Schema, parsed: &'a Parsed, functions: &'a Functions, values: Option<&'a Values>) -> Self {
        Self { columns, parsed, next: 0, values, functions, excused: false, errors: Vec::new() }
    }

    fn expr(&mut self, expr: &Expr) -> Typed {
        let at = self.parsed.places.get(self.next).copied();
        self.next += 1;
        match expr {
            Expr::Literal(literal) => Typed::leaf(expr.clone(), at, Value::from(literal).ty()),
            Expr::Field(name) => self.field(name, at),
            Expr::Variable(variable) => self.variable(variable, at),
            Expr::Not(a) => {
                let a = self.condition(a);
                Typed::of(at, Type::Bool, vec![a], |parts| Expr::Not(meet::one(parts)))
            }
            Expr::Negative(a) => {
                let a = self.expr(a);
                let ty = a.ty.clone();
                if !matches!(ty, Type::Int | Type::Decimal | Type::Float | Type::Any | Type::Null) {
                    self.wrong(format!("`-` takes a number, not {ty}"), None, at);
                }
                let negative = Typed::of(at, ty, vec![a], |parts| Expr::Negative(meet::one(parts)));
                self.fold(negative)
            }
            Expr::And(all) => Typed::of(at, Type::Bool, self.conditions(all, false), Expr::And),
            Expr::Or(all) => Typed::of(at, Type::Bool, self.conditions(all, true), Expr::Or),
            Expr::Compare(op, a, b) => {
                let (mut a, mut b) = (self.expr(a), self.expr(b));
                self.compared(*op, &mut a, &mut b, at);
                Typed::of(at, Type::Bool, vec![a, b], |parts| {
                    let (a, b) = meet::two(parts);
                    Expr::Compare(*op, a, b)
                })
            }
            Expr::Arithmetic(op, a, b) => self.arithmetic(*op, a, b, at),
            Expr::In(item, list) => self.is_in(item, list, at),
            Expr::If(c, a, b) => {
                let c = self.condition(c);
                let decided = self.known(&c).map(|value| value == Value::Bool(true));
                let mut a = self.excusing(decided == Some(false), |binder| binder.expr(a));
                let mut b = self.excusing(decided == Some(true), |binder| binder.expr(b));
                let ty = meet::common(&mut a, &mut b, at, self.values);
                let ty = self.taken(ty);
                Typed::of(at, ty, vec![c, a, b], |parts| {
                    let mut parts = parts.into_iter().map(Box::new);
                    match (parts.next(), parts.next(), parts.next()) {
                        (Some(c), Some(a), Some(b)) => Expr::If(c, a, b),
                        _ => Expr::Literal(Literal::Null),
                    }
                })
            }
            Expr::Call(function, args) => self.call(function, args, at),
            Expr::Shared(call, args) => {
                let args: Vec<Typed> = args.iter().map(|a| self.expr(a)).collect();
                if let Err(error) = self.functions.check(&call.name, args.len(), at) {
                    self.errors.push(error);
                    // What it would give is not another error.
                    return Typed::leaf(Expr::Literal(Literal::Null), at, Type::Any);
                }
                let ty = call.gives.clone().unwrap_or(Type::Any);
                let call = Typed::of(at, ty, args, |parts| Expr::Shared(call.clone(), parts));
                self.fold(call)
            }
        }
    }

    /// What follows a part that decides is not read.
    fn conditions(&mut self, all: &[Expr], decisive: bool) -> Vec<Typed> {
        let mut decided = false;
        let mut typed = Vec::with_capacity(all.len());
        for one in all {
            let one = self.excusing(decided, |binder| binder.condition(one));
            decided |= self.known(&one).is_some_and(|value| (value == Value::Bool(true)) == decisive);
            typed.push(one);
        }
        typed
    }

    /// Reads a part where what is not set may be read if `excused`.
    fn excusing<T>(&mut self, excused: bool, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.excused;
        self.excused |= excused;
        let read = read(self);
        self.excused = before;
        read
    }

    /// The value of a part that no record decides, once all values are known.
    fn known(&self, typed: &Typed) -> Option<Value> {
        let values = self.values.filter(|_| typed.parsed.expr.fields().is_empty())?;
        super::eval::constant(&typed.parsed.expr, values, self.functions).map(|literal| Value::from(&literal))
    }

    fn field(&mut self, name: &str, at: Option<usize>) -> Typed {
        let found = self.columns.field_with_name(name).ok();
        let ty = found.map(|f| Type::of(f.data_type()));
        match (ty, found) {
            (Some(Some(ty)), _) => return Typed::leaf(Expr::Field(name.to_owned()), at, ty),
            (_, Some(found)) => {
                self.wrong(format!("column `{name}` is {}, which expressions cannot read", found.data_type()), None, at)
            }
            _ => {
                let shown = || self.columns.fields().iter().filter(|field| !crate::types::is_hidden(field));
                let names = || shown().map(|field| field.name().as_str());
                let help = match (name.to_ascii_lowercase().as_str(), nearest(name, names())) {
                    ("null" | "nil" | "none", _) => "null is written `()`".to_owned(),
                    ("true" | "false", _) => "write `true` or `false`".to_owned(),
                    (_, Some(near)) => format!("did you mean `{}`?", as_written(near)),
                    (_, None) if matches!(self.parsed.expr, Expr::Field(_)) => {
                        format!("{}; there are {}", constant_text(name), listed(names().map(as_written)))
                    }
                    (_, None) => {
                        let text = format!("{name:?}").replace('\\', "\\\\").replace('"', "\\\"");
                        format!("a constant text is written {text}; there are {}", listed(names().map(as_written)))
                    }
                };
                self.wrong(format!("there is no column `{name}`"), Some(help), at);
            }
        }
        Typed::leaf(Expr::Field(name.to_owned()), at, Type::Any)
    }

    fn compared(&mut self, op: Comparison, a: &mut Typed, b: &mut Typed, at: Option<usize>) {
        if let Err(error) = meet::compared(op, a, b, at, self.values) {
            let choices = self.choices(a, b).or_else(|| self.choices(b, a));
            self.errors.push(ExprError { help: choices.or(error.help), ..error });
        }
    }

    /// What to write where a picklist's column is compared with text: its numbers, with their labels.
    fn choices(&self, column: &Typed, text: &Typed) -> Option<String> {
        let (Expr::Field(name), Type::Int, Type::Text) = (&column.parsed.expr, &column.ty, &text.ty) else {
            return None;
        };
        let options = self.columns.field_with_name(name).ok()?.metadata().get(meta::OPTIONS)?;
        let options: IndexMap<String, String> = serde_json::from_str(options).ok()?;
        Some(format!("write one of its numbers: {}", choices(&options, CHOICES_TOLD_MAX).join(", ")))
    }

    fn variable(&mut self, variable: &Variable, at: Option<usize>) -> Typed {
        let ty = if matches!(variable, Variable::HasOption(_)) { Type::Bool } else { Type::Any };
        let Some(values) = self.values else { return Typed::leaf(Expr::Variable(variable.clone()), at, ty) };
        if !values.has(variable) {
            // An option is as it is now; a variable may be set before.
            if values.foretell && !matches!(variable, Variable::Option(_)) {
                return Typed::leaf(Expr::Variable(variable.clone()), at, ty);
            }
            if !self.excused {
                self.errors.push(super::reads::unset(variable, at));
            }
        }
        let value = values.get(variable);
        let ty = value.ty();
        match value.literal() {
            Some(literal) => {
                Typed { met_by: Some(variable.to_string()), ..Typed::leaf(Expr::Literal(literal), at, ty) }
            }
            None => {
                self.wrong(format!("{variable} is a list, which expressions cannot read"), None, at);
                Typed::leaf(Expr::Literal(Literal::Null), at, Type::Null)
            }
        }
    }

    fn condition(&mut self, expr: &Expr) -> Typed {
        let at = self.parsed.places.get(self.next).copied();
        let mut typed = self.expr(expr);
        if let Err(error) = meet::condition(&mut typed, at, self.values) {
            self.errors.push(error);
        }
        typed
    }

    fn arithmetic(&mut self, op: Arithmetic, a: &Expr, b: &Expr, at: Option<usize>) -> Typed {
        let (mut a, mut b) = (self.expr(a), self.expr(b));
        let ty = meet::reckoned(op, &mut a, &mut b, at, self.values);
        let ty = self.taken(ty);
        let sum = Typed::of(at, ty, vec![a, b], |parts| {
            let (a, b) = meet::two(parts);
            Expr::Arithmetic(op, a, b)
        });
        self.fold(sum)
    }

    fn is_in(&mut self, item: &Expr, list: &[Expr], at: Option<usize>) -> Typed {
        let mut item = self.expr(item);
        let mut all: Vec<Typed> = list.iter().map(|e| self.expr(e)).collect();
        for other in &mut all {
            let at = other.parsed.places.first().copied();
            self.compared(Comparison::Eq, &mut item, other, at);
        }
        all.insert(0, item);
        Typed::of(at, Type::Bool, all, |mut parts| {
            let item = parts.remove(0);
            Expr::In(Box::new(item), parts)
        })
    }

    fn call(&mut self, function: &'static Function, args: &[Expr], at: Option<usize>) -> Typed {
        let mut args: Vec<Typed> = match function.name {
            COALESCE => self.firsts(args),
            _ => args.iter().map(|a| self.expr(a)).collect(),
        };
        let ty = meet::called(function, &mut args, at, self.values);
        let ty = self.taken(ty);
        let call = Typed::of(at, ty, args, |parts| Expr::Call(function, parts));
        self.fold(call)
    }

    /// Values of which the first that is there counts: what stands before the last may not be set.
    fn firsts(&mut self, args: &[Expr]) -> Vec<Typed> {
        let mut decided = false;
        let mut typed = Vec::with_capacity(args.len());
        for (place, arg) in args.iter().enumerate() {
            let has_default = place + 1 < args.len() && matches!(arg, Expr::Variable(_));
            let arg = self.excusing(decided || has_default, |binder| binder.expr(arg));
            decided |= self.known(&arg).is_some_and(|value| value != Value::Null);
            typed.push(arg);
        }
        typed
    }

    /// Computes what is constant, once all values are known; what fails stays, since it may never be reached.
    fn fold(&self, typed: Typed) -> Typed {
        match self.values {
            Some(values) if typed.parsed.expr.fields().is_empty() => {
                match super::eval::constant(&typed.parsed.expr, values, self.functions) {
                    Some(literal) => {
                        let at = typed.parsed.places.first().copied();
                        let ty = Value::from(&literal).ty();
                        Typed {
                            met_by: typed.met_by,
                            ..Typed::leaf(Expr::Literal(literal), at, if ty == Type::Null { typed.ty } else { ty })
                        }
                    }
                    None => typed,
                }
            }
            _ => typed,
        }
    }

    fn taken(&mut self, ty: Result<Type, ExprError>) -> Type {
        ty.unwrap_or_else(|error| {
            self.errors.push(error);
            Type::Any
        })
    }

    fn wrong(&mut self, message: String, help: Option<String>, at: Option<usize>) {
        self.errors.push(ExprError { help, ..error(message, "", at) });
    }
}

/// How a column is written in an expression.
pub(super) fn as_written(name: &str) -> String {
    let plain = crate::script::is_identifier(name) && !matches!(name, "vars" | "instance" | "task");
    if plain { name.to_owned() } else { format!("field({name:?})") }
}

fn listed(names: impl Iterator<Item = String>) -> String {
    const NAMES_MAX: usize = 12;
    let mut names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    match (names.is_empty(), more) {
        (true, _) => "no columns here".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}
