use super::ParseError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    And,
    Or,
    Not,
    Open,
    Close,
    /// `name.name:`, in front of a text.
    Field(Vec<String>),
    Word(String),
    Phrase(String),
    Regex(String),
}

/// Splits a query into tokens, each with its place in bytes.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ParseError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, length) = token(text, at, first)?;
        found.push((at, token));
        at += length;
    }
    Ok(found)
}

fn token(text: &str, at: usize, first: char) -> Result<(Token, usize), ParseError> {
    match first {
        '(' => Ok((Token::Open, 1)),
        ')' => Ok((Token::Close, 1)),
        '"' => delimited(text, at, '"').map(|(inside, length)| (Token::Phrase(inside), length)),
        '/' => delimited(text, at, '/').map(|(inside, length)| (Token::Regex(inside), length)),
        _ => Ok(word(&text[at..])),
    }
}

/// The text up to the same delimiter. A backslash takes the delimiter's meaning away; any other one stays as it is.
fn delimited(text: &str, at: usize, delimiter: char) -> Result<(String, usize), ParseError> {
    let mut inside = String::new();
    let mut chars = text[at + 1..].char_indices().peekable();
    while let Some((place, c)) = chars.next() {
        if c == delimiter {
            return Ok((inside, place + 2));
        }
        match chars.peek() {
            Some((_, next)) if c == '\\' && *next == delimiter => {
                inside.push(delimiter);
                chars.next();
            }
            _ => inside.push(c),
        }
    }
    Err(ParseError::new(
        text,
        at,
        format!("this {delimiter} has no counterpart"),
    ))
}

fn word(rest: &str) -> (Token, usize) {
    let length = rest
        .find(|c: char| c.is_whitespace() || "()\"".contains(c))
        .unwrap_or(rest.len());
    let word = &rest[..length];
    match word {
        "AND" => return (Token::And, length),
        "OR" => return (Token::Or, length),
        "NOT" => return (Token::Not, length),
        _ => {}
    }
    match field(word, rest) {
        Some((path, length)) => (Token::Field(path), length),
        None => (Token::Word(word.to_owned()), length),
    }
}

/// The path in front of `:` or `=`, when a text follows. `a::b` is a function's name and no field.
fn field(word: &str, rest: &str) -> Option<(Vec<String>, usize)> {
    let end = word.find([':', '='])?;
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    let path = &word[..end];
    let follows = rest[end + 1..].chars().next()?;
    let is_field = path.split('.').all(is_name) && !follows.is_whitespace() && !"():=".contains(follows);
    is_field.then(|| (path.split('.').map(str::to_owned).collect(), end + 1))
}
