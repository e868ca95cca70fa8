//! Tokens into a query.

use super::{
    Condition, Function, Item, Literal, Name, Operator, Order, Select, dates,
    lexer::{Kind, Token, malformed, tokens},
};
use crate::salesforce::error::Error;

/// Brackets and `NOT`s that can lie in each other.
const DEPTH_MAX: usize = 100;

/// Functions of a query's fields that are not part of this stand-in.
const FUNCTIONS_LEFT_OUT: &[&str] = &[
    "AVG",
    "SUM",
    "FORMAT",
    "TOLABEL",
    "CONVERTCURRENCY",
    "CONVERTTIMEZONE",
    "DISTANCE",
    "GEOLOCATION",
    "GROUPING",
    "CALENDAR_MONTH",
    "CALENDAR_QUARTER",
    "CALENDAR_YEAR",
    "DAY_IN_MONTH",
    "DAY_IN_WEEK",
    "DAY_IN_YEAR",
    "DAY_ONLY",
    "FISCAL_MONTH",
    "FISCAL_QUARTER",
    "FISCAL_YEAR",
    "HOUR_IN_DAY",
    "WEEK_IN_MONTH",
    "WEEK_IN_YEAR",
];

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

/// Reads a query.
pub(super) fn query(text: &str) -> Result<Select, Error> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let select = parser.select()?;
    parser.end()?;
    Ok(select)
}

/// Reads what can follow `WHERE`.
pub(super) fn condition(text: &str) -> Result<Condition, Error> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let condition = parser.condition(0)?;
    parser.end()?;
    Ok(condition)
}

impl Parser {
    fn select(&mut self) -> Result<Select, Error> {
        self.expect("SELECT")?;
        let mut items = vec![self.item()?];
        while self.takes_sign(",") {
            items.push(self.item()?);
        }
        self.expect("FROM")?;
        let from = self.name()?;
        self.takes("AS");
        let is_clause = ["WHERE", "ORDER", "LIMIT", "OFFSET", "GROUP", "HAVING", "FOR", "WITH", "USING", "ALL"]
            .iter()
            .any(|word| self.is(word));
        let alias = if !is_clause && matches!(self.kind(), Kind::Word(_)) { Some(self.name()?.text) } else { None };
        let condition = if self.takes("WHERE") { Some(self.condition(0)?) } else { None };
        for word in ["GROUP", "HAVING", "WITH", "USING", "FOR"] {
            if self.is(word) {
                return Err(Error::not_there(&format!("{word} in a query")));
            }
        }
        let order = if self.takes("ORDER") { self.order()? } else { Vec::new() };
        let limit = if self.takes("LIMIT") { Some(self.count()?) } else { None };
        let offset = if self.takes("OFFSET") { self.count()? } else { 0 };
        if self.takes("ALL") {
            self.expect("ROWS")?;
            return Err(malformed("ALL ROWS not allowed in this context"));
        }
        Ok(Select { items, from, alias, condition, order, limit, offset })
    }

    fn item(&mut self) -> Result<Item, Error> {
        if self.takes_sign("(") {
            return Err(Error::not_there("A subquery"));
        }
        if self.is("TYPEOF") {
            return Err(Error::not_there("TYPEOF in a query"));
        }
        let path = self.name()?;
        if !self.takes_sign("(") {
            return Ok(Item::Path(path));
        }
        let function = path.text.to_ascii_uppercase();
        if function == "COUNT" && self.takes_sign(")") {
            return Ok(Item::Count);
        }
        let of = self.name()?;
        self.expect_sign(")")?;
        let function = match function.as_str() {
            "FIELDS" => return Ok(Item::Fields(of.text.to_ascii_uppercase())),
            "COUNT" => Function::Count,
            "COUNT_DISTINCT" => Function::CountDistinct,
            "MIN" => Function::Min,
            "MAX" => Function::Max,
            name if FUNCTIONS_LEFT_OUT.contains(&name) => {
                return Err(Error::not_there(&format!("{name}() in a query")));
            }
            _ => return Err(malformed(format!("unexpected token: '{}'", path.text))),
        };
        let is_alias = matches!(self.kind(), Kind::Word(word) if !word.eq_ignore_ascii_case("FROM"));
        let alias = if is_alias { Some(self.name()?.text) } else { None };
        Ok(Item::Function { function, path: of, alias })
    }

    /// `a AND b AND c`, or `a OR b OR c`: the language has no precedence between the two, so that they need brackets.
    fn condition(&mut self, depth: usize) -> Result<Condition, Error> {
        if depth > DEPTH_MAX {
            return Err(malformed("the query's brackets are nested too deeply"));
        }
        let first = self.simple(depth)?;
        let (word, other) = if self.is("AND") { ("AND", "OR") } else { ("OR", "AND") };
        let mut all = vec![first];
        while self.takes(word) {
            all.push(self.simple(depth)?);
        }
        if self.is(other) {
            return Err(malformed(format!("unexpected token: {}", self.text())));
        }
        Ok(match (all.len(), word) {
            (1, _) => all.swap_remove(0),
            (_, "AND") => Condition::And(all),
            _ => Condition::Or(all),
        })
    }

