//! A filter from its words: `or` binds weaker than `and`, `and` weaker than `not`.

use super::{
    Filter, Literal, Operand, Operator, TextFunction, function,
    lexer::{Token, tokens},
};
use crate::dataverse::error::Error;

/// Parentheses and `not` within each other at most; the real system has such a limit as well.
const DEPTH_MAX: usize = 100;

/// Reads a filter, or says at which place it is wrong.
pub(crate) fn parse(text: &str) -> Result<Filter, Error> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, depth: 0 };
    let filter = parser.any()?;
    match parser.peek() {
        Token::End => Ok(filter),
        _ => Err(parser.wrong("Syntax error")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token, usize)>,
    next: usize,
    depth: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Filter, Error> {
        let mut parts = vec![self.all()?];
        while self.take_word("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::Any(parts) })
    }

    fn all(&mut self) -> Result<Filter, Error> {
        let mut parts = vec![self.one()?];
        while self.take_word("and") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::All(parts) })
    }

    fn one(&mut self) -> Result<Filter, Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::query("Recursion depth exceeded allowed limit."));
        }
        let filter = self.part();
        self.depth -= 1;
        filter
    }

    fn part(&mut self) -> Result<Filter, Error> {
        if self.take_word("not") {
            return Ok(Filter::Not(Box::new(self.one()?)));
        }
        if self.take_sign('(') {
            let inner = self.any()?;
            self.expect_sign(')')?;
            return Ok(inner);
        }
        let Token::Word(word) = self.peek().clone() else {
            return Err(self.wrong("Expression expected"));
        };
        self.next += 1;
        if self.take_sign('(') {
            return self.function(&word);
        }
        let operator = match self.peek() {
            Token::Word(operator) => Operator::read(operator),
            _ => None,
        };
        let Some(operator) = operator else {
            return Err(self.wrong("Syntax error"));
        };
        self.next += 1;
        let operand = self.operand()?;
        Ok(Filter::Compare { property: word, operator, operand })
    }

    fn operand(&mut self) -> Result<Operand, Error> {
        let operand = match self.peek().clone() {
            Token::Value(literal) => Operand::Literal(literal),
            Token::Word(word) => match word.as_str() {
                "null" => Operand::Literal(Literal::Null),
                "true" => Operand::Literal(Literal::Boolean(true)),
                "false" => Operand::Literal(Literal::Boolean(false)),
                _ => Operand::Property(word),
            },
            _ => return Err(self.wrong("Expression expected")),
        };
        self.next += 1;
        Ok(operand)
    }

    /// The rest of a function call after its opening parenthesis.
    fn function(&mut self, name: &str) -> Result<Filter, Error> {
        if let Some(function) = TextFunction::read(name) {
            let property = self.expect_word()?;
            self.expect_sign(',')?;
            let text = self.expect_text()?;
            self.expect_sign(')')?;
            return Ok(Filter::Text { function, property, text });
        }
        if let Some((list, "any" | "all")) = name.rsplit_once('/') {
            return Err(Error::not_there(format!(
                "Conditions on the records of a list ('{list}') are not part of this stand-in."
            )));
        }
        if !name.starts_with(function::NAMESPACE) {
            return Err(function::unknown(name));
        }
        let mut parameters = Vec::new();
        loop {
            let parameter = self.expect_word()?;
            self.expect_sign('=')?;
            parameters.push((parameter, self.values()?));
            if !self.take_sign(',') {
                self.expect_sign(')')?;
                return function::read(name, parameters);
            }
        }
    }

    /// A value, or a list of them in brackets.
    fn values(&mut self) -> Result<Vec<Literal>, Error> {
        if !self.take_sign('[') {
            return Ok(vec![self.literal()?]);
        }
        let mut values = vec![self.literal()?];
        while self.take_sign(',') {
            values.push(self.literal()?);
        }
        self.expect_sign(']')?;
        Ok(values)
    }

    fn literal(&mut self) -> Result<Literal, Error> {
        match self.operand()? {
            Operand::Literal(literal) => Ok(literal),
            Operand::Property(name) => {
                Err(Error::query(format!("Expression expected, found '{name}' in '{}'.", self.text)))
            }
        }
    }

    fn expect_word(&mut self) -> Result<String, Error> {
        let Token::Word(word) = self.peek().clone() else {
            return Err(self.wrong("Expression expected"));
        };
        self.next += 1;
        Ok(word)
    }

    fn expect_text(&mut self) -> Result<String, Error> {
        let Token::Value(Literal::Text(text)) = self.peek().clone() else {
            return Err(self.wrong("Expression expected"));
        };
        self.next += 1;
        Ok(text)
    }

    fn expect_sign(&mut self, sign: char) -> Result<(), Error> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.wrong(&format!("'{sign}' or operator expected"))) }
    }

    fn take_sign(&mut self, sign: char) -> bool {
        let taken = *self.peek() == Token::Sign(sign);
        self.next += usize::from(taken);
        taken
    }

    fn take_word(&mut self, word: &str) -> bool {
        let taken = matches!(self.peek(), Token::Word(next) if next == word);
        self.next += usize::from(taken);
        taken
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |(token, _)| token)
    }

    fn wrong(&self, what: &str) -> Error {
        let place = self.tokens.get(self.next).map_or(0, |(_, place)| *place);
        Error::query(format!("{what} at position {place} in '{}'.", self.text))
    }
}
