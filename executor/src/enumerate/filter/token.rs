use super::ParseError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Quoted(String),
    Operator(&'static str),
    Open,
    Close,
}

/// Longest operators first, so that `<=` is not read as `<`.
const OPERATORS: [&str; 7] = ["==", "!=", "<=", ">=", "=", "<", ">"];

/// Splits a filter into tokens, each with its place in bytes.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ParseError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (token, length) = token(text, at, c)?;
        found.push((at, token));
        at += length;
    }
    Ok(found)
}

fn token(text: &str, at: usize, first: char) -> Result<(Token, usize), ParseError> {
    let rest = &text[at..];
    if let Some(operator) = OPERATORS.into_iter().find(|operator| rest.starts_with(operator)) {
        return Ok((Token::Operator(operator), operator.len()));
    }
    match first {
        '(' => Ok((Token::Open, 1)),
        ')' => Ok((Token::Close, 1)),
        '\'' | '"' => match rest[1..].find(first) {
            Some(length) => Ok((Token::Quoted(rest[1..=length].to_owned()), length + 2)),
            None => Err(ParseError::new(text, at, "this quote is never closed")),
        },
        _ => {
            let ends = |c: char| c.is_whitespace() || "()'\"=<>!".contains(c);
            let length = rest.find(ends).unwrap_or(rest.len());
            if length == 0 {
                return Err(ParseError::new(text, at, format!("unexpected {first:?}")));
            }
            Ok((Token::Word(rest[..length].to_owned()), length))
        }
    }
}
