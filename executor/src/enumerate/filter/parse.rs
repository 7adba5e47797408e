use kiln_proto::v1::WorkerStatus;

use super::{
    Filter, Order, TextComparison, TextTest,
    instant::parse_instant,
    limits::{COMPARISONS_MAX, DEPTH_MAX},
    token::{Token, tokens},
};

/// Longest filter, in bytes.
const LENGTH_MAX: usize = 8 << 10;

/// Where a filter goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("filter \"{text}\", at byte {at}: {problem}")]
pub struct ParseError {
    /// The filter.
    pub text: String,
    /// Place of the problem, in bytes.
    pub at: usize,
    /// What is wrong there.
    pub problem: String,
}

impl ParseError {
    pub(super) fn new(text: &str, at: usize, problem: impl Into<String>) -> Self {
        Self {
            text: text.chars().take(200).collect(),
            at,
            problem: problem.into(),
        }
    }
}

/// Reads one filter. Comparisons are counted over all filters of a query.
pub(super) fn parse(text: &str, comparisons: &mut usize) -> Result<Filter, ParseError> {
    if text.len() > LENGTH_MAX {
        return Err(ParseError::new(
            text,
            LENGTH_MAX,
            format!("a filter has at most {LENGTH_MAX} bytes"),
        ));
    }
    let mut parser = Parser {
        text,
        tokens: tokens(text)?,
        next: 0,
        comparisons,
    };
    let filter = parser.any(0)?;
    match parser.peek() {
        None => Ok(filter),
        Some(_) => Err(parser.problem("expected `and`, `or` or the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    next: usize,
    comparisons: &'a mut usize,
}

impl Parser<'_> {
    fn any(&mut self, depth: usize) -> Result<Filter, ParseError> {
        let mut terms = vec![self.all(depth)?];
        while self.take_keyword("or") {
            terms.push(self.all(depth)?);
        }
        Ok(single_or(terms, Filter::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Filter, ParseError> {
        let mut terms = vec![self.term(depth)?];
        while self.take_keyword("and") {
            terms.push(self.term(depth)?);
        }
        Ok(single_or(terms, Filter::All))
    }

    fn term(&mut self, depth: usize) -> Result<Filter, ParseError> {
        if depth >= DEPTH_MAX {
            return Err(self.problem(format!("filters nest at most {DEPTH_MAX} deep")));
        }
        if self.take_keyword("not") {
            return Ok(Filter::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.peek() != Some(&Token::Open) {
            return self.comparison();
        }
        self.next += 1;
        let inner = self.any(depth + 1)?;
        if self.peek() != Some(&Token::Close) {
            return Err(self.problem("expected `)`"));
        }
        self.next += 1;
        Ok(inner)
    }

    fn comparison(&mut self) -> Result<Filter, ParseError> {
        let Some(Token::Word(property)) = self.peek().cloned() else {
            return Err(self.problem("expected name, status, version, createdAt, env.KEY or config.KEY"));
        };
        let property_at = self.place();
        *self.comparisons += 1;
        if *self.comparisons > COMPARISONS_MAX {
            return Err(self.problem(format!("a filter has at most {COMPARISONS_MAX} comparisons")));
        }
        self.next += 1;
        if let Some(key) = property.strip_prefix("env.").filter(|key| !key.is_empty()) {
            return Ok(Filter::Env(key.to_owned(), self.text_test()?));
        }
        if let Some(key) = property.strip_prefix("config.").filter(|key| !key.is_empty()) {
            return Ok(Filter::Config(key.to_owned(), self.text_test()?));
        }
        match property.to_ascii_lowercase().as_str() {
            "name" => Ok(Filter::Name(self.text_test()?)),
            "status" => {
                let expected = "a status: running, idle, suspended, interrupted, retrying, failed or exited";
                self.ordered(Filter::Status, parse_status, expected)
            }
            "version" => self.ordered(Filter::Version, |text| text.parse().ok(), "a version number"),
            "createdat" | "created_at" | "created-at" => self.ordered(
                Filter::CreatedAt,
                parse_instant,
                "a time such as 2026-01-31T12:00:00Z",
            ),
            _ => {
                let problem = format!(
                    "\"{property}\" is none of name, status, version, createdAt, env.KEY and config.KEY"
                );
                Err(ParseError::new(self.text, property_at, problem))
            }
        }
    }

    fn ordered<T>(
        &mut self,
        filter: fn(Order, T) -> Filter,
        read: fn(&str) -> Option<T>,
        expected: &str,
    ) -> Result<Filter, ParseError> {
        let order = match self.peek() {
            Some(Token::Operator("=" | "==")) => Order::Equal,
            Some(Token::Operator("!=")) => Order::NotEqual,
            Some(Token::Operator("<")) => Order::Less,
            Some(Token::Operator("<=")) => Order::LessOrEqual,
            Some(Token::Operator(">")) => Order::Greater,
            Some(Token::Operator(">=")) => Order::GreaterOrEqual,
            _ => return Err(self.problem("expected =, !=, <, <=, > or >=")),
        };
        self.next += 1;
        let at = self.place();
        let text = self.value()?;
        read(&text)
            .map(|value| filter(order, value))
            .ok_or_else(|| ParseError::new(self.text, at, format!("expected {expected}, found \"{text}\"")))
    }

    fn text_test(&mut self) -> Result<TextTest, ParseError> {
        let comparison = match self.peek() {
            Some(Token::Operator("=" | "==")) => Some(TextComparison::Equal),
            Some(Token::Operator("!=")) => Some(TextComparison::NotEqual),
            Some(Token::Word(word)) => match word.to_ascii_lowercase().as_str() {
                "like" => Some(TextComparison::Like),
                "notlike" => Some(TextComparison::NotLike),
                "startswith" => Some(TextComparison::StartsWith),
                _ => None,
            },
            _ => None,
        };
        let comparison =
            comparison.ok_or_else(|| self.problem("expected =, !=, like, notlike or startswith"))?;
        self.next += 1;
        Ok(TextTest {
            comparison,
            value: self.value()?,
        })
    }

    fn value(&mut self) -> Result<String, ParseError> {
        match self.peek().cloned() {
            Some(Token::Word(text) | Token::Quoted(text)) => {
                self.next += 1;
                Ok(text)
            }
            _ => Err(self.problem("expected a value; quote it if it has blanks or signs")),
        }
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        self.next += usize::from(is_next);
        is_next
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn place(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.len(), |(at, _)| *at)
    }

    fn problem(&self, problem: impl Into<String>) -> ParseError {
        ParseError::new(self.text, self.place(), problem)
    }
}

fn single_or(mut terms: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Filter {
    match terms.pop() {
        Some(only) if terms.is_empty() => only,
        Some(last) => {
            terms.push(last);
            join(terms)
        }
        None => join(terms),
    }
}

fn parse_status(text: &str) -> Option<WorkerStatus> {
    match text.to_ascii_lowercase().as_str() {
        "running" => Some(WorkerStatus::Running),
        "idle" => Some(WorkerStatus::Idle),
        "suspended" => Some(WorkerStatus::Suspended),
        "interrupted" => Some(WorkerStatus::WorkerInterrupted),
        "retrying" => Some(WorkerStatus::Retrying),
        "failed" => Some(WorkerStatus::Failed),
        "exited" => Some(WorkerStatus::Exited),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Filter, ParseError> {
        super::parse(text, &mut 0)
    }

    fn name(comparison: TextComparison, value: &str) -> Filter {
        Filter::Name(TextTest {
            comparison,
            value: value.into(),
        })
    }

    #[test]
    fn reads_every_kind_of_comparison() {
        let env = |value: &str| TextTest {
            comparison: TextComparison::NotEqual,
            value: value.into(),
        };
        let cases = [
            ("name = x", name(TextComparison::Equal, "x")),
            ("name like 'a b'", name(TextComparison::Like, "a b")),
            ("name startswith p", name(TextComparison::StartsWith, "p")),
            (
                "status >= Retrying",
                Filter::Status(Order::GreaterOrEqual, WorkerStatus::Retrying),
            ),
            ("version<3", Filter::Version(Order::Less, 3)),
            (
                "createdAt > 1970-01-01T00:00:01Z",
                Filter::CreatedAt(Order::Greater, 1_000_000_000),
            ),
            ("env.Path != \"x\"", Filter::Env("Path".into(), env("x"))),
            ("config.a.b != y", Filter::Config("a.b".into(), env("y"))),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn and_binds_stronger_than_or_and_not_strongest() {
        let one = |value: &str| name(TextComparison::Equal, value);
        let expected = Filter::Any(vec![
            Filter::All(vec![Filter::Not(Box::new(one("a"))), one("b")]),
            Filter::All(vec![one("c"), Filter::Any(vec![one("d"), one("e")])]),
        ]);
        assert_eq!(
            parse("not name=a and name=b or name=c AND (name=d or name=e)"),
            Ok(expected)
        );
    }

    #[test]
    fn points_at_the_problem() {
        let cases = [
            ("", 0, "expected name"),
            ("name", 4, "expected =, !=, like"),
            ("name = ", 7, "expected a value"),
            ("nam = x", 0, "\"nam\" is none of"),
            ("status = lazy", 9, "expected a status"),
            ("(name = x", 9, "expected `)`"),
            ("name = 'x", 7, "never closed"),
            ("name = x y", 9, "expected `and`"),
            ("name ! x", 5, "unexpected '!'"),
        ];
        for (text, at, problem) in cases {
            let error = parse(text).expect_err(text);
            assert_eq!(error.at, at, "{error}");
            assert!(error.problem.contains(problem), "{error}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(parse(&"(".repeat(5000)).is_err());
        assert!(parse(&"not ".repeat(1000)).is_err());
        let many = vec!["version = 1"; 300];
        let error = parse(&many.join(" or ")).expect_err("too many");
        assert!(error.problem.contains("at most 256 comparisons"), "{error}");
        assert!(Filter::parse_all(&many).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,200}") {
            let _ = parse(&text);
        }
    }
}
