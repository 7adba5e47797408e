//! The checks of the load test find what they are there to find.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kiln_tests::load::{History, check_answers};
use kiln_tests::storage::{Swap, check_swaps};

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

#[test]
fn a_history_that_no_order_explains_is_found() {
    let begin = Instant::now();
    let swap = |old, new, swapped, from: u64, to: u64| Swap {
        old,
        new,
        swapped,
        called: begin + Duration::from_millis(from),
        answered: begin + Duration::from_millis(to),
    };
    let good = [
        swap(0, 1, true, 0, 10),
        swap(0, 2, false, 5, 15),
        swap(1, 3, true, 8, 30),
        swap(3, 4, false, 0, 9),
    ];
    check_swaps(0, 3, &good).expect("it is explained");
    check_swaps(0, 1, &good).expect_err("the last swap is lost");
    let bad = [
        vec![swap(0, 1, true, 0, 10), swap(0, 2, true, 0, 10)],
        vec![swap(0, 1, true, 20, 30), swap(1, 2, true, 0, 10)],
        vec![swap(0, 2, true, 20, 30), swap(0, 3, false, 0, 10)],
    ];
    for history in bad {
        check_swaps(0, 2, &history).expect_err("no order explains it");
    }
}