    fn simple(&mut self, depth: usize) -> Result<Condition, Error> {
        if self.takes("NOT") {
            if depth > DEPTH_MAX {
                return Err(malformed("the query's brackets are nested too deeply"));
            }
            return Ok(Condition::Not(Box::new(self.simple(depth + 1)?)));
        }
        if self.takes_sign("(") {
            let inner = self.condition(depth + 1)?;
            self.expect_sign(")")?;
            return Ok(inner);
        }
        let path = self.name()?;
        if self.takes("IN") {
            return Ok(Condition::In { path, literals: self.literals()?, negated: false });
        }
        if self.takes("NOT") {
            self.expect("IN")?;
            return Ok(Condition::In { path, literals: self.literals()?, negated: true });
        }
        if self.takes("INCLUDES") {
            return Ok(Condition::Includes { path, literals: self.literals()?, negated: false });
        }
        if self.takes("EXCLUDES") {
            return Ok(Condition::Includes { path, literals: self.literals()?, negated: true });
        }
        let operator = self.operator()?;
        Ok(Condition::Compare { path, operator, literal: self.literal()? })
    }

    fn operator(&mut self) -> Result<Operator, Error> {
        if self.takes("LIKE") {
            return Ok(Operator::Like);
        }
        let operator = match self.kind() {
            Kind::Sign("=") => Operator::Equal,
            Kind::Sign("!=") => Operator::NotEqual,
            Kind::Sign("<") => Operator::Less,
            Kind::Sign("<=") => Operator::LessOrEqual,
            Kind::Sign(">") => Operator::Greater,
            Kind::Sign(">=") => Operator::GreaterOrEqual,
            _ => return Err(malformed(format!("unexpected token: '{}'", self.text()))),
        };
        self.at += 1;
        Ok(operator)
    }

    fn literals(&mut self) -> Result<Vec<Literal>, Error> {
        self.expect_sign("(")?;
        if self.is("SELECT") {
            return Err(Error::not_there("A semi-join"));
        }
        let mut literals = vec![self.literal()?];
        while self.takes_sign(",") {
            literals.push(self.literal()?);
        }
        self.expect_sign(")")?;
        Ok(literals)
    }

    fn literal(&mut self) -> Result<Literal, Error> {
        let literal = match self.kind().clone() {
            Kind::Literal(literal) => literal,
            Kind::Word(word) if word.eq_ignore_ascii_case("null") => Literal::Null,
            Kind::Word(word) if word.eq_ignore_ascii_case("true") => Literal::Boolean(true),
            Kind::Word(word) if word.eq_ignore_ascii_case("false") => Literal::Boolean(false),
            Kind::Word(word) if dates::is_relative(&word) => {
                self.at += 1;
                let count = if self.takes_sign(":") { self.signed_count()? } else { 0 };
                return Ok(Literal::Relative(word.to_ascii_uppercase(), count));
            }
            _ => return Err(malformed(format!("unexpected token: '{}'", self.text()))),
        };
        self.at += 1;
        Ok(literal)
    }

    fn order(&mut self) -> Result<Vec<Order>, Error> {
        self.expect("BY")?;
        let mut order = Vec::new();
        loop {
            let path = self.name()?;
            let is_descending = !self.takes("ASC") && self.takes("DESC");
            let mut nulls_last = false;
            if self.takes("NULLS") {
                nulls_last = !self.takes("FIRST");
                if nulls_last {
                    self.expect("LAST")?;
                }
            }
            order.push(Order { path, is_descending, nulls_last });
            if !self.takes_sign(",") {
                return Ok(order);
            }
        }
    }

    fn count(&mut self) -> Result<usize, Error> {
        let Kind::Literal(Literal::Number(text)) = self.kind() else {
            return Err(malformed(format!("unexpected token: '{}'", self.text())));
        };
        let count = text.parse().map_err(|_| malformed(format!("unexpected token: '{text}'")))?;
        self.at += 1;
        Ok(count)
    }

    fn signed_count(&mut self) -> Result<i64, Error> {
        let count = self.count()?;
        i64::try_from(count)
            .ok()
            .filter(|count| *count < 100_000)
            .ok_or_else(|| malformed("the number of days is too large"))
    }

    fn name(&mut self) -> Result<Name, Error> {
        let Kind::Word(text) = self.kind() else {
            return Err(malformed(match self.kind() {
                Kind::End => "unexpected end of query".to_owned(),
                _ => format!("unexpected token: '{}'", self.text()),
            }));
        };
        let name = Name { text: text.clone(), at: self.tokens[self.at].at };
        self.at += 1;
        Ok(name)
    }

    fn kind(&self) -> &Kind {
        &self.tokens[self.at.min(self.tokens.len() - 1)].kind
    }

    fn text(&self) -> String {
        match self.kind() {
            Kind::Word(word) => word.clone(),
            Kind::Literal(Literal::Text(text) | Literal::Number(text)) => text.clone(),
            Kind::Literal(_) => "literal".to_owned(),
            Kind::Sign(sign) => (*sign).to_owned(),
            Kind::End => "<EOF>".to_owned(),
        }
    }

    fn is(&self, word: &str) -> bool {
        matches!(self.kind(), Kind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_it = self.is(word);
        self.at += usize::from(is_it);
        is_it
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let is_it = matches!(self.kind(), Kind::Sign(found) if *found == sign);
        self.at += usize::from(is_it);
        is_it
    }

    fn expect(&mut self, word: &str) -> Result<(), Error> {
        if self.takes(word) { Ok(()) } else { Err(malformed(format!("expecting {word}, found '{}'", self.text()))) }
    }

    fn expect_sign(&mut self, sign: &str) -> Result<(), Error> {
        if self.takes_sign(sign) {
            Ok(())
        } else {
            Err(malformed(format!("expecting '{sign}', found '{}'", self.text())))
        }
    }

    fn end(&mut self) -> Result<(), Error> {
        match self.kind() {
            Kind::End => Ok(()),
            _ => Err(malformed(format!("unexpected token: '{}'", self.text()))),
        }
    }
}
