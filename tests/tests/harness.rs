//! The checks of the load test find what they are there to find.

use std::collections::BTreeMap;

use kiln_tests::load::{History, check_answers};

/// Keys with what they were answered.
type Answers = &'static [(&'static str, Option<u64>)];

fn history(answers: Answers) -> History {
    let keys: BTreeMap<String, Option<u64>> = answers
        .iter()
        .map(|(key, answer)| ((*key).to_owned(), *answer))
        .collect();
    History::from([("w".to_owned(), keys)])
}

#[test]
fn a_loss_and_a_repetition_are_found() {
    // (answers by key, are they as they must be)
    let cases: [(Answers, bool); 5] = [
        (&[("a", Some(1)), ("b", Some(2)), ("c", Some(3))], true),
        (&[("a", Some(3)), ("b", Some(1)), ("c", Some(2))], true),
        // Lost: both calls were the first.
        (&[("a", Some(1)), ("b", Some(1))], false),
        // Counted twice: there are more counts than keys.
        (&[("a", Some(1)), ("b", Some(3))], false),
        (&[("a", Some(1)), ("b", None)], false),
    ];
    for (answers, expected) in cases {
        assert_eq!(check_answers(&history(answers)).is_ok(), expected, "{answers:?}");
    }
}
