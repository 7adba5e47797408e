use super::*;

/// A shard with two components: the first has most workers, nearly all idle; the second a few.
struct Shard {
    tallies: Vec<Tally>,
    covered: u64,
    rows: u64,
}

fn component(number: u128) -> ComponentId {
    ComponentId(uuid::Uuid::from_u128(number))
}

fn shard() -> Shard {
    let tally = |number, status, version, count| Tally {
        component: component(number),
        status,
        version,
        count,
    };
    Shard {
        tallies: vec![
            tally(1, WorkerStatus::Idle, 0, 9000),
            tally(1, WorkerStatus::Idle, 1, 900),
            tally(1, WorkerStatus::Failed, 1, 100),
            tally(2, WorkerStatus::Idle, 7, 50),
        ],
        covered: 10_000,
        rows: 10,
    }
}

impl Statistics for Shard {
    fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    fn covered(&self, _: ComponentId, _: VariableKind, key: &str) -> Result<u64, Error> {
        Ok(if key == "indexed" { self.covered } else { 0 })
    }

    fn rows(&self, _: &AccessPath) -> Result<u64, Error> {
        Ok(self.rows)
    }
}

fn planned(number: u128, text: &str, shard: &Shard) -> AccessPath {
    let filter = match text {
        "" => Filter::All(Vec::new()),
        text => Filter::parse_all(&[text]).expect(text),
    };
    plan(Some(component(number)), &filter, None, shard).expect("plans")
}

#[test]
fn the_narrowest_index_is_chosen() {
    let cases = [
        (1, "", "records"),
        (2, "", "status"),
        (1, "status = failed", "status"),
        (1, "not (status != failed)", "status"),
        (1, "status = idle", "records"),
        (1, "status = idle and version = 1", "version"),
        (1, "status = suspended", "nothing"),
        (1, "version > 1", "nothing"),
        (1, "version = 1 or status = failed", "version"),
        (1, "env.indexed = a", "variable"),
        (1, "env.indexed = a or config.indexed = b", "variable"),
        (1, "env.indexed = a or name = b", "records"),
        (1, "env.indexed != a", "records"),
        (1, "env.other = a", "records"),
        (1, "name = a and status = idle", "name"),
        (1, "name startswith a and name like b", "name prefix"),
        (1, "name like a", "records"),
        (1, "createdAt > 2026-01-01T00:00:00Z", "created-at"),
        (1, "not createdAt > 2026-01-01T00:00:00Z", "records"),
    ];
    for (number, text, expected) in cases {
        assert_eq!(describe(&planned(number, text, &shard())), expected, "{text}");
    }
}

#[test]
fn an_index_that_leads_to_most_of_the_shard_is_left_alone() {
    let shard = Shard {
        rows: PROBE_ROWS_MAX,
        ..shard()
    };
    for text in [
        "name startswith a",
        "env.indexed = a",
        "createdAt > 2026-01-01T00:00:00Z",
    ] {
        assert_eq!(describe(&planned(1, text, &shard)), "records", "{text}");
    }
}

#[test]
fn a_variable_that_some_workers_did_not_declare_is_not_looked_up() {
    let shard = Shard {
        covered: 9_999,
        ..shard()
    };
    assert_eq!(describe(&planned(1, "env.indexed = a", &shard)), "records");
}

#[test]
fn a_search_goes_on_in_its_order() {
    let filter =
        Filter::parse_all(&["name startswith a and createdAt < 2026-01-01T00:00:00Z"]).expect("valid");
    let worker = kiln_proto::ids::WorkerId {
        component: component(1),
        name: "ab".parse().expect("a name"),
    };
    let number = kiln_store::WorkerNumber(5);
    for (after, expected) in [
        (Position::Number(number), "records"),
        (Position::Created(component(1), 3, number), "created-at"),
        (Position::Name(worker.clone()), "name prefix"),
    ] {
        let path = plan(Some(component(1)), &filter, Some(&after), &shard()).expect("plans");
        assert_eq!(describe(&path), expected);
    }
    let other = Filter::parse_all(&["version = 0"]).expect("valid");
    assert!(
        plan(
            Some(component(1)),
            &other,
            Some(&Position::Name(worker)),
            &shard()
        )
        .is_err()
    );
}

#[test]
fn intervals_enclose_what_passes() {
    let of = |text: &str| interval(&Filter::parse_all(&[text]).expect(text));
    let second = 1_000_000_000;
    assert_eq!(
        of("createdAt >= 1970-01-01T00:00:01Z and createdAt < 1970-01-01T00:00:03Z"),
        (second, Some(3 * second))
    );
    assert_eq!(
        of("createdAt = 1970-01-01T00:00:01Z or createdAt = 1970-01-01T00:00:03Z"),
        (second, Some(3 * second + 1))
    );
    assert_eq!(of("createdAt = 1970-01-01T00:00:01Z or version = 1"), (0, None));
}
