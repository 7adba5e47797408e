use regex::RegexBuilder;

use super::{
    Query, TextTest,
    token::{Token, tokens},
};

/// Longest query, in bytes.
const LENGTH_MAX: usize = 4 << 10;
/// Deepest nesting: the parser recurses.
const DEPTH_MAX: usize = 32;
/// Largest compiled regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Where a query goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("query \"{text}\", at byte {at}: {problem}")]
pub struct ParseError {
    /// The query.
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

pub(super) fn parse(text: &str) -> Result<Query, ParseError> {
    if text.len() > LENGTH_MAX {
        let problem = format!("a query has at most {LENGTH_MAX} bytes");
        return Err(ParseError::new(text, LENGTH_MAX, problem));
    }
    let mut parser = Parser {
        text,
        tokens: tokens(text)?,
        next: 0,
    };
    if parser.tokens.is_empty() {
        return Ok(Query::All(Vec::new()));
    }
    let query = parser.any(0)?;
    match parser.peek() {
        None => Ok(query),
        Some(_) => Err(parser.problem("expected AND, OR or a text")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    next: usize,
}

impl Parser<'_> {
    fn any(&mut self, depth: usize) -> Result<Query, ParseError> {
        let mut terms = vec![self.all(depth)?];
        while self.take(&Token::Or) {
            terms.push(self.all(depth)?);
        }
        Ok(single_or(terms, Query::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Query, ParseError> {
        let mut terms = vec![self.term(depth)?];
        loop {
            let is_joined = self.take(&Token::And);
            let is_at_end = matches!(self.peek(), None | Some(Token::Or | Token::Close));
            if !is_joined && is_at_end {
                return Ok(single_or(terms, Query::All));
            }
            terms.push(self.term(depth)?);
        }
    }

    fn term(&mut self, depth: usize) -> Result<Query, ParseError> {
        if depth >= DEPTH_MAX {
            return Err(self.problem(format!("queries nest at most {DEPTH_MAX} deep")));
        }
        if self.take(&Token::Not) {
            return Ok(Query::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.take(&Token::Open) {
            let inner = self.any(depth + 1)?;
            if !self.take(&Token::Close) {
                return Err(self.problem("expected )"));
            }
            return Ok(inner);
        }
        if let Some(Token::Field(path)) = self.peek().cloned() {
            self.next += 1;
            return Ok(Query::Field(path, self.test()?));
        }
        self.test().map(Query::Text)
    }

    fn test(&mut self) -> Result<TextTest, ParseError> {
        let test = match self.peek() {
            Some(Token::Word(word)) => TextTest::Word(word.to_lowercase()),
            Some(Token::Phrase(phrase)) => TextTest::Phrase(phrase.clone()),
            Some(Token::Regex(pattern)) => TextTest::Regex(self.regex(pattern)?),
            _ => return Err(self.problem("expected a word, \"a phrase\", /a regex/, NOT or (")),
        };
        self.next += 1;
        Ok(test)
    }

    fn regex(&self, pattern: &str) -> Result<regex::Regex, ParseError> {
        RegexBuilder::new(pattern)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .build()
            .map_err(|error| self.problem(error.to_string()))
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn take(&mut self, wanted: &Token) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.next += usize::from(is_there);
        is_there
    }

    fn problem(&self, problem: impl Into<String>) -> ParseError {
        let at = self.tokens.get(self.next).map_or(self.text.len(), |(at, _)| *at);
        ParseError::new(self.text, at, problem)
    }
}

fn single_or(mut terms: Vec<Query>, several: fn(Vec<Query>) -> Query) -> Query {
    match terms.len() {
        1 => terms.remove(0),
        _ => several(terms),
    }
}
